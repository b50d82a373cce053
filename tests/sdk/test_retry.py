"""When to try again, on a clock of its own."""

import pytest

from kohort.config import Retry
from kohort.errors import DeadlineExceeded, Overloaded, RpcError, ServerError, Unavailable
from kohort.retry import Attempts

GONE = Unavailable("UNAVAILABLE", "gone")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def attempts(timeout=None, jitter=0.5, **policy):
    clock = Clock()
    return Attempts(Retry(**policy), timeout, clock=clock, jitter=lambda: jitter), clock


def test_waits_grow_to_a_limit():
    tries, _ = attempts(attempts=7, initial_backoff=1, multiplier=2, max_backoff=5)
    assert [tries.wait_after(GONE) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_waits_are_jittered():
    low, high = attempts(jitter=0.0, initial_backoff=1)[0], attempts(jitter=1.0, initial_backoff=1)[0]
    assert low.wait_after(GONE) == pytest.approx(0.8)
    assert high.wait_after(GONE) == pytest.approx(1.2)


def test_the_last_error_is_raised_when_the_tries_are_used_up():
    tries, _ = attempts(attempts=2)
    tries.wait_after(GONE)
    with pytest.raises(Unavailable) as caught:
        tries.wait_after(GONE)
    assert caught.value is GONE


@pytest.mark.parametrize(
    "error",
    [
        ServerError("INTERNAL", "x"),
        ServerError("UNKNOWN", "x"),
        RpcError("ABORTED", "x"),
        DeadlineExceeded("DEADLINE_EXCEEDED", "x"),
        Overloaded("RESOURCE_EXHAUSTED", "no retry info"),
    ],
)
def test_what_might_have_happened_is_not_repeated(error):
    with pytest.raises(type(error)):
        attempts()[0].wait_after(error)


def test_the_server_names_the_wait():
    busy = Overloaded("RESOURCE_EXHAUSTED", "x", retry_after=7.5)
    assert attempts()[0].wait_after(busy) == 7.5
    assert attempts(initial_backoff=9, max_backoff=9)[0].wait_after(busy) == 9


def test_one_deadline_for_everything():
    tries, clock = attempts(timeout=10)
    assert tries.remaining() == 10
    clock.now += 4
    assert tries.remaining() == 6
    clock.now += 7
    with pytest.raises(DeadlineExceeded):
        tries.remaining()


def test_a_wait_past_the_deadline_is_refused():
    tries, _ = attempts(timeout=10)
    with pytest.raises(Overloaded):
        tries.wait_after(Overloaded("RESOURCE_EXHAUSTED", "x", retry_after=10))


def test_a_stream_that_moves_is_never_given_up():
    tries, clock = attempts(attempts=2, stream_patience=60)
    for _ in range(50):
        tries.progressed()
        tries.wait_after(GONE)
        clock.now += 59
        tries.wait_after(GONE)


def test_patience_ends():
    tries, clock = attempts(attempts=2, stream_patience=60)
    tries.progressed()
    clock.now += 3600  # its reader took that long
    tries.wait_after(GONE)
    clock.now += 61
    with pytest.raises(Unavailable):
        tries.wait_after(GONE)
