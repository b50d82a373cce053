"""Rows as short sequences of classes: what an autoregressive model of a table predicts, slot by slot.

A category is one slot; one of very many values is two, a block of neighbouring values and the
place in it. A number is whether it is present, then a group of neighbouring atoms of its quantile
function, then the atom. An atom is a value that many share (a spike, a zero) or a short interval
of ranks; a cell of it is drawn by rank, so what comes back is what at least k patients support,
spikes as spikes and gaps as gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices
from trainers.encoding import CategoryEncoding, Encoding, NumberEncoding
from trainers.search import locate

Features: TypeAlias = Sequence[npt.NDArray[Any]] | Mapping[int, npt.NDArray[Any]]
"""Features of an encoding by their places, each [n]."""

DIRECT = 1_024
"""Categories of more values are two slots."""

NEVER = -1e9
"""The logit of a class that does not exist, or is not to be drawn."""

BLOCK = 64
"""Values of one block of such a category."""

_WIDEST = 32
"""Atoms of one group at most."""


@dataclass(frozen=True)
class Resolution:
    """How finely numbers are cut: into about `groups` groups of about `atoms` intervals.

    With one atom per group a number is one slot.
    """

    groups: int
    atoms: int

    @classmethod
    def for_rows(cls, rows: float) -> Resolution:
        """More rows bear finer cuts."""
        side = int(np.clip(round((rows / 12) ** 0.4), 4, 20))
        return cls(side, int(np.clip(side // 2, 2, 10)))


@dataclass(frozen=True, eq=False)
class Slot:
    """One class to be predicted."""

    column: int
    """Its column's place in the encoding."""
    size: int
    """Classes; `size` itself stands for "not applicable" and is never predicted."""
    widths: Indices | None = None
    """With widths [sizes of the slot before]: only the first widths[c] classes exist where that slot is c."""
    ordered: bool = False
    """Whether neighbouring classes are alike."""


