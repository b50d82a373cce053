"""A generator that honours what it is given, small enough to be its own specification.

`sex` and `outcome` depend on each other by a table; every other column is by
itself. Columns of all storages, with nulls and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from exporters.publish import export_bundle
from kohort.bundle import Bundle, read_bundle
from kohort.rules import Constraint
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from trainers.anchors import Anchor
from trainers.base import (
    NATIVE,
    Doubles,
    Floats,
    Given,
    Indices,
    Noise,
    Ops,
    TrainerInfo,
)
from trainers.encoding import CategoryEncoding, Encoding, NumberEncoding
from trainers.search import FLOAT, INT64, cast, flatten, gather

JOINT = np.array([[0.40, 0.05], [0.30, 0.25]])
"""P(sex, outcome)."""

_MODEL = Handling.MODEL
COLUMNS = (
    Column("id", Kind.ID, Storage.INT64, Handling.REGENERATE, nullable=False),
    Column("sex", Kind.CATEGORY, Storage.STRING, _MODEL, nullable=False),
    Column("smoker", Kind.CATEGORY, Storage.STRING, _MODEL),
    Column("outcome", Kind.CATEGORY, Storage.INT64, _MODEL, nullable=False),
    Column("flag", Kind.BOOLEAN, Storage.BOOL, _MODEL),
    Column("age", Kind.INTEGER, Storage.INT64, _MODEL, nullable=False),
    Column("bmi", Kind.DECIMAL, Storage.DECIMAL, _MODEL, scale=1),
    Column("score", Kind.DECIMAL, Storage.DOUBLE, _MODEL),
    Column("born", Kind.DATE, Storage.DATE, _MODEL, nullable=False),
    Column("seen", Kind.DATETIME, Storage.DATETIME, _MODEL),
    Column("stay", Kind.DURATION, Storage.DURATION, _MODEL, nullable=False),
)
TABLE = TableSchema("cohort", COLUMNS)


def _number(column: str, storage: Storage, base: int, step: int, u: list[float], x: list[float], nulls: bool):
    knots = np.array(u, dtype=np.float64), np.array(x, dtype=np.float64)
    return NumberEncoding(column, storage, base, step, float(x[0]), float(x[-1]), *knots, nulls)


def _category(column: str, storage: Storage, values: tuple, shares: tuple[float, ...]):
    return CategoryEncoding(column, storage, values, len(shares) > len(values), shares)


_MINUTE = 60_000_000
ENCODING = Encoding(
    (
        _category("sex", Storage.STRING, ("F", "M"), (0.45, 0.55)),
        _category("smoker", Storage.STRING, ("former", "no", "yes"), (0.2, 0.4, 0.3, 0.1)),
        _category("outcome", Storage.INT64, (0, 1), (0.7, 0.3)),
        _category("flag", Storage.BOOL, (False, True), (0.25, 0.25, 0.5)),
        # A spike at 40 and a gap from 60 to 65.
        _number("age", Storage.INT64, 18, 1, [0, 0.3, 0.5, 0.8, 0.8, 1], [0, 22, 22, 42, 47, 72], False),
        _number("bmi", Storage.DECIMAL, 150, 1, [0, 0.5, 1], [0, 100, 300], True),
        _number("score", Storage.DOUBLE, 0, 0, [0, 0.2, 0.4, 1], [-1.5, 0, 0, 2.25], True),
        _number("born", Storage.DATE, -10_000, 1, [0, 1], [0, 20_000], False),
        _number("seen", Storage.DATETIME, 10**15, _MINUTE, [0, 1], [0, 500_000], True),
        _number("stay", Storage.DURATION, 0, _MINUTE, [0, 1], [-100, 4000], False),
    )
)
DIED = Column("died", Kind.DATE, Storage.DATE, _MODEL)
RELATIVE = replace(
    _number("died", Storage.DATE, 0, 1, [0, 1], [100, 30_000], True),
    anchor=Anchor("born", Storage.DATE, -10_000, 50_000),
)
"""One more column, told relative to `born`."""

INFO = TrainerInfo(
    name="toy",
    display_name="Toy",
    description="For tests.",
    reference="none",
    parameters=(),
    kinds=frozenset(Kind),
    conditions=NATIVE,
    imputation=True,
    rebalancing=True,
    temperature=True,
)
_PRESENT = {"bmi": 0.7, "score": 0.9, "seen": 0.6, "died": 0.5}


@dataclass(frozen=True, eq=False)
class Toy:
    """See the module; implements `trainers.base.ConditionalGenerator`."""

    encoding: Encoding = ENCODING

    @property
    def noise(self) -> Noise:
        return Noise(len(self.encoding.features), 0)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        return self._write(ops, uniform, None)

    def graph_given(self, ops: Ops, uniform: str, normal: str, given: Given) -> Sequence[str]:
        return self._write(ops, uniform, given)

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        n, width = len(uniform), len(self.encoding.features)
        ones = np.ones((n, 1), np.float32)
        return self.reference_given(
            uniform, normal, np.zeros((n, width)), np.zeros((n, width), bool), ones, ones
        )

    def reference_given(
        self,
        uniform: Floats,
        normal: Floats,
        features: Doubles,
        mask: npt.NDArray[np.bool_],
        temperature: Floats,
        top_p: Floats,
    ) -> Sequence[Indices | Doubles]:
        drawn: list[Indices | Doubles] = []
        places = {c.column: j for c, j in self._places()}
        for column, j in self._places():
            for feature in column.features:
                u = uniform[:, j : j + 1]
                if feature.size is None:
                    value: Indices | Doubles = column.quantile(u[:, 0])
                else:
                    logits = np.tile(self._logits(column, feature.role), (len(u), 1))
                    if column.column == "sex":
                        known = mask[:, places["outcome"]]
                        logits[known] = _log(JOINT.T)[features[known, places["outcome"]].astype(int)]
                    elif column.column == "outcome":
                        logits = _log(JOINT)[drawn[places["sex"]].astype(int)]
                    value = _draw(logits, u, temperature, top_p)
                drawn.append(np.where(mask[:, j], features[:, j].astype(value.dtype), value))
                j += 1
        return drawn

    def _places(self):
        j = 0
        for column in self.encoding.columns:
            yield column, j
            j += len(column.features)

    def _logits(self, column, role: str) -> Floats:
        if role == "present":
            return _log(np.array([1 - _PRESENT[column.column], _PRESENT[column.column]]))
        return _log(np.array(column.frequencies))

    def _write(self, ops: Ops, uniform: str, given: Given | None) -> list[str]:
        names: list[str] = []
        zero = ops.node("Mul", ops.slice(uniform, 0, 1), ops.constant([0.0], np.float32))
        places = {c.column: j for c, j in self._places()}
        for column, j in self._places():
            for feature in column.features:
                u = ops.slice(uniform, j, j + 1)
                if feature.size is None:
                    value = ops.interpolate(flatten(ops, u), column.knots_u, column.knots_x)
                else:
                    logits = ops.node("Add", zero, ops.constant(self._logits(column, feature.role)[None]))
                    if column.column == "sex" and given:
                        k = places["outcome"]
                        known = cast(ops, flatten(ops, ops.slice(given.features, k, k + 1)), INT64)
                        other = gather(ops, _log(JOINT.T), known)
                        logits = ops.node("Where", ops.slice(given.mask, k, k + 1), other, logits)
                    elif column.column == "outcome":
                        logits = gather(ops, _log(JOINT), names[places["sex"]])
                    if given:
                        logits = _tempered(ops, logits, given)
                    value = ops.draw(logits, u)
                if given:
                    own = flatten(ops, ops.slice(given.features, j, j + 1))
                    own = own if feature.size is None else cast(ops, own, INT64)
                    value = ops.node("Where", flatten(ops, ops.slice(given.mask, j, j + 1)), own, value)
                names.append(value)
                j += 1
        return names


def _log(shares: npt.NDArray[np.float64]) -> Floats:
    return np.log(shares).astype(np.float32)


def _draw(logits: Floats, u: Floats, temperature: Floats, top_p: Floats) -> Indices:
    shares = np.exp((logits / temperature).astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    above = (shares[:, None, :] * (shares[:, None, :] > shares[:, :, None] * (1 + 1e-6))).sum(axis=2)
    shares = np.where(above < top_p, shares, 0.0)
    sums = np.cumsum(shares, axis=1)
    return (sums <= u * sums[:, -1:]).sum(axis=1).astype(np.int64)


def _tempered(ops: Ops, logits: str, given: Given) -> str:
    """Logits as `_draw` reads them: divided, and without the classes beyond top-p."""
    logits = ops.node("Div", logits, given.temperature)
    shares = ops.node("Softmax", logits, axis=-1)
    mine = ops.node("Unsqueeze", shares, ops.constant([2], np.int64))
    others = ops.node("Unsqueeze", shares, ops.constant([1], np.int64))
    larger = ops.node("Greater", others, ops.node("Mul", mine, ops.constant(1 + 1e-6, np.float32)))
    above = ops.node("Mul", others, cast(ops, larger, FLOAT))
    above = ops.node("ReduceSum", above, ops.constant([2], np.int64), keepdims=0)
    return ops.node("Where", ops.node("Less", above, given.top_p), logits, ops.constant(-1e30, np.float32))


@cache
def toy_bytes(
    constraints: tuple[Constraint, ...] = (), *, conditional: bool = True, relative: bool = False
) -> bytes:
    """The toy as a bundle; unconditional, it is a `single_pass/1` that knows rejection only.

    With `relative` it has the column `died`, too.
    """
    schema = Schema((replace(TABLE, constraints=constraints, columns=(*COLUMNS, *([DIED] * relative))),))
    toy = Toy(Encoding((*ENCODING.columns, *([RELATIVE] * relative))))
    privacy = {"differentially_private": False, "min_patients_per_value": 5, "statement": "None."}
    lineage = {"training": {"rows": 200, "patients": 150}}
    made = toy if conditional else _Plain(toy)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "toy.kohort"
        export_bundle(made, schema, INFO, {}, 1, privacy, (), lineage, path)
        return path.read_bytes()


def toy_bundle(constraints: tuple[Constraint, ...] = (), **more: bool) -> Bundle:
    """The same, opened."""
    return read_bundle(toy_bytes(constraints, **more))


@dataclass(frozen=True, eq=False)
class _Plain:
    """The toy without what it can be given."""

    toy: Toy

    @property
    def encoding(self) -> Encoding:
        return self.toy.encoding

    @property
    def noise(self) -> Noise:
        return self.toy.noise

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        return self.toy.graph(ops, uniform, normal)

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        return self.toy.reference(uniform, normal)
