"""The finished `argn`: slots drawn one after the other, as a graph and in torch, rows begun or whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Floats, Given, Indices, Noise, Ops
from trainers.encoding import Encoding
from trainers.search import (
    BOOL,
    COLUMNWISE,
    DOUBLE,
    INT64,
    cast,
    flatten,
    gather,
    gather_all,
    split,
    write_interpolate_all,
    write_locate_all,
)
from trainers.tokens import BLOCK, NEVER, ClassTokens, NumberTokens, Vocabulary

if TYPE_CHECKING:
    from trainers.argn_network import Network

_PART = 8_192


@dataclass(frozen=True, eq=False)
class ArgnGenerator:
    """A `Generator` and a `ConditionalGenerator` (see `trainers.base`)."""

    encoding: Encoding
    vocabulary: Vocabulary
    network: Network
    """In evaluation mode, on the CPU."""

    @property
    def noise(self) -> Noise:
        """A uniform per slot, then one per number for the rank within its atom; one at least."""
        return Noise(max(1, len(self.vocabulary.slots) + len(self.vocabulary.numbers)), 0)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """Slot by slot; the first layers of a chunk of slots are one product."""
        return Writer(self, ops, uniform, None).features()

    def graph_given(self, ops: Ops, uniform: str, normal: str, given: Given) -> Sequence[str]:
        """As `graph`, with what is given in every slot's sight."""
        return Writer(self, ops, uniform, given).features()

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same in torch."""
        n, f = uniform.shape[0], len(self.encoding.features)
        ones = np.ones((n, 1), np.float32)
        return self.reference_given(uniform, normal, np.zeros((n, f)), np.zeros((n, f), np.bool_), ones, ones)

    def reference_given(
        self,
        uniform: Floats,
        normal: Floats,
        features: Doubles,
        mask: npt.NDArray[np.bool_],
        temperature: Floats,
        top_p: Floats,
    ) -> Sequence[Indices | Doubles]:
        """The same in torch."""
        from trainers.argn_sampling import draw

        parts = []
        for start in range(0, max(1, uniform.shape[0]), _PART):
            part = slice(start, start + _PART)
            told, known = self.vocabulary.given(features[part], mask[part])
            tokens = draw(self, uniform[part], told, known, temperature[part], top_p[part])
            parts.append(self._cells(tokens, uniform[part], features[part], mask[part]))
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _cells(
        self, tokens: Indices, uniform: Floats, features: Doubles, mask: npt.NDArray[np.bool_]
    ) -> list[Indices | Doubles]:
        cells: list[Indices | Doubles] = []
        first, number = 0, len(self.vocabulary.slots)
        for column in self.vocabulary.columns:
            own = [tokens[:, first + i] for i in range(len(column.slots(0)))]
            first += len(own)
            if isinstance(column, ClassTokens):
                cells.append(column.decode(own, tokens.shape[0]))
            else:
                cells += column.decode(own, uniform[:, number])
                number += 1
        return [np.where(mask[:, j], features[:, j].astype(cell.dtype), cell) for j, cell in enumerate(cells)]


@dataclass
class Writer:
    """Writes one graph; tensors of slots are [n] tokens and [n, d] embeddings."""

    generator: ArgnGenerator
    ops: Ops
    uniform: str
    given: Given | None
    told: list[str] = field(default_factory=list)
    """Per slot its given token, int64 [n]."""
    known: list[str] = field(default_factory=list)
    """Per slot whether it is given, bool [n]."""
    tokens: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    """Embeddings of the tokens drawn so far."""
    cells: list[str] = field(default_factory=list)
    """Per feature what is given of it, float64 [n]."""
    known_features: list[str] = field(default_factory=list)
    """Per feature whether it is given, bool [n]."""
    turned: str = ""
    """The uniforms, [U, n]."""

    def __post_init__(self) -> None:
        self.vocabulary, self.network = self.generator.vocabulary, self.generator.network
        self.presence = self.vocabulary.presence
        if self.given is not None:
            self._tell(self.given)

    def features(self) -> list[str]:
        """The tensors of all features."""
        self.network.sight.write(self)
        return self._features()

    def table(self, slot: int) -> Floats:
        """Embeddings of a slot's tokens, [size + 1, d]."""
        return self.network.embeddings_of(slot)

    def shown(self, slot: int) -> str:
        """The embedding of a slot where it is given, else 0; [n, d]."""
        part = gather(self.ops, self.table(slot), self.told[slot])
        return str(self.ops.node("Mul", part, self._column(cast(self.ops, self.known[slot], 1))))

    def joined(self, parts: Sequence[str]) -> str:
        """Tensors [n, ...] side by side."""
        return parts[0] if len(parts) == 1 else str(self.ops.node("Concat", *parts, axis=1))

    def constant_row(self, values: Floats) -> str:
        """The same numbers in every row, [n, len(values)]."""
        u = self.ops.slice(self.uniform, 0, 1)
        nothing = self.ops.node("Sub", u, u)
        return self.ops.linear(nothing, np.zeros((values.size, 1), np.float32), values)

    def draw(self, slot: int, hidden: str) -> None:
        """Draws a slot's token from its hidden layer [n, h]."""
        ops, own = self.ops, self.vocabulary.slots[slot]
        weight, bias = self.network.head_of(slot)
        added: Floats | str = bias
        if own.widths is not None:
            added = gather(ops, self.network.prior_of(slot) + bias, self.tokens[-1])
        hidden = ops.node("Relu", hidden)
        if self.given is None and own.size <= COLUMNWISE:
            if isinstance(added, str):
                added = ops.node("Transpose", added, perm=[1, 0])
            logits = ops.linear_columns(hidden, weight, added)
            drawn = ops.draw_columns(logits, self._uniforms([slot]), own.size)
            token = cast(ops, ops.node("Squeeze", drawn, ops.constant([0], np.int64)), INT64)
        else:
            logits = ops.linear(hidden, weight, added)
            if self.given is not None:
                logits = self._nucleus(ops.node("Div", logits, self.given.temperature), self.given.top_p)
            token = ops.draw(logits, ops.slice(self.uniform, slot, slot + 1))
        absent = self._absent(slot)
        if absent:
            token = ops.node("Where", absent, ops.constant(own.size, np.int64), token)
        if self.given is not None:
            token = ops.node("Where", self.known[slot], self.told[slot], token)
        self.tokens.append(token)
        self.seen.append(gather(ops, self.table(slot), token))

    def _absent(self, slot: int) -> str:
        """Where the slot before says that this one does not apply; "" where it always does."""
        slots = self.vocabulary.slots
        if slot == 0 or slots[slot].column != slots[slot - 1].column:
            return ""
        if self.presence[slot - 1]:
            return str(self.ops.node("Equal", self.tokens[-1], self.ops.constant(0, np.int64)))
        if slot > 1 and self.presence[slot - 2] and slots[slot - 2].column == slots[slot].column:
            return str(
                self.ops.node("Equal", self.tokens[-1], self.ops.constant(slots[slot - 1].size, np.int64))
            )
        return ""

    def _nucleus(self, logits: str, top_p: str) -> str:
        """Logits without the classes beyond the fewest that have probability top_p together."""
        ops = self.ops
        shares = ops.node("Softmax", logits, axis=-1)
        size = ops.constant([self.vocabulary.slots[len(self.tokens)].size], np.int64)
        best, _ = ops.node("TopK", shares, size, outputs=2, axis=1)
        before = ops.node("Sub", ops.node("CumSum", best, ops.constant(1, np.int64)), best)
        one = ops.constant(np.float32(1))
        kept = ops.node("Where", ops.node("Less", before, top_p), best, one)
        least = ops.node("ReduceMin", kept, ops.constant([1], np.int64), keepdims=1)
        least = ops.node("Where", ops.node("Less", top_p, one), least, ops.constant(np.float32(0)))
        return str(
            ops.node(
                "Where", ops.node("Less", shares, least), ops.constant(np.full(1, NEVER, np.float32)), logits
            )
        )

    def _column(self, x: str) -> str:
        return str(self.ops.node("Unsqueeze", x, self.ops.constant([1], np.int64)))

    def _uniforms(self, places: Sequence[int]) -> str:
        """Columns of the uniforms as rows, [places, n]."""
        if not self.turned:
            self.turned = self.ops.node("Transpose", self.uniform, perm=[1, 0])
        return str(self.ops.node("Gather", self.turned, self.ops.constant(places, np.int64), axis=0))

    def _tell(self, given: Given) -> None:
        """Given features as tokens: `Vocabulary.given` as a graph."""
        ops, features = self.ops, len(self.generator.encoding.features)
        self.cells = split(ops, given.features, features)
        self.known_features = split(ops, given.mask, features)
        numbers = self._told_numbers(given)
        for column in self.vocabulary.columns:
            if isinstance(column, NumberTokens):
                self._tell_number(column, *next(numbers))
                continue
            if not column.slots(0):
                continue
            parts = [cast(ops, self.cells[column.feature], INT64)]
            if column.blocked:
                block = ops.constant(BLOCK, np.int64)
                parts = [ops.node("Div", parts[0], block), ops.node("Mod", parts[0], block)]
            self.told += parts
            self.known += [self.known_features[column.feature]] * len(parts)

    def _told_numbers(self, given: Given) -> Iterator[tuple[str, str]]:
        """Group and place in it of every number's given cell, int64 [n] each; one search for all."""
        ops, numbers = self.ops, self.vocabulary.numbers
        if not numbers:
            return iter(())
        places = ops.constant([number.feature for number in numbers], np.int64)
        cells = ops.node("Gather", given.features, places, axis=1)
        atom = write_locate_all(ops, cells, [number.cuts for number in numbers])
        groups = [np.repeat(np.arange(number.widths.size), number.widths) for number in numbers]
        inner = [
            np.arange(group.size) - number.starts[group]
            for number, group in zip(numbers, groups, strict=True)
        ]
        both = (split(ops, gather_all(ops, tables, atom), len(numbers)) for tables in (groups, inner))
        return zip(*both, strict=True)

    def _tell_number(self, column: NumberTokens, group: str, inner: str) -> None:
        ops, j, widths = self.ops, column.feature, column.widths
        known, gone = self.known_features[j], ""
        if column.encoding.nulls:
            said = self.known_features[j - 1]
            positive = ops.node("Greater", self.cells[j - 1], ops.constant(0.5, np.float64))
            here = ops.node("Or", known, positive)
            self.told.append(cast(ops, here, INT64))
            self.known.append(ops.node("Or", known, said))
            gone = ops.node("And", said, ops.node("Not", here))
            known = ops.node("Or", known, gone)
        parts = [(group, widths.size)] if widths.size > 1 else []
        parts += [(inner, int(widths.max()))] if widths.max() > 1 else []
        for token, size in parts:
            self.told.append(ops.node("Where", gone, ops.constant(size, np.int64), token) if gone else token)
            self.known.append(known)

    def _features(self) -> list[str]:
        """Cells of tokens: `ArgnGenerator._cells` as a graph."""
        features: list[str] = []
        atoms: list[str] = []
        places: list[int] = []
        first = 0
        for column in self.vocabulary.columns:
            own = self.tokens[first : first + len(column.slots(0))]
            first += len(own)
            if isinstance(column, ClassTokens):
                features.append(self._class(column, own))
                continue
            present = own.pop(0) if column.encoding.nulls else ""
            features += [present] if present else []
            places.append(len(features))
            features.append("")
            atoms.append(self._atom(column, own, present))
        if places:
            for place, cell in zip(places, self._coordinates(atoms), strict=True):
                features[place] = cell
        return [self._kept(j, x) for j, x in enumerate(features)]

    def _kept(self, j: int, x: str) -> str:
        """The feature, or what is given of it."""
        if self.given is None:
            return x
        ops, cell = self.ops, self.cells[j]
        if self.generator.encoding.features[j].size is not None:
            cell = cast(ops, cell, INT64)
        return str(ops.node("Where", self.known_features[j], cell, x))

    def _zeros(self) -> str:
        """int64 [n]."""
        u = flatten(self.ops, self.ops.slice(self.uniform, 0, 1))
        return cast(self.ops, self.ops.node("Less", u, u), INT64)

    def _class(self, column: ClassTokens, own: list[str]) -> str:
        if not own:
            return self._zeros()
        if not column.blocked:
            return own[0]
        return str(
            self.ops.node("Add", self.ops.node("Mul", own[0], self.ops.constant(BLOCK, np.int64)), own[1])
        )

    def _atom(self, column: NumberTokens, own: list[str], present: str) -> str:
        """The atom of a number, int64 [1, n]; one beyond the last where the number is null."""
        ops, widths = self.ops, column.widths
        parts = []
        if widths.size > 1:
            parts.append(gather(ops, np.append(column.starts, 0), own[0]))
            own = own[1:]
        if widths.max() > 1:
            parts.append(gather(ops, np.append(np.arange(widths.max()), 0), own[0]))
        atom = self._zeros() if not parts else parts[0] if len(parts) == 1 else ops.node("Add", *parts)
        if present:
            null = ops.constant(column.edges.size - 1, np.int64)
            atom = ops.node("Where", cast(ops, present, BOOL), atom, null)
        return str(ops.node("Unsqueeze", atom, ops.constant([0], np.int64)))

    def _coordinates(self, atoms: list[str]) -> list[str]:
        """Coordinates of all numbers from their atoms, float64 [n] each."""
        ops, numbers = self.ops, self.vocabulary.numbers
        atom = ops.node("Concat", *atoms, axis=0) if len(atoms) > 1 else atoms[0]
        slots = len(self.vocabulary.slots)
        u = cast(ops, self._uniforms(range(slots, slots + len(numbers))), DOUBLE)
        start, span = (
            gather_all(ops, tables, atom, axis=0)
            for tables in zip(*(number.ranks for number in numbers), strict=True)
        )
        rank = ops.node("Add", start, ops.node("Mul", span, u))
        knots = [(number.encoding.knots_u, number.encoding.knots_x) for number in numbers]
        return split(ops, write_interpolate_all(ops, rank, knots, axis=0), len(numbers), axis=0)
