"""Putting a sample together: what has arrived, whether it is whole, and from where to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kohort import messages, wire
from kohort.calls import METHODS
from kohort.columns import Array, Batch, ContentDigest
from kohort.effects import Emit, Operation
from kohort.errors import IntegrityError, RpcError
from kohort.partial import cut
from kohort.problem import Problem
from kohort.release import ReleaseState
from kohort.resources import Provenance
from kohort.schema import Schema, Storage, TableSchema
from kohort.v1 import sampling_pb2
from kohort.wishes import Asked

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class Tally:
    """What a sample took, by its trailers; known once its iteration has ended.

    Attributes:
        units: those that trailers tell of: all, unless the stream broke on its way.
        drawn: draws behind them, rejected ones included.
    """

    units: int = 0
    drawn: int = 0

    @property
    def acceptance_rate(self) -> float:
        """Units for each draw; 1 where nothing was rejected."""
        return self.units / self.drawn if self.drawn else 1.0


@dataclass(frozen=True)
class SampleBatch:
    """Synthetic rows of one table: whole units, in order.

    Attributes:
        batch: the rows as typed columns; `batch.first_unit` is the unit of the first.
        tables: the schema of the whole sample.
        provenance: where the rows come from.
        tally: how much had to be rejected; one for all batches of a sample.
    """

    batch: Batch
    tables: Schema
    provenance: Provenance
    tally: Tally = field(default_factory=Tally)

    @property
    def table(self) -> str:
        """The table's name."""
        return self.batch.table

    @property
    def schema(self) -> TableSchema:
        """The table's schema."""
        return self.tables.table(self.batch.table)

    def __len__(self) -> int:
        return self.batch.row_count

    def to_frame(self) -> pd.DataFrame:
        """The rows as a frame in the types of the training data; `attrs["kohort"]` says where from."""
        from kohort.frames import to_frame

        return mark(to_frame(self.schema, self.batch.arrays), self.provenance)

    def to_arrow(self) -> pa.RecordBatch:
        """The rows as an Arrow record batch. Needs ``kohort[arrow]``."""
        from kohort.arrow import arrow_schema, to_arrow

        return to_arrow(self.schema, self.batch, arrow_schema(self.schema, metadata(self.provenance)))


class SampleState:
    """A `Sample` stream of typed columns (see `kohort.calls.Resumable`). Emits `SampleBatch`.

    A batch is handed on once its units are complete in every table; what a break
    leaves incomplete is forgotten and comes again. Every batch is compared with
    its own digest, every stream that ends with its trailer.
    """

    method = METHODS["Sample"]

    def __init__(
        self,
        model: str,
        asked: Asked,
        before: SampleState | None = None,
        whole: int | None = None,
        told: Callable[[Provenance], None] = lambda _: None,
    ) -> None:
        """
        Args:
            model: its name.
            asked: what is wanted of it.
            before: the stream that this one goes on from, of the same model, seed and runtime;
                both have one provenance.
            whole: units of all streams that make one sample, where there are several.
            told: called once with where the rows come from.
        """
        self._told = told
        self._whole = whole
        self._model = model
        self._asked = asked
        self._seed = asked.seed
        self._next = asked.start
        self._end = None if asked.units is None else asked.start + asked.units
        self._header: sampling_pb2.SampleHeader | None = None
        self.provenance: Provenance | None = None
        self.schema = Schema()
        self.tally = Tally()
        if before is not None:
            self._header, self._seed = before._header, before._seed
            self.provenance, self.schema, self.tally = before.provenance, before.schema, before.tally
        self._begin()

    def _begin(self) -> None:
        self._pending: list[Batch] = []
        self._dictionaries = wire.Dictionaries()
        self._digest: ContentDigest | None = None
        self._rows: Counter[str] = Counter()
        self._from = self._next
        self._trailer = False

    def request(self) -> sampling_pb2.SampleRequest:
        """Asks for the units that are missing, from a server that gives the same bytes."""
        self._begin()
        request = sampling_pb2.SampleRequest(
            model=self._model,
            start_unit=self._next,
            unit_count=0 if self._end is None else self._end - self._next,
            seed=self._seed,
            format=sampling_pb2.SAMPLE_FORMAT_COLUMNS,
            max_batch_rows=self._asked.max_batch_rows,
            runtime_fingerprint="" if self._header is None else self._header.runtime_fingerprint,
            augmentation_factor=self._asked.factor if self._end is None else None,
        )
        wire.sample_spec_to_proto(self._asked.spec, request)
        partial = self._asked.spec.partial
        if partial is not None:
            rest = cut(partial, self._next - partial.first_unit, partial.row_count)
            request.partial_rows.CopyFrom(wire.partial_rows_to_proto(rest))
        return request

    def receive(self, message: sampling_pb2.SampleResponse) -> Operation[None]:
        """Takes a message. Raises IntegrityError when it does not fit what came before."""
        part = message.WhichOneof("part")
        if self._trailer or (part == "header") != (self._digest is None):
            raise IntegrityError("the sample's messages came in the wrong order")
        try:
            match part:
                case "header":
                    self._take_header(message.header)
                case "dictionary":
                    self._dictionaries.add(message.dictionary)
                case "batch":
                    yield from self._take_batch(message.batch)
                case "trailer":
                    self._take_trailer(message.trailer)
        except Problem as problem:
            raise IntegrityError(str(problem)) from problem

    def ended(self) -> bool:
        """Raises IntegrityError when the server ended the stream without a trailer."""
        if not self._trailer:
            raise IntegrityError("the sample ended without its trailer: it is incomplete")
        return True

    def broken(self, error: RpcError) -> bool:
        """Nothing is special about any error."""
        return False

    def complete(self) -> bool:
        """Whether every unit was handed on; a break before the trailer costs nothing then."""
        return self._header is not None and self._next == self._end

    def _take_header(self, header: sampling_pb2.SampleHeader) -> None:
        if self._end is None:
            self._end = self._next + header.unit_count
        if header.start_unit != self._next or header.unit_count != self._end - self._next:
            raise IntegrityError("the sample's header announces other units than were asked for")
        first = self._header
        if first is None:
            self._header, self._seed = header, header.seed
            self.schema = wire.schema_from_proto(header.schema)
            self.provenance = messages.provenance(header)
            if self._whole is not None:
                self.provenance = replace(self.provenance, unit_count=self._whole)
            self._told(self.provenance)
        elif (first.content_digest, first.seed, first.runtime_fingerprint) != (
            header.content_digest,
            header.seed,
            header.runtime_fingerprint,
        ):
            raise IntegrityError("the resumed sample stems from another model, seed or runtime")
        self._digest = ContentDigest(self.schema)

    def _take_batch(self, message: Any) -> Operation[None]:
        assert self._digest is not None
        assert self._end is not None
        batch = wire.decode_batch(message, self.schema.table(message.table), self._dictionaries)
        wire.check_digest(batch, message.digest)
        if not self._next <= batch.next_unit <= self._end:
            raise IntegrityError("the sample's units came in the wrong order")
        self._digest.add(batch)
        self._rows[batch.table] += batch.row_count
        self._pending.append(batch)
        if batch.next_unit > self._next:
            self._next = batch.next_unit
            ready, self._pending = self._pending, []
            for done in ready:
                yield Emit(self._hand_on(done))

    def _hand_on(self, batch: Batch) -> SampleBatch:
        assert self.provenance is not None
        return SampleBatch(batch, self.schema, self.provenance, self.tally)

    def _take_trailer(self, trailer: sampling_pb2.SampleTrailer) -> None:
        assert self._digest is not None
        assert self._end is not None
        if self._pending or self._next != self._end or trailer.unit_count != self._end - self._from:
            raise IntegrityError("the sample has fewer units than its trailer says")
        if {t: n for t, n in trailer.row_counts.items() if n} != {t: n for t, n in self._rows.items() if n}:
            raise IntegrityError("the sample has not the rows that its trailer says")
        if trailer.digest != self._digest.digest():
            raise IntegrityError("the sample's rows do not have the digest of its trailer")
        self._trailer = True
        self.tally.units += trailer.unit_count
        self.tally.drawn += trailer.drawn_units or trailer.unit_count


