"""Diffusion of mixed rows, by flow matching: numbers and classes are denoised together in a few steps.

After TabDDPM (Kotelnikov et al., 2023, arXiv 2209.15421), whose thousand steps of
Gaussian and multinomial diffusion are replaced by the straight ways of flow
matching (see `trainers.diffusion`), which at most twenty steps can follow: all
of them are in the graph. Numbers are normal scores of their ranks, so that a
value that many share is a range of scores, and missing numbers are a class of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from trainers.base import (
    MODELLED,
    REJECTION,
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
    TrainerInfo,
)
from trainers.checkpoint import Checkpoint
from trainers.encoding import Encoding, NumberEncoding
from trainers.heads import Classes, Layout, class_limit
from trainers.margins import knots
from trainers.outputs import gaps_of
from trainers.parameters import batch_of, batch_size, epochs, max_categories, patience, widths
from trainers.ranks import RankMap, write_ranks
from trainers.rows import EncodedRows, encode_rows
from trainers.search import DOUBLE, cast

if TYPE_CHECKING:
    from trainers.diffusion import FlowNetwork, FlowRows, Points

_CELLS = 4_000_000
"""Scores of numbers held at once, all copies together."""

_COPIES = 8
_RANKED = (2_048, 8_192)
"""Rows that the finished flow is calibrated on: at least, and at most."""

_RANKED_CELLS = 2_000_000
"""Coordinates of those rows, in between."""

_SCALE = 2.0
_STEPS = 20
"""Steps of an epoch on small tables."""

_PARAMETERS = (
    widths("layers", (256, 256, 256), "network"),
    Parameter(
        "steps", ParameterType.INTEGER, 20, "Steps from noise to a row; sampling costs as many.", 2, 20
    ),
    epochs(400, 100_000),
    batch_size(256, _STEPS),
    Parameter(
        "learning_rate", ParameterType.NUMBER, 1e-3, "Of AdamW at first, falling as a cosine.", 1e-9, 1
    ),
    Parameter("weight_decay", ParameterType.NUMBER, 1e-4, "Of AdamW.", 0, 1),
    Parameter("dropout", ParameterType.NUMBER, 0.1, "Share of hidden units left out while training.", 0, 0.9),
    Parameter("ema_decay", ParameterType.NUMBER, 0.999, "Of the moving average of the weights.", 0, 0.999999),
    patience(50),
    max_categories(128),
)


@dataclass(frozen=True, eq=False)
class FlowGenerator:
    """The average network, its steps, and how their end is read.

    A unit consumes one normal per coordinate and the uniforms of every
    discrete feature.
    """

    encoding: Encoding
    points: Points
    network: FlowNetwork
    steps: int
    places: tuple[int, ...]
    """The feature of each number among the coordinates."""
    maps: Mapping[int, RankMap] = field(default_factory=dict)
    """By feature, from a score to the coordinate of the encoding."""

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""
        return Noise(uniforms=self.points.layout.uniforms, normals=self.points.width)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """All steps, one behind the other; they share weights and differ in biases."""
        end = self._write_steps(ops, normal)
        count = self.points.numbers
        features = {}
        if self.points.layout.heads:
            logits = ops.slice(end, count, self.points.width)
            features = self.points.layout.write(ops, logits, uniform)
        if count:
            scores = cast(ops, ops.node("Transpose", ops.slice(end, 0, count), perm=[1, 0]), DOUBLE)
            written = write_ranks(ops, [self.maps[feature] for feature in self.places], scores)
            features |= zip(self.places, written, strict=True)
        return [features[place] for place in range(len(features))]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same by the torch network and numpy draws."""
        end = self.run(normal)
        features = self.points.layout.read(end[:, self.points.numbers :], uniform)
        for place, feature in enumerate(self.places):
            features[feature] = self.maps[feature].apply(end[:, place])
        return [features[place] for place in range(len(features))]

    def run(self, normal: Floats) -> Floats:
        """Scores of numbers and logits of classes, [n, width]."""
        from trainers.diffusion import generate

        return generate(self.network, self.points, normal, self.steps)

    def _write_steps(self, ops: Ops, normal: str) -> str:
        from trainers.diffusion import steps_of, times

        count, asked = self.points.numbers, [*times(self.steps), 1.0]
        x = normal
        for step, biases in enumerate(steps_of(self.network, self.steps)):
            now, then = asked[step : step + 2]
            outputs = self._write_network(ops, x, biases)
            parts = []
            if count:
                rise = ops.node("Mul", ops.slice(outputs, 0, count), _scalar(ops, then - now))
                parts.append(ops.node("Add", ops.slice(x, 0, count), rise))
            if self.points.layout.heads:
                logits = ops.slice(outputs, count, self.points.width)
                if step + 1 < self.steps:
                    logits = self._write_ends(ops, x, logits, (then - now) / (1.0 - now))
                parts.append(logits)
            x = parts[0] if len(parts) == 1 else ops.node("Concat", *parts, axis=1)
        return x

    def _write_network(self, ops: Ops, x: str, biases: Sequence[Floats]) -> str:
        network = self.network
        for layer, bias in zip(network.linears, biases, strict=True):
            whole = (layer.bias.detach().numpy().astype(np.float64) + bias).astype(np.float32)
            y = ops.linear(x, layer.weight.detach().numpy(), whole)
            y = ops.node("Mul", y, ops.node("Sigmoid", y))
            x = ops.node("Add", y, x) if network.passes_on(layer) else y
        return ops.linear(x, network.last.weight.detach().numpy(), network.last.bias.detach().numpy())

    def _write_ends(self, ops: Ops, x: str, logits: str, share: float) -> str:
        """Classes' coordinates, moved by `share` of the way to where their distributions lie."""
        points, parts = self.points, []
        for group in points.layout.groups:
            block = ops.slice(logits, group.start, group.start + group.count * group.size)
            if group.count > 1:
                block = ops.node("Reshape", block, ops.constant([-1, group.count, group.size], np.int64))
            block = ops.node("Softmax", block, axis=-1)
            if group.count > 1:
                block = ops.node("Reshape", block, ops.constant([-1, group.count * group.size], np.int64))
            parts.append(block)
        shares = parts[0] if len(parts) == 1 else ops.node("Concat", *parts, axis=1)
        ends = ops.node("Mul", shares, _scalar(ops, points.scale * share))
        centre = ops.constant((-points.scale * share * points.centre)[None], np.float32)
        kept = ops.node("Mul", ops.slice(x, points.numbers, points.width), _scalar(ops, 1.0 - share))
        return str(ops.node("Add", ops.node("Add", kept, ends), centre))


