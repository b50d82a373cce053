"""One sample from several servers at once: contiguous parts of its units, joined in order."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

from kohort.calls import DEFAULT, Timeout, timeout_of
from kohort.client import Client
from kohort.drawing import Drawing
from kohort.errors import NotFound
from kohort.model import Model
from kohort.sampling import Collector, SampleBatch
from kohort.uploads import name_of
from kohort.wishes import Limits, asked

if TYPE_CHECKING:
    import pandas as pd

MOST_UNITS = 65_536
_BLOCK = 1024
_PARTS_EACH = 4
_DIGEST_LENGTH = 64


class Replicas:
    """Several servers that have the same model, sampled as one.

    Unit i of (model, seed, limits) is the same on all of them, so that each draws parts
    and the parts, joined in order, are what one server alone would have given. A server
    that goes away is replaced: what is left of its part another one draws. Threads of
    this process do the reading. Safe to use from several threads; close it when done.

    Example:
        >>> with Replicas(["a:50051", "b:50051"]) as replicas:  # doctest: +SKIP
        ...     synthetic = replicas.sample("models/1f0c", 1_000_000, seed=7)

    Args:
        replicas: clients, which stay yours to close, or targets for clients of its own.
        part_units: units of a part; 0 chooses.
        ahead_bytes: how much may wait to be handed on, about, because it was drawn before
            what comes before it.
        same_runtime: whether all must compute in the same way (processor class, version of
            the runtime), to the last bit. Otherwise rows of different parts may differ in
            their last digits from what one server alone would give.
        **settings: of the clients of its own, see `Client`.

    Raises:
        ValueError: no replica at all, or as `Client`.
    """

    def __init__(
        self,
        replicas: Iterable[Client | str],
        *,
        part_units: int = 0,
        ahead_bytes: int = 64 << 20,
        same_runtime: bool = True,
        **settings: Any,
    ) -> None:
        given = [replicas] if isinstance(replicas, str | Client) else list(replicas)
        if not given:
            raise ValueError("name at least one replica")
        if part_units < 0 or ahead_bytes < 0:
            raise ValueError("part_units and ahead_bytes must not be negative")
        self._own = {i: Client(one, **settings) for i, one in enumerate(given) if isinstance(one, str)}
        self.clients = tuple(self._own[i] if isinstance(one, str) else one for i, one in enumerate(given))
        self._part_units, self._ahead_bytes, self._same_runtime = part_units, ahead_bytes, same_runtime
        self._names: dict[tuple[int, str], str] = {}

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the clients of its own; safe to repeat."""
        for client in self._own.values():
            client.close()

    def sample(
        self,
        model: Model | str,
        n: int,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> pd.DataFrame:
        """Synthetic rows as a frame: those of `Client.sample`, drawn by all replicas.

        Args:
            model: a model or its name, where the replicas share their database; or the
                hexadecimal content digest of a bundle that each has imported (`info.content_digest`).
            n: units.
            seed: makes the sample repeatable; by default one is drawn, once for all.
            start: the first unit.
            timeout: seconds for all of it.
            limits: see `Limits`.

        Raises:
            ReplicasDiffer: they have not the same model, or do not compute it in the same way.
            NotFound: one of them has no such model.
            Unavailable: none of them is there any more.
            ValueError, InvalidRequest, IntegrityError and others: as `Client.sample`.
        """
        rows = Collector(single=True)
        for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **limits):
            rows.add(batch)
        return rows.frame()

    def sample_tables(
        self,
        model: Model | str,
        n: int,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> dict[str, pd.DataFrame]:
        """Synthetic rows as one frame per table of the model; otherwise as `sample`."""
        rows = Collector()
        for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **limits):
            rows.add(batch)
        return rows.frames()

    def sample_batches(
        self,
        model: Model | str,
        n: int,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> Iterator[SampleBatch]:
        """Synthetic rows batch by batch in order, for more than fits in memory.

        The servers wait while the reader is busy: no more than about `ahead_bytes` are held.

        Args:
            model: as `sample`.
            n: units.
            seed: as `sample`.
            start: the first unit.
            max_batch_rows: at most so many rows per batch; 0 lets the servers choose.
            timeout: seconds for all of it, the reader's own time included.
            limits: as `sample`.
        """
        seed = secrets.randbits(63) if seed is None else seed
        wanted = asked(n, seed, start, max_batch_rows, **limits)
        settings = self.clients[0]._operations
        drawing = Drawing(
            self.clients,
            lambda client: self._name_on(client, name_of(model)),
            wanted,
            part_units=self._part_units or _part_units(n, len(self.clients)),
            ahead_bytes=self._ahead_bytes,
            same_runtime=self._same_runtime,
            retry=settings.retry,
            timeout=timeout_of(timeout, settings.timeouts.transfer),
        )
        yield from drawing.batches()

    def _name_on(self, client: Client, model: str) -> str:
        """The model's name on one replica: that of the content, where its digest was given."""
        if len(model) != _DIGEST_LENGTH or not set(model) <= set("0123456789abcdef"):
            return model
        key = (id(client), model)
        if key not in self._names:
            found = (m.name for m in client.models() if m.info.content_digest == model)
            name = next(found, None)
            if name is None:
                said = f"{client.target} has no model of this content"
                raise NotFound("NOT_FOUND", said, reason="MODEL_NOT_FOUND")
            self._names[key] = name
        return self._names[key]


def _part_units(n: int, replicas: int) -> int:
    """Several parts for each, so that all end together; whole blocks of noise, none made twice."""
    fair = -(-n // (_PARTS_EACH * replicas))
    return min(MOST_UNITS, max(1, -(-fair // _BLOCK)) * _BLOCK)
