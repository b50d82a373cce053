"""The program `single_pass`: one graph maps a block of noise to a block of rows.

`manifest.program` holds, besides name and version:

    unit      "row"
    table     the table that is emitted
    graph     the file of the graph, such as "graphs/main.onnx"
    noise     scheme (1 or 2), stream, block (units per run), uniforms, normals
    variant   "fp32", or "int8" where the network is one of whole numbers; absent: "fp32"

The graph takes `uniform` float32 [block, uniforms] and `normal` float32
[block, normals]; one of them is absent when its count is 0. For the j-th column
that is modelled and emitted it gives `c{j}`, in the type of the column's
storage (STRING: int64 positions in the dictionary), and `v{j}` (bool, true
where the cell is not null) if cells may be null; all of shape [block]. Columns
to be regenerated are fresh fakes of the unit (`kohort.fakes`).

Version 2 has a second graph, which completes rows:

    given_graph   its file; it takes `given` float64 [block, F] and `mask` bool
                  [block, F] as well, and `temperature` and `top_p` float32 [block, 1]
    features      how cells become those F inputs (`kohort.features`)
    temperature   whether the last two do something

It runs where something is given; where nothing is, rows come from the first.

The graphs always run on whole blocks, from unit 0 on, and rows are sliced out,
so that no range and no batch size can change a byte. Units that are rejected
are drawn again in whole blocks, too (`kohort.rejection`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.asking import Ask
from kohort.batching import TARGET_BYTES
from kohort.columns import Array, Batch, Mask
from kohort.fakes import fake_column
from kohort.graphcheck import check_graph
from kohort.manifest import Manifest, invalid
from kohort.noise import Floats, block_noise, check_units, substreams
from kohort.plan import ELEMENTS, check, check_signatures, dictionaries, read_plan
from kohort.problem import Problem
from kohort.rejection import Cells, Places, Settled, Stopped, settle
from kohort.schema import Column, Schema, Storage
from kohort.sessions import Session, SessionFactory, run_graph, runtime_fingerprint
from kohort.spec import Draws, SampleSpec

__all__ = ["SinglePass", "check"]

_TOGETHER = 16
"""Blocks at most that make one batch."""


class SinglePass:
    """A loaded `single_pass/1` program (see `kohort.programs.Program`)."""

    unit = "row"

    def __init__(
        self, manifest: Manifest, graphs: Mapping[str, bytes], session_factory: SessionFactory
    ) -> None:
        self._plan = plan = read_plan(manifest)
        if not plan.graphs <= set(graphs):
            raise invalid("manifest.program.graph", "names no graph of the bundle")
        infos = {name: check_graph(graphs[name]) for name in plan.graphs}
        check_signatures(plan, infos)
        table = plan.table
        self.schema = Schema((table.with_columns(table.emitted),))
        self._strings = dictionaries(manifest, table, plan.modelled)
        self.dictionaries = {(table.name, name): strings for name, strings in self._strings.items()}
        found = infos[plan.graph].outputs
        self._outputs = [n for n in _output_names(len(plan.modelled)) if n in found]
        self._nullable = frozenset(c.name for j, c in enumerate(plan.modelled) if f"v{j}" in found)
        self._session = session_factory(graphs[plan.graph])
        self._factory, self._given_graph = session_factory, graphs.get(plan.given_graph, b"")
        self._opening = Lock()
        self.fingerprint = runtime_fingerprint(manifest.content_digest, self._session, plan.variant)

    @cached_property
    def _given_session(self) -> Session:
        # Most samples ask for nothing; the graph takes memory.
        return self._factory(self._given_graph)

    def check(self, spec: SampleSpec, start: int, count: int) -> None:
        """Raises Problem as `kohort.programs.check_spec` does."""
        check_units(start, count)
        self._ask(spec, start, count)

    def _ask(self, spec: SampleSpec, start: int, count: int) -> Ask:
        ask = Ask(spec, self._plan, self.schema, self._nullable, self._strings)
        if ask.partial is not None and not (
            ask.partial.first <= start and start + count <= ask.partial.first + ask.partial.rows
        ):
            raise Problem.at("INVALID_REQUEST", "partial_rows", "are not the rows of exactly these units")
        return ask

    def units(self, spec: SampleSpec, start: int, count: int, draws: Draws | None = None) -> Iterator[Batch]:
        """Units [start, start + count). A batch is what was asked for of a block of noise, or of several."""
        check_units(start, count)
        ask = self._ask(spec, start, count)
        draws = Draws() if draws is None else draws
        make = self._free_units if ask.free else self._asked_units
        # Whoever stops waits for no further run of the graph.
        with suppress(Stopped):
            yield from make(spec, ask, start, start + count, draws)

    def _free_units(self, spec: SampleSpec, ask: Ask, start: int, stop: int, draws: Draws) -> Iterator[Batch]:
        """Where nothing is asked, columns are checked and joined for many blocks at once.

        The first block goes alone, so that it is early; then more and more, up to what a message wants.
        """
        size, low, blocks, most = self._plan.block, start, 1, 0
        # For the whole stream: to take and give back so much with each block takes as long as to fill it.
        plan = self._plan
        room = np.empty((size, plan.uniforms), np.float32), np.empty((size, plan.normals), np.float32)
        while low < stop:
            first = low // size
            high = min(stop, (first + blocks) * size)
            runs = [
                self._run(*self._noise(spec, block, room), self._given(ask, block), draws)
                for block in range(first, -(-high // size))
            ]
            cells = self._arrays(runs)
            draws.drawn += high - low
            batch = self._batch(spec, ask, cells, first * size, low, high)
            yield batch
            if not most:
                most = min(_TOGETHER, -(-TARGET_BYTES * batch.row_count // (size * max(1, batch.nbytes))))
            low, blocks = high, min(2 * blocks, most)

    def _asked_units(
        self, spec: SampleSpec, ask: Ask, start: int, stop: int, draws: Draws
    ) -> Iterator[Batch]:
        """Where something is, block by block."""
        size = self._plan.block
        for block in range(start // size, -(-stop // size) if start < stop else 0):
            first = block * size
            low, high = max(start, first), min(stop, first + size)
            cells, reached = self._cells(spec, ask, block, low - first, high - first, draws)
            if reached > low:
                yield self._batch(spec, ask, cells, first, low, reached)
            if reached < high:
                raise Problem(
                    "CONDITION_UNSATISFIED",
                    f"one unit met the conditions in none of {spec.max_attempts} attempts; "
                    f"{reached - start} units before it were reached",
                    metadata={"units_reached": str(reached - start), "next_unit": str(reached)},
                )

    def _batch(self, spec: SampleSpec, ask: Ask, cells: Cells, first: int, low: int, high: int) -> Batch:
        """Units [low, high) of cells that begin at unit `first`."""
        emitted = self._plan.table.emitted
        fakes = {c.name: fake_column(c, spec.seed, low, high) for c in emitted if c.name not in cells}
        if ask.partial is not None:
            fakes = ask.partial.overlay(fakes, np.arange(low, high))
        arrays = {
            c.name: fakes[c.name] if c.name in fakes else cells[c.name].slice(low - first, high - first)
            for c in emitted
        }
        return Batch(self._plan.table.name, arrays, low, 0, high)

    def _cells(
        self, spec: SampleSpec, ask: Ask, block: int, low: int, high: int, draws: Draws
    ) -> tuple[Cells, int]:
        """The modelled cells of a block, right in [low, high), and the unit up to which they are there."""
        plan, size = self._plan, self._plan.block
        first, places = block * size, np.arange(size)
        picks = ask.picks(block)
        run = self._run(*self._noise(spec, block), self._given(ask, block, picks), draws)
        cells: Cells = self._arrays([run])

        def finished(cells: Cells, places: Places, attempts: Places) -> tuple[Cells, Mask]:
            if ask.partial is not None:
                cells = ask.partial.overlay(cells, first + places)
            return cells, ask.accept(cells, block, places, attempts, picks)

        def draw(places: Places, attempts: Places) -> tuple[Cells, Mask]:
            noise = substreams(
                spec.seed, first + places, attempts, plan.stream, plan.uniforms, plan.normals, plan.scheme
            )
            given = ask.given(block, places, attempts, picks) if ask.native else {}
            padded = {name: _padded(tensor, size) for name, tensor in given.items()}
            made = self._arrays([self._run(_padded(noise[0], size), _padded(noise[1], size), padded, draws)])
            cut = {name: array.slice(0, places.size) for name, array in made.items()}
            return finished(cut, places, attempts)

        cells, passed = finished(cells, places, np.zeros(size, np.int64))
        wanted = np.ones(size, np.bool_) if ask.partial is None else ask.partial.wanted(first + places)
        settled: Settled = settle(cells, passed, wanted, low, high, spec.max_attempts, draw)
        draws.drawn += int(settled.attempts[low : settled.reached].sum())
        if ask.partial is not None:
            done = first + np.arange(low, settled.reached) - ask.partial.first
            draws.unlearned += int(ask.partial.unlearned[done].sum())
        return settled.cells, first + settled.reached

    def _noise(
        self, spec: SampleSpec, block: int, out: tuple[Floats, Floats] | None = None
    ) -> tuple[Floats, Floats]:
        plan = self._plan
        return block_noise(
            spec.seed, plan.stream, block, plan.block, plan.uniforms, plan.normals, plan.scheme, out
        )

    def _given(self, ask: Ask, block: int, picks: Places | None = None) -> Mapping[str, npt.NDArray[Any]]:
        """What attempt 0 of a block gives to the graph besides noise."""
        if not ask.native:
            return {}
        return ask.given(
            block, np.arange(self._plan.block), None, ask.picks(block) if picks is None else picks
        )

    def _run(
        self, uniform: Floats, normal: Floats, given: Mapping[str, npt.NDArray[Any]], draws: Draws
    ) -> list[Any]:
        """The outputs of the graph for one block, in the order of `_outputs`, as they come."""
        if draws.stopped:
            raise Stopped
        feeds: dict[str, npt.NDArray[Any]] = {"uniform": uniform, "normal": normal}
        feeds = {name: noise for name, noise in feeds.items() if noise.shape[1]} | dict(given)
        session = self._session
        if given:
            with self._opening:
                session = self._given_session
        return run_graph(session, feeds, self._outputs)

    def _arrays(self, runs: Sequence[Sequence[Any]]) -> dict[str, Array]:
        """The modelled columns of some blocks, checked, one block after another."""
        found = dict(zip(self._outputs, zip(*runs, strict=True), strict=True))
        return {
            column.name: self._array(column, found[f"c{j}"], found.get(f"v{j}", ()))
            for j, column in enumerate(self._plan.modelled)
        }

    def _array(self, column: Column, cells: Sequence[Any], known: Sequence[Any]) -> Array:
        where = f"{self._plan.table.name}.{column.name}"
        values = self._joined(cells, ELEMENTS[column.storage][1], where)
        valid = self._joined(known, np.bool_, where) if known else None
        if valid is not None:
            if valid.all():
                valid = None
            else:
                values = np.where(valid, values, values.dtype.type(0))
        if column.storage is Storage.DOUBLE and not np.isfinite(values).all():
            raise invalid(where, "the graph emits something that is no number")
        dictionary = self.dictionaries.get((self._plan.table.name, column.name))
        if dictionary is not None:
            # Null cells are 0, which only an empty dictionary has no string for.
            unused = not dictionary and valid is not None and not valid.any()
            # Without its sign a negative position is far outside, too.
            if values.view(np.uint64).max() >= len(dictionary) and not unused:
                raise invalid(where, "the graph emits a position outside the dictionary")
            values = values.astype("<u4")
        return Array(column.storage, values, valid, dictionary)

    def _joined(self, parts: Sequence[Any], dtype: npt.DTypeLike, where: str) -> npt.NDArray[Any]:
        if not all(part.shape == (self._plan.block,) and part.dtype == dtype for part in parts):
            raise invalid(where, "the graph emits another type or shape than it should")
        return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _output_names(columns: int) -> list[str]:
    return [f"{kind}{j}" for j in range(columns) for kind in "cv"]


def _padded(tensor: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """The rows of [n, w] and the first of them again, [size, w]."""
    return np.concatenate([tensor, np.repeat(tensor[:1], size - len(tensor), axis=0)])