@dataclass(frozen=True, eq=False)
class ClassTokens:
    """The slots of a discrete feature of `size` categories."""

    feature: int
    size: int

    @property
    def blocked(self) -> bool:
        """Whether there are two slots."""
        return self.size > DIRECT

    def slots(self, column: int) -> list[Slot]:
        """Block and place, or the category itself; a constant has none."""
        if self.size == 1:
            return []
        if not self.blocked:
            return [Slot(column, self.size)]
        blocks = -(-self.size // BLOCK)
        widths = np.full(blocks, BLOCK)
        widths[-1] = self.size - (blocks - 1) * BLOCK
        return [Slot(column, blocks), Slot(column, BLOCK, widths)]

    def encode(self, features: Features) -> list[Indices]:
        """Tokens [n] by slot."""
        cells = np.asarray(features[self.feature], dtype=np.int64)
        if self.size == 1:
            return []
        return [cells // BLOCK, cells % BLOCK] if self.blocked else [cells]

    def decode(self, tokens: Sequence[Indices], rows: int) -> Indices:
        """Categories [n] of the slots' tokens."""
        if not tokens:
            return np.zeros(rows, dtype=np.int64)
        return tokens[0] * BLOCK + tokens[1] if self.blocked else tokens[0]


@dataclass(frozen=True, eq=False)
class NumberTokens:
    """The slots of a number: present (where it may be null), group, atom."""

    feature: int
    """Of the coordinate; "present" is the one before."""
    encoding: NumberEncoding
    edges: Doubles
    """Ranks at which atoms begin and end, [atoms + 1], from 0 to 1."""
    starts: Indices
    """The first atom of every group, [groups]."""

    @classmethod
    def of(cls, feature: int, encoding: NumberEncoding, resolution: Resolution) -> NumberTokens:
        """Cuts the quantile function of a number."""
        edges = _atom_edges(encoding, resolution)
        masses = np.diff(edges)
        if resolution.atoms == 1:
            return cls(feature, encoding, edges, np.arange(masses.size))
        starts, mass = [0], 0.0
        for atom in range(1, masses.size):
            mass += masses[atom - 1]
            heavy = max(masses[atom - 1], masses[atom]) > 0.75 / resolution.groups
            full = mass + masses[atom] / 2 > 1 / resolution.groups
            if heavy or full or atom - starts[-1] >= _WIDEST:
                starts.append(atom)
                mass = 0.0
        return cls(feature, encoding, edges, np.array(starts))

    @property
    def widths(self) -> Indices:
        """Atoms of every group, [groups]."""
        return np.diff(np.append(self.starts, self.edges.size - 1))

    @property
    def ranks(self) -> tuple[Doubles, Doubles]:
        """First rank and width of every atom, [atoms + 1]; the last is for nulls, which may lie anywhere."""
        return np.append(self.edges[:-1], 0.0), np.append(np.diff(self.edges), 1.0)

    def slots(self, column: int) -> list[Slot]:
        """Up to three; what has one class only is left out."""
        widths = self.widths
        slots = [Slot(column, 2)] if self.encoding.nulls else []
        if widths.size > 1:
            slots.append(Slot(column, widths.size, ordered=True))
        if widths.max() > 1:
            slots.append(Slot(column, int(widths.max()), widths, ordered=True))
        return slots

    @cached_property
    def cuts(self) -> Doubles:
        """Coordinates between atoms, [atoms - 1]: a cell belongs to the atom after those at most as large.

        A spike takes its whole cell, what lies beside it the rest.
        """
        inner = self.edges[1:-1]
        cuts = self.encoding.quantile(inner)
        spike = self.spikes
        half = 0.5 if self.encoding.step else 0.0
        value = self.encoding.quantile((self.edges[:-1] + self.edges[1:]) / 2)
        after = np.nextafter(value + half, np.inf)
        cuts = np.where(spike[1:], value[1:] - half, cuts)
        cuts = np.where(spike[:-1] & ~spike[1:], after[:-1], cuts)
        return np.maximum.accumulate(cuts)

    @property
    def spikes(self) -> npt.NDArray[np.bool_]:
        """Which atoms are one value, [atoms]."""
        u, x = self.encoding.knots_u, self.encoding.knots_x
        flat = (np.diff(x) == 0) & (np.diff(u) > 0)
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        place = np.clip(np.searchsorted(u, middle, side="right") - 1, 0, flat.size - 1)
        spikes: npt.NDArray[np.bool_] = flat[place]
        return spikes

    def encode(self, features: Features) -> list[Indices]:
        """Tokens [n] by slot; a null has no group and no atom."""
        widths = self.widths
        atom = locate(np.asarray(features[self.feature], dtype=np.float64), self.cuts)
        group = locate(atom, self.starts[1:].astype(np.float64))
        tokens = []
        present = np.ones(atom.size, dtype=np.bool_)
        if self.encoding.nulls:
            present = np.asarray(features[self.feature - 1]) == 1
            tokens.append(present.astype(np.int64))
        if widths.size > 1:
            tokens.append(np.where(present, group, widths.size))
        if widths.max() > 1:
            tokens.append(np.where(present, atom - self.starts[group], widths.max()))
        return tokens

    def decode(self, tokens: Sequence[Indices], uniform: npt.NDArray[Any]) -> list[Any]:
        """Features (present if nullable, coordinate), each [n], of tokens; `uniform` [n] places it."""
        rest = list(tokens)
        widths = self.widths
        present = rest.pop(0) if self.encoding.nulls else None
        atom = np.zeros(uniform.size, dtype=np.int64)
        if widths.size > 1:
            atom = np.append(self.starts, 0)[rest.pop(0)]
        if widths.max() > 1:
            atom = atom + np.append(np.arange(widths.max()), 0)[rest.pop(0)]
        if present is not None:
            atom = np.where(present == 1, atom, self.edges.size - 1)
        lows, spans = self.ranks
        x = self.encoding.quantile(lows[atom] + spans[atom] * uniform.astype(np.float64))
        return [x] if present is None else [present, x]


ColumnTokens = ClassTokens | NumberTokens


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The slots of all columns, in schema order."""

    columns: tuple[ColumnTokens, ...]
    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, encoding: Encoding, resolution: Resolution) -> Vocabulary:
        """The vocabulary of an encoding."""
        columns: list[ColumnTokens] = []
        slots: list[Slot] = []
        feature = 0
        for place, column in enumerate(encoding.columns):
            if isinstance(column, CategoryEncoding):
                columns.append(ClassTokens(feature, column.size))
            else:
                columns.append(NumberTokens.of(feature + column.nulls, column, resolution))
            feature += len(column.features)
            slots += columns[-1].slots(place)
        return cls(tuple(columns), tuple(slots))

    @property
    def presence(self) -> npt.NDArray[np.bool_]:
        """Which slots say whether a number is present, [slots]."""
        found = []
        for column in self.columns:
            nullable = isinstance(column, NumberTokens) and column.encoding.nulls
            found += [nullable and place == 0 for place in range(len(column.slots(0)))]
        return np.array(found, dtype=np.bool_)

    @property
    def numbers(self) -> list[NumberTokens]:
        """The columns of numbers, in order."""
        return [column for column in self.columns if isinstance(column, NumberTokens)]

    def encode(self, features: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int32]:
        """Tokens [n, slots]."""
        tokens = [token for column in self.columns for token in column.encode(features)]
        n = len(features[0])
        return np.stack(tokens, axis=1).astype(np.int32) if tokens else np.zeros((n, 0), np.int32)

    def given(self, features: Doubles, mask: npt.NDArray[np.bool_]) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Tokens [n, slots] of given features [n, F], and which slots are given.

        Of a number that may be null, its presence can be given alone; a given value is present.
        """
        n = features.shape[0]
        told, known = np.zeros((n, len(self.slots)), np.int64), np.zeros((n, len(self.slots)), np.bool_)
        first = 0
        for column in self.columns:
            own = slice(first, first + len(column.slots(0)))
            first = own.stop
            if own.start == own.stop:
                continue
            j = column.feature
            known[:, own] = mask[:, [j]]
            cells = {j: features[:, j]}
            if isinstance(column, NumberTokens) and column.encoding.nulls:
                here = mask[:, j] | (features[:, j - 1] > 0.5)
                known[:, own] |= (mask[:, j - 1] & ~here)[:, None]
                known[:, own.start] |= mask[:, j - 1]
                cells[j - 1] = here.astype(np.float64)
            # Cells that are not given are any: their tokens are not looked at.
            for place, token in zip(range(own.start, own.stop), column.encode(cells), strict=True):
                told[:, place] = token
        return told, known


def _atom_edges(encoding: NumberEncoding, resolution: Resolution) -> Doubles:
    """Ranks that cut the quantile function: around spikes, and between them into even intervals.

    Where a number is one slot, only heavy spikes are atoms; others lie whole in an interval, and come
    back with its ranks.
    """
    u, x = encoding.knots_u, encoding.knots_x
    step = 1.0 / (resolution.groups * resolution.atoms)
    flat = (np.diff(x) == 0) & (np.diff(u) > 0)
    spike = flat & (np.diff(u) >= step / 2) if resolution.atoms == 1 else flat
    bounds = np.unique(np.concatenate([[0.0, 1.0], u[:-1][spike], u[1:][spike]]))
    edges = [0.0]
    for low, high in pairwise(bounds):
        inside = bool((spike & (u[:-1] <= low) & (u[1:] >= high)).any())
        pieces = 1 if inside else max(1, round(float(high - low) / step))
        edges += [*np.linspace(low, high, pieces + 1)[1:]]
    result = np.array(edges)
    # No edge within a spike.
    piece = np.clip(np.searchsorted(u, result, side="right") - 1, 0, flat.size - 1)
    result = np.where(flat[piece] & (result > u[piece]), u[piece + 1], result)
    result[-1] = 1.0
    return np.unique(result)
