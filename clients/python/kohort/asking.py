"""A sampling spec read against a `single_pass` program: what is given, what is drawn, what is tested.

Equality is given to the graph. Of the sets and ranges, one may be drawn from its
column's marginal and given: where nothing else is given, or where it is so rare
that the model's own draws would hardly ever meet it. All that is left is tested,
and rows that fail are drawn again (`kohort.rejection`). Everything is tested on
every row, given or not: nothing leaves that does not hold.

Each unit's own choices come from streams of their own: stream 2^33 for cells
drawn from a marginal (anew at each attempt), 2^33 + 1 for rebalancing (once).
Attempt 0 reads them as the units of a block, later ones from substreams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Mask
from kohort.completing import Completion
from kohort.conditions import Test, bind, bind_shares, met, positions
from kohort.constraints import holds
from kohort.features import Category, Doubles, Feature, Number
from kohort.noise import Floats, block_noise, substreams
from kohort.plan import Plan
from kohort.problem import Problem
from kohort.rules import Combination, Unique
from kohort.schema import Column, Schema, Storage
from kohort.spec import SampleSpec

DRAWN, SHARED = 1 << 33, (1 << 33) + 1
RARE = 0.02
"""A set or range of less marginal probability is drawn from its marginal also where more is given."""

Places = npt.NDArray[np.int64]
Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Shares:
    column: Column
    cells: tuple[Any, ...]
    sums: Doubles
    given: tuple[slice, Doubles, Mask] | None
    """The inputs of each cell, [m, w]; None where it has to be met by rejection."""


class Ask:
    """One spec for one program.

    Attributes:
        native: whether the graph that takes inputs is to run.
        free: whether every row is right as it comes.
        partial: the rows to complete, if any.

    Raises:
        Problem: INVALID_REQUEST, CONDITION_UNSUPPORTED, UNKNOWN_COLUMN, UNKNOWN_TABLE.
    """

    def __init__(
        self,
        spec: SampleSpec,
        plan: Plan,
        schema: Schema,
        nullable: frozenset[str],
        strings: Mapping[str, tuple[str, ...]],
    ) -> None:
        spec.check()
        self._spec, self._plan, self._schema = spec, plan, schema
        self._nullable, self._strings = nullable, strings
        self._features = plan.features.by_column
        width = plan.features.width
        if spec.tempered and not plan.temperature:
            field = "temperature" if spec.temperature != 1.0 else "top_p"
            raise Problem.at("CONDITION_UNSUPPORTED", field, "this model draws as it has learned")
        self._fixed, self._mask = np.zeros(width), np.zeros(width, dtype=np.bool_)
        self._tests = bind(spec.conditions, schema)
        self._constraints = tuple(
            c for c in plan.table.constraints if not isinstance(c, Combination | Unique)
        )
        self.partial = self._complete()
        self._shares = self._rebalance()
        for test in self._tests:
            self._check_known(test)
            self._fix(test)
        self._drawn = self._choose()
        self.native = bool(
            spec.tempered
            or self._mask.any()
            or self._drawn
            or (self._shares and self._shares.given)
            or (self.partial and self.partial.native)
        )
        self.free = not (self._tests or self._constraints or self._shares or self.partial)

    def _complete(self) -> Completion | None:
        spec, plan = self._spec, self._plan
        if spec.partial is None:
            return None
        if not plan.given_graph:
            raise Problem.at("CONDITION_UNSUPPORTED", "partial_rows", "this model cannot complete rows")
        completion = Completion(
            spec.partial, plan.table, self._features, self._strings, plan.features.width, spec.max_attempts
        )
        for test in self._tests:
            completion.check(test.column.name, test.where, test.holds)
        completion.keep(self._constraints, plan.table)
        return completion

    def _rebalance(self) -> _Shares | None:
        spec = self._spec
        if spec.rebalancing is None:
            return None
        column, cells, shares = bind_shares(spec.rebalancing, self._schema)
        where = f"{self._plan.table.name}.{column.name}"
        if self.partial is not None and column.name in self.partial.columns:
            raise Problem.at("INVALID_REQUEST", where, "is handed in and rebalanced at once")
        array = _array(column, cells)
        test = Test(column, where, values=cells)
        self._check_known(test, every=True)
        if not all(other.holds(array).all() for other in self._tests if other.column == column):
            raise Problem.at("INVALID_REQUEST", where, "a share and a condition exclude each other")
        part, feature = self._features[column.name]
        given = None
        if isinstance(feature, Category | Number):
            inputs = feature.inputs(array)
            given = (part, inputs.features, inputs.mask)
        return _Shares(column, cells, np.cumsum(shares), given)

    def _check_known(self, test: Test, *, every: bool = False) -> None:
        """Refuses what the model could never give, with what it says of itself."""
        feature = self._features[test.column.name][1]
        if test.null is not None:
            if test.null and test.column.name not in self._nullable:
                raise Problem.at("INVALID_REQUEST", test.where, "is never null in what the model learned")
            return
        unknown = "names nothing that the model learned"
        if (test.equality or every) and test.values is not None:
            array = _array(test.column, test.values)
            if not isinstance(feature, Category | Number):
                known = positions(array, self._strings.get(test.column.name, test.values)) >= 0
            else:
                known = feature.inputs(array).learned
            if not known.all():
                raise Problem.at("INVALID_REQUEST", test.where, unknown)
        elif isinstance(feature, Category | Number) and not feature.knows(test):
            raise Problem.at("INVALID_REQUEST", test.where, unknown)

    def _fix(self, test: Test) -> None:
        """Gives an equality, or that a cell is not null, to all rows."""
        part, feature = self._features[test.column.name]
        if not isinstance(feature, Category | Number) or (
            self._shares and self._shares.column == test.column
        ):
            return
        if test.equality:
            inputs = feature.inputs(_array(test.column, test.values or (None,)))
            features, mask = inputs.features[0], inputs.mask[0]
        elif test.null is False and (said := feature.present()) is not None:
            features, mask = said
        else:
            return
        if (self._mask[part] & mask & (self._fixed[part] != features)).any():
            raise Problem.at("INVALID_REQUEST", test.where, "two conditions exclude each other")
        self._fixed[part] = np.where(mask, features, self._fixed[part])
        self._mask[part] |= mask

    def _choose(self) -> tuple[slice, Feature, Test] | None:
        """The set or range that is drawn from its marginal: the rarest one."""
        open_ones = []
        for test in self._tests:
            part, feature = self._features[test.column.name]
            taken = bool(self._shares and self._shares.column == test.column)
            taken |= bool(self.partial and test.column.name in self.partial.columns)
            if not isinstance(feature, Category | Number) or test.null is not None or test.equality or taken:
                continue
            if not self._mask[part].any():
                open_ones.append((feature.mass(test), part, feature, test))
        if not open_ones:
            return None
        mass, part, feature, test = min(open_ones, key=lambda entry: entry[0])
        alone = not (self._mask.any() or self.partial or (self._shares and self._shares.given))
        return (part, feature, test) if alone or mass < RARE else None

    def picks(self, block: int) -> Places:
        """The rebalanced cell of each unit of a block, as its place among the cells, [block]."""
        if self._shares is None:
            return np.zeros(self._plan.block, dtype=np.int64)
        u = _fine(block_noise(self._spec.seed, SHARED, block, self._plan.block, 2, 0)[0])
        place = np.searchsorted(self._shares.sums, u * self._shares.sums[-1], side="right")
        return np.asarray(np.minimum(place, len(self._shares.cells) - 1), dtype=np.int64)

    def given(self, block: int, places: Places, attempts: Places | None, picks: Places) -> Tensors:
        """The inputs of the graph besides noise, one row for each place.

        Args:
            block: the number of the block.
            places: of the units in the block, [n].
            attempts: [n]; None for attempt 0 of the whole block.
            picks: of `picks`, [block].
        """
        n, spec = places.size, self._spec
        features, mask = np.tile(self._fixed, (n, 1)), np.tile(self._mask, (n, 1))
        if self._drawn is not None:
            part, feature, test = self._drawn
            assert isinstance(feature, Category | Number)
            size = self._plan.block
            if attempts is None:
                noise = block_noise(spec.seed, DRAWN, block, size, 2, 0)[0]
            else:
                noise = substreams(spec.seed, block * size + places, attempts, DRAWN, 2, 0)[0]
            features[:, part], mask[:, part] = feature.draw(test, _fine(noise))
        if self._shares is not None and self._shares.given is not None:
            part, cells, known = self._shares.given
            features[:, part], mask[:, part] = cells[picks[places]], known[picks[places]]
        if self.partial is not None:
            self.partial.give(block * self._plan.block + places, features, mask)
        return {
            "given": features,
            "mask": mask,
            "temperature": np.full((n, 1), spec.temperature, np.float32),
            "top_p": np.full((n, 1), spec.top_p, np.float32),
        }

    def accept(
        self, cells: Mapping[str, Array], block: int, places: Places, attempts: Places, picks: Places
    ) -> Mask:
        """Which rows satisfy everything, [n]."""
        passed = met(self._tests, cells) if self._tests else np.ones(places.size, dtype=np.bool_)
        if self._constraints:
            passed &= holds(self._constraints, self._plan.table, cells)
        if self._shares is not None:
            passed &= positions(cells[self._shares.column.name], self._shares.cells) == picks[places]
        if self.partial is not None:
            passed &= self.partial.filled(cells, block * self._plan.block + places, attempts)
        return passed


def _array(column: Column, cells: tuple[Any, ...]) -> Array:
    """Cells as an array; None is null."""
    valid = [cell is not None for cell in cells]
    plain = [("" if column.storage is Storage.STRING else 0) if cell is None else cell for cell in cells]
    if column.storage is Storage.STRING:
        texts = np.empty(len(plain), dtype=object)
        texts[:] = plain
        return Array.make(column.storage, texts, valid)
    return Array.make(column.storage, np.array(plain, dtype=column.storage.dtype), valid)


def _fine(noise: Floats) -> Doubles:
    """Two uniforms [n, 2] as one with 46 bits, [n], in (0, 1)."""
    pair = noise.astype(np.float64)
    return np.asarray(pair[:, 0] + (pair[:, 1] * 2.0**-23 - 2.0**-24))