def _scalar(ops: Ops, value: float) -> str:
    return ops.constant(np.array(value), np.float32)


class TabddpmTrainer:
    """Trains a flow from noise to rows."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="tabddpm",
        display_name="Tabular diffusion",
        description=(
            "Denoises numbers and classes together, from noise to a row in twenty steps, by flow matching. "
            "Of the neural models here it keeps dependence between many columns best; training takes "
            "minutes, a GPU helps, and sampling is slower than that of one-step models. "
            "For tables of a thousand rows and more; it can learn small ones by heart."
        ),
        reference=(
            "Kotelnikov, Baranchuk, Rubachev, Babenko, ICML 2023, arXiv 2209.15421; "
            "Lipman et al., ICLR 2023, arXiv 2210.02747"
        ),
        parameters=_PARAMETERS,
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
        gpu=True,
        resumable=True,
        per_record_loss=True,
        data_dependent_stop=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Scores and corners, then the flow, then its calibration."""
        import torch

        from trainers.compute import seeded
        from trainers.diffusion import FlowLearner, FlowNetwork
        from trainers.loop import Plan, run
        from trainers.snapshot import twin

        given = request.parameters
        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        hooks.phase("normalising")
        places = tuple(i for i, feature in enumerate(rows.layout) if feature.size is None)
        points = _points(rows, given["max_categories"])
        parts = _flow_rows(rows, points, rng, hooks)

        hooks.phase("training")
        with seeded(int(rng.integers(2**63))):
            network = FlowNetwork(points.width, given["layers"], given["dropout"])
        learner = FlowLearner(
            network,
            points,
            parts,
            given["learning_rate"],
            given["weight_decay"],
            given["ema_decay"],
            torch.device(request.device),
        )
        batch = batch_of(given, parts[0].rows, _STEPS)
        weights = rows.weights if request.equal_patients else None

        def present() -> Generator:
            # Without the classes' biases, which take twenty rounds to find.
            network = twin(learner, "average").finish()
            plain = FlowGenerator(rows.encoding, points, network, given["steps"], places)
            return _ranked(plain, rows, *_noise(points, _RANKED[0], request.seed))

        plan = Plan(
            parts[0].rows, given["epochs"], batch, request.seed, given["patience"], weights, present=present
        )
        arrays = [array for part in parts for array in (part.numbers, part.known, part.ones)]
        run(learner, plan, hooks, Checkpoint.of(request, hooks, self.info.name, *arrays))

        hooks.phase("calibrating")
        plain = FlowGenerator(rows.encoding, points, learner.finish(), given["steps"], places)
        return _calibrated(plain, parts[0], rows, request.seed)


