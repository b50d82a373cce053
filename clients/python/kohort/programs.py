"""How a bundle's graphs become rows: versioned programs, each addressable by unit.

The manifest names the program; a runtime that does not know it refuses the
bundle. Adding one is a file that calls `register_program`, and its import here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kohort.batching import rebatch
from kohort.columns import Batch
from kohort.graphcheck import GraphInfo, check_graph
from kohort.manifest import Manifest
from kohort.noise import MAX_UNIT, check_units
from kohort.problem import Problem
from kohort.schema import Schema
from kohort.sessions import SessionFactory
from kohort.spec import Draws, SampleSpec

__all__ = [
    "MAX_UNIT",
    "PROGRAMS",
    "Draws",
    "Program",
    "SampleSpec",
    "check_program",
    "check_spec",
    "check_units",
    "load_program",
    "rebatch",
    "register_program",
]


class Program(Protocol):
    """A loaded generator. Safe to use from several threads at once."""

    @property
    def unit(self) -> str:
        """What a unit is: "row" or "patient"."""

    @property
    def schema(self) -> Schema:
        """The tables and columns that are emitted, in order."""

    @property
    def dictionaries(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """The strings of dictionary-coded columns by table and column."""

    @property
    def fingerprint(self) -> str:
        """See `kohort.sessions.runtime_fingerprint`."""

    def check(self, spec: SampleSpec, start: int, count: int) -> None:
        """See `check_spec`."""

    def units(self, spec: SampleSpec, start: int, count: int, draws: Draws | None = None) -> Iterator[Batch]:
        """Units [start, start + count), the same however the range is cut.

        Batches come in groups of whole units: within a group tables come in
        schema order, the last batch carries the end of the group as `next_unit`
        and earlier ones its start. A group without rows is one empty batch.

        Raises:
            Problem: UNIT_OUT_OF_RANGE; BUNDLE_INVALID when a graph misbehaves.
        """


Factory = Callable[[Manifest, Mapping[str, bytes], SessionFactory], Program]
Check = Callable[[Manifest, Mapping[str, GraphInfo]], None]


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    check: Check = field(default=lambda _manifest, _graphs: None)


PROGRAMS: dict[str, _Entry] = {}
"""By name and version, such as "single_pass/1"."""


def register_program(name: str, version: int, factory: Factory, check: Check | None = None) -> None:
    """Makes a program known.

    Args:
        name: as in the manifest.
        version: as in the manifest.
        factory: makes a `Program` of manifest, graphs by file name and a session factory.
        check: raises Problem BUNDLE_INVALID when manifest and graphs do not fit,
            without opening a session.
    """
    PROGRAMS[f"{name}/{version}"] = _Entry(factory, check) if check else _Entry(factory)


def check_program(manifest: Manifest, graphs: Mapping[str, bytes]) -> None:
    """Checks that the bundle's graphs are harmless and do what its program expects.

    Raises:
        Problem: PROGRAM_UNKNOWN; OPERATOR_FORBIDDEN and BUNDLE_INVALID as
            `kohort.graphcheck.check_graph`; BUNDLE_INVALID when the graphs do
            not fit the manifest.
    """
    entry = _entry(manifest)
    entry.check(manifest, {name: check_graph(graph) for name, graph in graphs.items()})


def load_program(manifest: Manifest, graphs: Mapping[str, bytes], session_factory: SessionFactory) -> Program:
    """The program of a bundle. Raises Problem PROGRAM_UNKNOWN, and BUNDLE_INVALID as its factory does."""
    return _entry(manifest).factory(manifest, graphs, session_factory)


def check_spec(program: Program, spec: SampleSpec, start: int = 0, count: int = 0) -> None:
    """Refuses what a program cannot do, before anything is drawn.

    Args:
        program: the generator.
        spec: what is asked of it.
        start: the first unit asked for.
        count: how many; with partial rows, all of them lie within the rows.

    Raises:
        Problem: CONDITION_UNSUPPORTED for what the model cannot honour; INVALID_REQUEST,
            UNKNOWN_TABLE and UNKNOWN_COLUMN for what makes no sense, naming the field
            or column, never a value; UNIT_OUT_OF_RANGE.
    """
    program.check(spec, start, count)


def _entry(manifest: Manifest) -> _Entry:
    try:
        return PROGRAMS[manifest.program_name]
    except KeyError:
        raise Problem.at(
            "PROGRAM_UNKNOWN", "manifest.program", "this runtime does not know the program of the bundle"
        ) from None


def _register_built_in() -> None:
    from kohort import single_pass

    for version in (1, 2):
        register_program("single_pass", version, single_pass.SinglePass, single_pass.check)


_register_built_in()
