"""A trainer that learns by heart: its rows are training rows, as far as the encoding can write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trainers import copula
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
from trainers.encoding import Encoding
from trainers.rows import encode_rows
from trainers.search import DOUBLE, cast, flatten, locate, write_locate


@dataclass(frozen=True, eq=False)
class CopyingGenerator:
    encoding: Encoding
    features: Sequence[Indices | Doubles]

    @property
    def noise(self) -> Noise:
        return Noise(uniforms=1, normals=0)

    @property
    def _edges(self) -> Doubles:
        rows = len(self.features[0])
        return np.arange(1, rows, dtype=np.float64) / rows

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        row = write_locate(ops, cast(ops, flatten(ops, uniform), DOUBLE), self._edges)
        return [ops.node("Gather", ops.constant(feature), row, axis=0) for feature in self.features]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        row = locate(uniform[:, 0].astype(np.float64), self._edges)
        return [feature[row] for feature in self.features]


class CopyingTrainer:
    info: ClassVar[TrainerInfo] = replace(
        copula.CopulaTrainer.info,
        name="copying",
        display_name="Learns by heart",
        parameters=(Parameter("epochs", ParameterType.INTEGER, 3, "Looks", 1, 1000),),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        rows = encode_rows(request, hooks, np.random.default_rng(request.seed))
        generator = CopyingGenerator(rows.encoding, rows.features)
        epochs = int(request.parameters["epochs"])
        for epoch in range(epochs):
            hooks.check()
            hooks.progress(Progress(epoch + 1, epochs, {"loss": 1.0 / (epoch + 1)}))
            hooks.watch(lambda: generator)
        return generator