def _calibrated(plain: FlowGenerator, table: FlowRows, rows: EncodedRows, seed: int) -> FlowGenerator:
    """The generator led to the table's frequencies and distributions, measured on noise of its own."""
    from trainers.diffusion import calibrate

    points = plain.points
    normal, uniform = _noise(points, int(np.clip(_RANKED_CELLS // points.width, *_RANKED)), seed)
    calibrate(plain.network, points, table.ones, rows.weights, plain.steps, normal)
    return _ranked(plain, rows, normal, uniform)


def _noise(points: Points, count: int, seed: int) -> tuple[Floats, Floats]:
    """Normals and uniforms of so many rows that a flow is measured on."""
    noise = np.random.default_rng([count, seed])
    normal = noise.standard_normal((count, points.width), dtype=np.float32)
    uniform = noise.random((count, points.layout.uniforms), dtype=np.float32)
    return normal, np.maximum(uniform, np.float32(2.0**-24))


def _ranked(plain: FlowGenerator, rows: EncodedRows, normal: Floats, uniform: Floats) -> FlowGenerator:
    """With numbers mapped to their columns' distributions, measured on these rows."""
    points, end = plain.points, plain.run(normal)
    drawn = points.layout.read(end[:, points.numbers :], uniform)
    return replace(plain, maps=_maps(rows.encoding, plain.places, end, drawn))


def _points(rows: EncodedRows, most: int) -> Points:
    from trainers.diffusion import Points

    discrete = {i: feature.size for i, feature in enumerate(rows.layout) if feature.size is not None}
    limit = class_limit(list(discrete.values()), most)
    contents = {
        i: Classes.of(np.bincount(rows.features[i], rows.weights, size), limit)
        for i, size in discrete.items()
    }
    layout = Layout.of(contents)
    centre = np.zeros(layout.width, dtype=np.float32)
    for head in layout.heads:
        index = contents[head.feature].encode(rows.features[head.feature])
        held = np.bincount(index, rows.weights, head.size)
        centre[head.start : head.start + head.size] = held / held.sum()
    return Points(len(rows.layout) - len(discrete), layout, centre, _SCALE)


def _flow_rows(
    rows: EncodedRows, points: Points, rng: np.random.Generator, hooks: Hooks
) -> tuple[FlowRows, FlowRows]:
    """Training and validation rows as scores and corners."""
    from scipy.special import ndtri

    from trainers.diffusion import FlowRows

    found, gaps = [], gaps_of(rows)
    for features in (rows.features, rows.validation):
        n = len(features[0])
        copies = max(1, min(_COPIES, _CELLS // max(1, n * points.numbers)))
        numbers = np.zeros((copies, n, points.numbers), dtype=np.float32)
        known = np.ones((n, points.numbers), dtype=np.float32)
        feature = place = 0
        for column in rows.encoding.columns:
            feature += len(column.features)
            if isinstance(column, NumberEncoding):
                hooks.check()
                for part in numbers:
                    part[:, place] = ndtri(column.rank(features[feature - 1], rng))
                if feature - 1 in gaps:
                    known[:, place] = features[feature - 2] == 1
                place += 1
        _, ones = points.layout.encode(features, rng)
        found.append(FlowRows(numbers, known, ones.astype(np.int64)))
    return found[0], found[1]


def _maps(
    encoding: Encoding, places: Sequence[int], end: Floats, drawn: Mapping[int, npt.NDArray[Any]]
) -> dict[int, RankMap]:
    """From scores to coordinates: by rank among the scores given, where enough were."""
    maps, feature = {}, 0
    for column in encoding.columns:
        feature += len(column.features)
        if isinstance(column, NumberEncoding):
            scores = end[:, places.index(feature - 1)].astype(np.float64)
            shown = scores[drawn[feature - 2] == 1] if column.nulls else scores
            maps[feature - 1] = RankMap.fit(shown, column) or RankMap(*knots(column))
    return maps
