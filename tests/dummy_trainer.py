"""A trainer dropped in from outside: every column by itself.

Nothing in the project names it; `KOHORT_TRAINERS=dummy=dummy_trainer:DummyTrainer`
does. It must then work wherever a built-in trainer works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kohort.schema import Kind
from trainers.base import (
    Doubles,
    FitRequest,
    Floats,
    Generator,
    Hooks,
    Indices,
    Noise,
    Ops,
    Parameter,
    ParameterType,
    Progress,
    TrainerInfo,
)
from trainers.encoding import CategoryEncoding, Encoding
from trainers.rows import encode_rows
from trainers.search import DOUBLE, cast, cumulative, flatten, locate, write_locate


@dataclass(frozen=True, eq=False)
class DummyGenerator:
    encoding: Encoding
    present: Sequence[float]
    """Per feature the share of rows that are not null."""

    @property
    def noise(self) -> Noise:
        return Noise(uniforms=len(self.encoding.features), normals=0)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        features = []
        for j, (edges, knots) in enumerate(self._maps()):
            u = cast(ops, flatten(ops, ops.slice(uniform, j, j + 1)), DOUBLE)
            features.append(write_locate(ops, u, edges) if knots is None else ops.interpolate(u, *knots))
        return features

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        u = uniform.astype(np.float64)
        return [
            locate(u[:, j], edges) if knots is None else np.interp(u[:, j], *knots)
            for j, (edges, knots) in enumerate(self._maps())
        ]

    def _maps(self) -> list[tuple[Doubles, tuple[Doubles, Doubles] | None]]:
        """Per feature the edges of its classes, or the knots of its quantile function."""
        maps: list[tuple[Doubles, tuple[Doubles, Doubles] | None]] = []
        for column in self.encoding.columns:
            if isinstance(column, CategoryEncoding):
                maps.append((cumulative(column.frequencies), None))
                continue
            if column.nulls:
                share = self.present[len(maps)]
                maps.append((cumulative([1 - share, share]), None))
            maps.append((np.zeros(0), (column.knots_u, column.knots_x)))
        return maps


class DummyTrainer:
    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="dummy",
        display_name="Independent columns",
        description="Every column by itself; for tests.",
        reference="none",
        parameters=(Parameter("epochs", ParameterType.INTEGER, 3, "Rounds of doing nothing.", 1, 100),),
        kinds=frozenset(Kind) - {Kind.UNSPECIFIED, Kind.TEXT, Kind.ID, Kind.CODE_LIST},
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        rows = encode_rows(request, hooks, np.random.default_rng(request.seed))
        epochs = int(request.parameters["epochs"])
        for epoch in range(epochs):
            hooks.check()
            hooks.progress(Progress(epoch + 1, epochs))
        return DummyGenerator(rows.encoding, [float(np.mean(feature != 0)) for feature in rows.features])
