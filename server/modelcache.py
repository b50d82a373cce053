"""Generators held ready to sample: a bounded cache over the blobs of published bundles."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kohort.programs import Program
from server.context import span
from server.metrics import Metrics
from server.records import ModelRecord
from server.threads import Threads


@dataclass
class Loaded:
    """A generator ready to sample."""

    program: Program
    content_digest: bytes
    privacy: Mapping[str, Any]
    training_rows: int = 0
    """Rows that it learned from; 0 where the bundle does not say."""
    training_patients: int = 0
    """Patients that it learned from; 0 where the bundle does not say."""
    units_per_second: float = 0.0
    """The best rate seen: what no stream is likely to beat."""

    def saw(self, units: int, seconds: float) -> None:
        """Notes how long some units took."""
        if units >= 256 and seconds > 0:
            self.units_per_second = max(self.units_per_second, units / seconds)


class ModelCache:
    """The most recently used generators; each is loaded once, however many ask.

    Args:
        load: reads and checks the bundle of a model; runs on a sampling thread.
        threads: the sampling threads.
        size: generators at most. Streams under way keep theirs until they end.
    """

    def __init__(
        self, load: Callable[[ModelRecord], Loaded], threads: Threads, size: int, metrics: Metrics
    ) -> None:
        self._load = load
        self._threads = threads
        self._size = size
        self._metrics = metrics
        self._entries: OrderedDict[str, asyncio.Task[Loaded]] = OrderedDict()

    def holds(self, model: ModelRecord) -> bool:
        """Whether a model is ready: `get` would not wait."""
        task = self._entries.get(model.blob_key)
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    async def get(self, model: ModelRecord) -> Loaded:
        """The generator of a model. Raises what reading its bundle raises; the next call tries again."""
        key = model.blob_key
        task = self._entries.get(key)
        if task is not None and task.done() and (task.cancelled() or task.exception()):
            del self._entries[key]
            task = None
        if task is None:
            self._metrics.cache_misses.inc()
            span().note({"kohort.model_cached": False})
            task = asyncio.create_task(self._read(model))
            self._entries[key] = task
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        else:
            self._metrics.cache_hits.inc()
            span().note({"kohort.model_cached": True})
            self._entries.move_to_end(key)
        self._metrics.cached_models.set(len(self._entries))
        # One caller that leaves must not take the model away from the others.
        return await asyncio.shield(task)

    async def _read(self, model: ModelRecord) -> Loaded:
        with span().part("model.load"):
            return await self._threads.run(self._load, model)

    def forget(self, model: ModelRecord) -> None:
        """Drops a deleted model; streams under way go on."""
        self._entries.pop(model.blob_key, None)
        self._metrics.cached_models.set(len(self._entries))