def about(provenance: Provenance) -> dict[str, Any]:
    """What a sample says about itself wherever it is kept."""
    state = provenance.release_state
    release = {} if state is ReleaseState.UNSPECIFIED else {"release_state": str(state)}
    return {
        "synthetic": provenance.synthetic,
        "model": provenance.model,
        "content_digest": provenance.content_digest,
        "seed": provenance.seed,
        "start_unit": provenance.start_unit,
        "unit_count": provenance.unit_count,
        "runtime_fingerprint": provenance.runtime_fingerprint,
        "differentially_private": provenance.privacy.differentially_private,
        "privacy_statement": provenance.privacy.statement,
        **release,
    }


def metadata(provenance: Provenance) -> dict[str, str]:
    """The same as Arrow and Parquet metadata."""
    said = about(provenance)
    return {f"kohort.{k}": str(v).lower() if isinstance(v, bool) else str(v) for k, v in said.items()}


def mark(frame: pd.DataFrame, provenance: Provenance, tally: Tally | None = None) -> pd.DataFrame:
    """The frame with its provenance in `attrs`, and how much of what was drawn it holds."""
    frame.attrs["kohort"] = about(provenance)
    if tally is not None:
        frame.attrs["kohort"]["acceptance_rate"] = tally.acceptance_rate
    return frame


class Collector:
    """Gathers a sample that fits in memory.

    Args:
        single: refuse a model of several tables at its first batch.
    """

    def __init__(self, *, single: bool = False) -> None:
        self._single = single
        self._batches: list[SampleBatch] = []

    def add(self, batch: SampleBatch) -> None:
        """Takes the next batch. Raises ValueError when there are several tables and one was meant."""
        if self._single and len(batch.tables.tables) != 1:
            names = ", ".join(t.name for t in batch.tables)
            raise ValueError(f"the model has several tables ({names}): use sample_tables")
        self._batches.append(batch)

    def frames(self) -> dict[str, pd.DataFrame]:
        """All rows as one frame per table of the sample, tables without rows included."""
        from kohort.frames import to_frame

        first = self._batches[0]
        parts: dict[str, list[Batch]] = {table.name: [] for table in first.tables}
        for batch in self._batches:
            parts[batch.table].append(batch.batch)
        return {
            table.name: mark(
                to_frame(table, _joined(table, parts[table.name])), first.provenance, first.tally
            )
            for table in first.tables
        }

    def frame(self) -> pd.DataFrame:
        """The rows of the only table."""
        (frame,) = self.frames().values()
        return frame


def _joined(table: TableSchema, batches: list[Batch]) -> dict[str, Array]:
    if not batches:
        return {c.name: _empty(c.storage) for c in table.columns}
    return {c.name: Array.concat([b.arrays[c.name] for b in batches]) for c in table.columns}


def _empty(storage: Storage) -> Array:
    listed = storage is Storage.STRING_LIST
    coded = () if listed or storage is Storage.STRING else None
    return Array.make(storage, [], dictionary=coded, offsets=[0] if listed else None)
