"""Whether and when to try again: decisions only, no clock is waited on here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from kohort.config import Retry
from kohort.errors import DeadlineExceeded, RpcError


class Attempts:
    """The tries of one call under one deadline.

    Args:
        retry: the policy.
        timeout: seconds for all tries and the waits between them; None for no limit.
        clock: monotonic seconds.
        jitter: uniform numbers in [0, 1).
    """

    def __init__(
        self,
        retry: Retry,
        timeout: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry
        self._clock = clock
        self._jitter = jitter
        self._deadline = None if timeout is None else clock() + timeout
        self._failures = 0
        self._begun = False
        self._failing_since = 0.0

    def remaining(self) -> float | None:
        """Seconds left for the next try, None for no limit. Raises DeadlineExceeded when none are."""
        if self._deadline is None:
            return None
        left = self._deadline - self._clock()
        if left <= 0:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the timeout was over before the call was done")
        return left

    def progressed(self) -> None:
        """A stream brought something: from now on it is resumed with patience, counted anew."""
        self._begun = True
        self._failures = 0

    def wait_after(self, error: RpcError) -> float:
        """Seconds to wait before the next try. Raises `error` when there should be none."""
        if self._failures == 0:
            # Counted from the break: a reader that takes its time over what came is not to blame for it.
            self._failing_since = self._clock()
        self._failures += 1
        if not self._retryable(error) or self._exhausted():
            raise error
        backoff = self._retry.initial_backoff * self._retry.multiplier ** (self._failures - 1)
        wait = min(backoff, self._retry.max_backoff)
        wait *= 1 + self._retry.jitter * (2 * self._jitter() - 1)
        wait = max(wait, error.retry_after or 0.0)
        if self._deadline is not None and self._clock() + wait >= self._deadline:
            raise error
        return wait

    def _retryable(self, error: RpcError) -> bool:
        if error.code == "UNAVAILABLE":
            return True
        return error.code == "RESOURCE_EXHAUSTED" and error.retry_after is not None

    def _exhausted(self) -> bool:
        if self._begun:
            return self._clock() - self._failing_since > self._retry.stream_patience
        return self._failures >= self._retry.attempts
