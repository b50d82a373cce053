"""One sample from several servers: the same as from one, whatever happens to them on the way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import pytest
from fake_parts import CODE, QUICK, Fault
from fake_server import Fake
from pandas.testing import assert_frame_equal

import kohort
from kohort.digests import ContentDigest
from tests.core.support import until

FACTS = ("model", "content_digest", "seed", "start_unit", "unit_count", "runtime_fingerprint")


@pytest.fixture
def fakes():
    with ExitStack() as opened:
        yield [opened.enter_context(Fake()) for _ in range(3)]


@pytest.fixture
def open_replicas():
    """Makes `Replicas` with parts of 20 units, and closes them."""
    with ExitStack() as opened:

        def make(fakes, **settings):
            settings = {"part_units": 20, "retry": QUICK, **settings}
            return opened.enter_context(kohort.Replicas([f.target for f in fakes], **settings))

        yield make


@pytest.fixture
def replicas(open_replicas, fakes):
    return open_replicas(fakes)


def alone(fake, n, **wishes):
    with kohort.Client(fake.target) as client:
        return client.sample("models/one", n, **wishes)


def units_asked(fakes):
    return sorted((r.start_unit, r.unit_count) for f in fakes for r in f.requests("Sample"))


def each_is_asked(fakes, method="Sample"):
    """Holds all rows back until every server has a part: the quickest could else draw all there is."""

    def hold(_):
        until(lambda: all(f.requests(method) for f in fakes), "every server to be asked")

    for fake in fakes:
        fake.calls.clear()
        fake.tamper = hold
    return hold


def digest_of(batches):
    whole = ContentDigest()
    for batch in batches:
        whole.add(batch.batch)
    return whole.digest()


@pytest.mark.parametrize(("n", "start"), [(200, 0), (195, 7), (20, 0), (1, 39), (21, 19)])
def test_the_parts_joined_are_what_one_server_gives(replicas, fakes, n, start):
    got, whole = (
        replicas.sample("models/one", n, seed=5, start=start),
        alone(fakes[0], n, seed=5, start=start),
    )
    assert_frame_equal(got, whole)
    assert {k: got.attrs["kohort"][k] for k in FACTS} == {k: whole.attrs["kohort"][k] for k in FACTS}


def test_each_part_is_drawn_once_by_somebody(replicas, fakes):
    replicas.sample("models/one", 190, seed=5, start=5)
    assert units_asked(fakes) == [(5, 15), *((k, 20) for k in range(20, 180, 20)), (180, 15)]


def test_all_are_asked_at_once(open_replicas, fakes):
    together = threading.Barrier(3, timeout=30)
    for fake in fakes:
        fake.tamper = lambda response: response.HasField("trailer") and together.wait()
    assert len(open_replicas(fakes).sample("models/one", 60, seed=5)) == 60
    assert all(len(f.requests("Sample")) == 1 for f in fakes)


def test_one_seed_is_chosen_for_all(replicas, fakes):
    first, second = (replicas.sample("models/one", 100) for _ in range(2))
    seeds = {r.seed for f in fakes for r in f.requests("Sample")}
    assert seeds == {first.attrs["kohort"]["seed"], second.attrs["kohort"]["seed"]}
    assert len(seeds) == 2
    assert_frame_equal(first, alone(fakes[0], 100, seed=first.attrs["kohort"]["seed"]))


def test_several_tables(replicas, fakes):
    with kohort.Client(fakes[0].target) as client:
        whole = client.sample_tables("models/two", 100, seed=3)
    fakes[1].fail("Sample", Fault(after=4), Fault(after=2))  # within a unit's tables
    got = replicas.sample_tables("models/two", 100, seed=3)
    assert list(got) == list(whole)
    for name, frame in whole.items():
        assert_frame_equal(got[name], frame)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("code", [CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED])
def test_what_a_server_leaves_of_its_part_another_draws(replicas, fakes, after, code):
    whole = alone(fakes[0], 100, seed=5)
    for fake in fakes[:2]:
        fake.fail("Sample", *[Fault(code, after=after, retry_after=0.01)] * 3)
    batches = list(replicas.sample_batches("models/one", 100, seed=5))
    assert digest_of(batches) == digest_of(
        kohort.Client(fakes[0].target).sample_batches("models/one", 100, seed=5)
    )
    assert [b.batch.first_unit for b in batches] == sorted(b.batch.first_unit for b in batches)
    assert_frame_equal(replicas.sample("models/one", 100, seed=5), whole)


def test_a_call_cut_off_by_a_stopping_server_goes_to_another(replicas, fakes):
    whole = alone(fakes[2], 100, seed=5)
    for fake in fakes:
        fake.fail("Sample", Fault(CODE.CANCELLED, after=1))
    assert_frame_equal(replicas.sample("models/one", 100, seed=5), whole)


def test_a_server_that_is_gone_for_good_is_done_without(replicas, fakes):
    batches = replicas.sample_batches("models/one", 2000, seed=5)
    digest = ContentDigest()
    digest.add(next(batches).batch)
    fakes[0].__exit__()
    for batch in batches:
        digest.add(batch.batch)
    with kohort.Client(fakes[1].target) as client:
        assert digest.digest() == digest_of(client.sample_batches("models/one", 2000, seed=5))


def test_without_any_server_it_ends(open_replicas, fakes):
    replicas = open_replicas(fakes)
    for fake in fakes:
        fake.__exit__()
    with pytest.raises(kohort.Unavailable):
        replicas.sample("models/one", 100, seed=5)


def test_when_all_leave_on_the_way_it_ends(open_replicas, fakes):
    patience = kohort.Retry(initial_backoff=0.01, max_backoff=0.05, stream_patience=0.2)
    batches = open_replicas(fakes, retry=patience, ahead_bytes=0).sample_batches("models/one", 9999, seed=5)
    next(batches)
    for fake in fakes:
        fake.__exit__()
    with pytest.raises(kohort.Unavailable):
        list(batches)


@pytest.mark.parametrize("ahead", [0, 3000])
def test_no_more_waits_than_was_allowed(open_replicas, fakes, ahead):
    sent = []
    for fake in fakes:
        fake.tamper = lambda response: sent.append(response.batch.row_count)
    replicas = open_replicas(fakes, ahead_bytes=ahead, part_units=2000)
    batches = replicas.sample_batches("models/one", 100_000, seed=5)
    drawing = batches.gi_frame
    held, each = [], 0
    for batch in islice(batches, 100):
        held.append(drawing.f_locals["drawing"]._held)
        each = batch.batch.nbytes
    # Each of the three may bring one batch, or the rest of a message, past the limit.
    assert max(held) <= ahead + 3 * each
    batches.close()


def test_a_part_is_put_aside_for_an_earlier_one(open_replicas, fakes):
    """Both servers left are full of later rows when the one with the next rows goes."""
    whole = alone(fakes[0], 120, seed=5)
    go = threading.Event()

    def hold(response):
        if response.HasField("batch") and response.batch.first_unit == 10:
            go.wait(30)

    for fake in fakes:
        fake.tamper = hold
        fake.fail("Sample", Fault(after=10_000))
    replicas = open_replicas(fakes, ahead_bytes=1, part_units=40)
    batches = replicas.sample_batches("models/one", 120, seed=5)
    first = next(batches)
    holder = next(f for f in fakes if any(r.start_unit == 0 for r in f.requests("Sample")))
    stopping = threading.Thread(target=holder.server.stop, args=(0,))
    stopping.start()
    go.set()
    rest = list(batches)
    stopping.join()
    assert len(first) + sum(map(len, rest)) == len(whole)
    with kohort.Client(next(f for f in fakes if f is not holder).target) as client:
        expected = digest_of(client.sample_batches("models/one", 120, seed=5))
    assert digest_of([first, *rest]) == expected


def test_a_whole_part_is_not_put_aside(open_replicas, fakes):
    """Though more waits than may, and an earlier part is there to be drawn."""
    fakes = fakes[:2]
    whole, go, others = alone(fakes[0], 80, seed=5), threading.Event(), threading.Event()

    def hold(response):
        if response.HasField("batch"):
            others.set() if response.batch.first_unit else go.wait(30)

    for fake in fakes:
        fake.tamper = hold
    replicas = open_replicas(fakes, ahead_bytes=1, part_units=10)
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(replicas.sample, "models/one", 80, seed=5, timeout=60)
        assert others.wait(30)
        holder = next(f for f in fakes if any(r.start_unit == 0 for r in f.requests("Sample")))
        pool.submit(holder.server.stop, 0)
        go.set()
        assert_frame_equal(reading.result(), whole)


def test_leaving_the_iteration_ends_the_streams(replicas, fakes):
    batches = replicas.sample_batches("models/one", 10_000_000, seed=1)
    next(batches)
    batches.close()
    for fake in fakes:
        assert len(alone(fake, 5)) == 5
    names = {t.name for t in threading.enumerate()}
    for thread in threading.enumerate():
        if thread.name.startswith("kohort-replica"):
            thread.join(30)
    assert not any(t.name.startswith("kohort-replica") for t in threading.enumerate()), names


@pytest.mark.parametrize("late", [False, True])
def test_another_runtime_is_refused_unless_it_is_allowed(open_replicas, fakes, late):
    fakes[2].fingerprint = "cpu-2"
    if late:  # it joins only for what the others leave
        for fake in fakes[:2]:
            fake.fail("Sample", Fault(after=2), *[Fault()] * 50)
    each_is_asked(fakes)
    with pytest.raises(kohort.ReplicasDiffer) as caught:
        open_replicas(fakes).sample("models/one", 2000, seed=5)
    assert caught.value.fact == "runtime_fingerprint"
    assert sorted(caught.value.values.values()) == ["cpu-1", "cpu-2"]
    assert fakes[2].target in caught.value.values
    if not late:
        assert len(open_replicas(fakes, same_runtime=False).sample("models/one", 200, seed=5)) == 200


def test_another_model_is_refused(open_replicas, fakes):
    fakes[1].models["models/one"].content_digest = bytes(32)
    for allowed in (True, False):
        each_is_asked(fakes)
        with pytest.raises(kohort.ReplicasDiffer, match="content_digest"):
            open_replicas(fakes, same_runtime=allowed).sample("models/one", 2000, seed=5)


def test_servers_behind_one_name_are_told_apart(fakes):
    fakes[1].fingerprint = "cpu-2"
    with kohort.Client(fakes[0].target) as one, kohort.Client(fakes[1].target) as two:
        two.target = one.target
        asked = [threading.Event(), threading.Event()]
        for number, fake in enumerate(fakes[:2]):
            # Each has a part before the other has done its own.
            fake.tamper = lambda _, n=number: asked[n].set() or asked[1 - n].wait(30)
        with pytest.raises(kohort.ReplicasDiffer) as caught:
            kohort.Replicas([one, two], part_units=20).sample("models/one", 40, seed=5)
    assert sorted(caught.value.values.values()) == ["cpu-1", "cpu-2"]


def test_a_model_is_found_by_its_content(open_replicas, replicas, fakes):
    whole = alone(fakes[0], 100, seed=5)
    for number, fake in enumerate(fakes):
        model = fake.models.pop("models/one")
        model.name = "models/one"  # what the fake makes rows for
        fake.models[f"models/{number}"] = model
        fake.models["models/one"] = model
    digest = fakes[0].models["models/one"].content_digest.hex()
    assert_frame_equal(replicas.sample(digest, 100, seed=5), whole)
    del fakes[1].models["models/one"], fakes[1].models["models/1"]
    others = open_replicas(fakes)
    each_is_asked(fakes, "ListModels")
    with pytest.raises(kohort.NotFound, match=fakes[1].target):
        others.sample(digest, 2000, seed=5)


def test_what_cannot_be_drawn_ends_the_sample_after_the_rows_before_it(replicas, fakes):
    unsatisfied = Fault(
        CODE.FAILED_PRECONDITION, reason="CONDITION_UNSATISFIED", after=3, metadata={"units_reached": "10"}
    )
    for fake in fakes:
        fake.fail("Sample", unsatisfied)
    batches, got = replicas.sample_batches("models/one", 60, seed=5, start=100), []
    with pytest.raises(kohort.ConditionUnsatisfied) as caught:
        got.extend(batch for batch in batches)
    assert caught.value.units_reached == 10
    with pytest.raises(kohort.NotFound):
        replicas.sample("models/none", 60, seed=5)


def test_the_limits_are_passed_on(replicas, fakes):
    replicas.sample("models/one", 100, seed=5, temperature=1.5, conditions={"sex": "f"}, max_attempts=7)
    requests = [r for f in fakes for r in f.requests("Sample")]
    assert {(r.temperature, r.max_attempts) for r in requests} == {(1.5, 7)}
    assert {r.conditions[0].column for r in requests} == {"sex"}


def test_acceptance_is_counted_over_all_parts(replicas, fakes):
    for fake in fakes:
        fake.drawn_per_unit = 4
    assert replicas.sample("models/one", 100, seed=5).attrs["kohort"]["acceptance_rate"] == 0.25


def test_an_altered_part_is_refused(replicas, fakes):
    def change(response):
        if response.HasField("batch"):
            response.batch.columns[0].int64s.values[0] += 1

    hold = each_is_asked(fakes)
    fakes[1].tamper = lambda response: hold(response) or change(response)
    with pytest.raises(kohort.IntegrityError):
        replicas.sample("models/one", 2000, seed=5)


def test_the_last_trailer_is_waited_for(replicas, fakes):
    def change(response):
        if response.HasField("trailer"):
            threading.Event().wait(0.2)  # the rows are all there long before
            response.trailer.digest = bytes(32)

    for fake in fakes:
        fake.tamper = change
    with pytest.raises(kohort.IntegrityError):
        replicas.sample("models/one", 5, seed=5)


def test_the_timeout_covers_all_of_it(replicas, fakes):
    go = threading.Event()
    for fake in fakes:
        fake.tamper = lambda _: go.wait(30)
    with pytest.raises(kohort.DeadlineExceeded):
        replicas.sample("models/one", 100, seed=5, timeout=0.3)
    go.set()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="replica"):
        kohort.Replicas([])
    with pytest.raises(ValueError, match="negative"):
        kohort.Replicas(["localhost:1"], part_units=-1)
    with kohort.Replicas("localhost:1") as one, pytest.raises(ValueError, match="2\\^53"):
        one.sample("models/one", 0)


def test_clients_that_were_given_stay_open(fake):
    with kohort.Client(fake.target) as client:
        with kohort.Replicas([client]) as replicas:
            assert len(replicas.sample("models/one", 5, seed=1)) == 5
        assert len(client.sample("models/one", 5)) == 5
