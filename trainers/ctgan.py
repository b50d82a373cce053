"""CTGAN: the networks of the installed `ctgan` package under our own training.

What is written here and in `modes`, `heads`, `conditions` and `adversarial` is
written from the papers (Xu et al., 2019, arXiv 1907.00503, and those they
build on). Of the package, whose licence is BUSL-1.1, two network classes are
imported and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

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
from trainers.conditions import Conditions, RowSampler
from trainers.encoding import Encoding
from trainers.heads import Classes, Layout, class_limit
from trainers.lossless import at_precision
from trainers.modes import Modes
from trainers.parameters import embedding, epochs, max_categories, precision, widths
from trainers.quantised import Dense, IntegerNetwork
from trainers.rows import EncodedRows, encode_rows
from trainers.search import DOUBLE, cast, flatten, gather, write_locate

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 4_096

_PARAMETERS = (
    epochs(300),
    Parameter(
        "batch_size",
        ParameterType.INTEGER,
        500,
        "Rows per step, in whole packs. Rows are drawn with repetition, so it may exceed the table.",
        1,
        1_024,
    ),
    embedding(128),
    widths("generator_dim", (256, 256), "generator"),
    widths("discriminator_dim", (256, 256), "discriminator"),
    Parameter("generator_lr", ParameterType.NUMBER, 2e-4, "Learning rate of the generator.", 1e-9, 1),
    Parameter("generator_decay", ParameterType.NUMBER, 1e-6, "Weight decay of the generator.", 0, 1),
    Parameter("discriminator_lr", ParameterType.NUMBER, 2e-4, "Learning rate of the discriminator.", 1e-9, 1),
    Parameter("discriminator_decay", ParameterType.NUMBER, 1e-6, "Weight decay of the discriminator.", 0, 1),
    Parameter(
        "discriminator_steps", ParameterType.INTEGER, 1, "Discriminator steps per generator step.", 1, 10
    ),
    Parameter(
        "log_frequency",
        ParameterType.BOOLEAN,
        True,
        "Whether training meets classes by the logarithm of their frequency, so that rare ones are learned.",
    ),
    Parameter("pac", ParameterType.INTEGER, 10, "Rows that the discriminator judges together.", 1, 1_000),
    max_categories(512),
    precision(),
)


@dataclass(frozen=True, eq=False)
class CtganGenerator:
    """A trained generator network with frozen batch statistics, and what its outputs mean.

    A unit consumes `embedding_dim` normals, and uniforms: one for the
    condition (if there are discrete columns), then those of every head.
    """

    encoding: Encoding
    layout: Layout
    conditions: Conditions
    network: nn.Module
    embedding_dim: int
    integers: IntegerNetwork | None = None
    """The network in whole numbers, where that is what runs."""

    @property
    def variant(self) -> str:
        """See `trainers.base.variant_of`."""
        return "fp32" if self.integers is None else "int8"

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""
        uniforms = self.layout.uniforms + (self.conditions.width > 0)
        return Noise(uniforms=uniforms, normals=self.embedding_dim, scheme=2)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """The network with batch norm folded in; a condition is a row of weights, not a vector."""
        outputs = self._write_network(ops, uniform, normal)
        features = self.layout.write(ops, outputs, uniform, first=int(self.conditions.width > 0))
        return [features[place] for place in range(len(features))]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same by the torch network in evaluation mode and numpy draws."""
        outputs = self._run_network(uniform, normal)
        features = self.layout.read(outputs, uniform, first=int(self.conditions.width > 0))
        return [features[place] for place in range(len(features))]

    def in_integers(self, uniform: Floats, normal: Floats) -> CtganGenerator:
        """The same with the network in whole numbers; scales are measured on the noise of some units."""
        width = self.conditions.width
        layers = []
        for weight, bias in _folded(self.network):
            dense = weight.shape[1] - width
            layers.append(Dense(weight[:, :dense], weight[:, dense:].T + bias if width else bias[None]))
        integers = IntegerNetwork.of(layers, normal, self._asked(uniform), passing=True)
        return replace(self, integers=integers)

    def _asked(self, uniform: Floats) -> Indices | None:
        return self.conditions.ask(uniform[:, 0]) if self.conditions.width else None

    def _write_network(self, ops: Ops, uniform: str, normal: str) -> str:
        width = self.conditions.width
        asked = ""
        if width:
            u = cast(ops, flatten(ops, ops.slice(uniform, 0, 1)), DOUBLE)
            asked = write_locate(ops, u, self.conditions.sampling_edges)
        if self.integers is not None:
            return self.integers.write(ops, normal, asked)
        # Every layer sees what all before it gave, the latest first, then the noise, then the condition.
        seen, layers = [(normal, self.embedding_dim)], _folded(self.network)
        for place, (weight, bias) in enumerate(layers):
            added: Floats | str = bias
            if width:
                # A one-hot vector times weights is a row of them.
                added = gather(ops, np.ascontiguousarray(weight[:, -width:].T) + bias, asked)
            stop = weight.shape[1] - width
            for x, size in reversed(seen):
                # A product for each part, on top of the last: cheaper than laying the parts side by side.
                added = y = ops.linear(x, np.ascontiguousarray(weight[:, stop - size : stop]), added)
                stop -= size
            if place + 1 < len(layers):
                seen.insert(0, (str(ops.node("Relu", y)), weight.shape[0]))
        return y

    def _run_network(self, uniform: Floats, normal: Floats) -> Floats:
        import torch

        if self.integers is not None:
            return self.integers.run(normal, self._asked(uniform))
        parts = []
        for start in range(0, normal.shape[0], _CHUNK):
            inputs = torch.from_numpy(normal[start : start + _CHUNK])
            if self.conditions.width:
                asked = torch.from_numpy(self.conditions.ask(uniform[start : start + _CHUNK, 0]))
                one_hot = torch.nn.functional.one_hot(asked, self.conditions.width)
                inputs = torch.cat([inputs, one_hot.to(inputs.dtype)], dim=1)
            with torch.no_grad():
                parts.append(self.network(inputs).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.layout.width), np.float32)


class CtganTrainer:
    """Trains a conditional tabular GAN."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="ctgan",
        display_name="CTGAN",
        description=(
            "Conditional tabular GAN: two networks play against each other, asked for one class of one "
            "column at a time, rare classes more often than they occur, so that they are learned. "
            "For large tables of categories, and to compare with what was published of it; small tables "
            "leave it little to learn from. Minutes to hours; a GPU helps with large tables."
        ),
        reference="Xu, Skoularidou, Cuesta-Infante, Veeramachaneni, NeurIPS 2019, arXiv 1907.00503",
        parameters=_PARAMETERS,
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
        gpu=True,
        resumable=True,
        uses_batchnorm=True,
        licence_note=(
            "Uses the ctgan package under BUSL-1.1: internal use is allowed; offering it to third parties as "
            "a commercial synthetic data service is not, without a licence from DataCebo."
        ),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Modes, conditions, then the adversarial game; see `trainers.adversarial`."""
        import torch
        from ctgan.synthesizers.ctgan import Discriminator
        from ctgan.synthesizers.ctgan import Generator as Network

        from trainers.adversarial import Game, Settings
        from trainers.snapshot import twin

        given = dict(request.parameters)
        g_dims, d_dims = given.pop("generator_dim"), given.pop("discriminator_dim")
        log_frequency, most = given.pop("log_frequency"), given.pop("max_categories")
        wished = given.pop("precision")
        settings, device = Settings(**given), torch.device(request.device)

        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        hooks.phase("normalising")
        layout = _layout(rows, request, most, hooks)
        alphas, ones = layout.encode(rows.features, rng)
        weights = rows.weights if request.equal_patients else None
        conditions = Conditions.of(layout, ones, weights, log_frequency=log_frequency)

        hooks.phase("training")
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):  # the caller's random state is not ours to change
            torch.manual_seed(int(rng.integers(2**63)))
            width = conditions.width
            networks = (
                Network(settings.embedding_dim + width, g_dims, layout.width),
                Discriminator(layout.width + width, d_dims, pac=settings.pac),
            )
            sampler = RowSampler.of(conditions, layout, ones, weights)
            game = Game(networks, layout, sampler, alphas, ones, settings, device)

            def finished(played: Game) -> CtganGenerator:
                played.calibrate(request.seed)
                network = played.generator.cpu()
                return CtganGenerator(rows.encoding, layout, conditions, network, settings.embedding_dim)

            checkpoint = Checkpoint.of(request, hooks, self.info.name, alphas, ones)
            game.play(request.seed, hooks, checkpoint, lambda: finished(twin(game, "generator")))
            played = finished(game)
        return at_precision(played, wished, request.seed, hooks)


def _layout(rows: EncodedRows, request: FitRequest, most: int, hooks: Hooks) -> Layout:
    """What the outputs stand for: classes of discrete features, modes of continuous ones."""
    limit = class_limit([feature.size or 0 for feature in rows.layout], most)
    contents: list[Classes | Modes] = []
    for place, (feature, cells, known) in enumerate(zip(rows.layout, rows.features, rows.known, strict=True)):
        hooks.check()
        if feature.size is not None:
            contents.append(Classes.of(np.bincount(cells, minlength=feature.size), limit))
        else:
            shown = slice(None) if known is None else known
            seed = int(np.random.SeedSequence([request.seed, place]).generate_state(1)[0])
            contents.append(Modes.fit(cells[shown], rows.subjects[shown], request.min_patients, seed))
    return Layout.of(contents)


def _folded(network: nn.Module) -> list[tuple[Floats, Floats]]:
    """Weight [out, in] and bias [out] of every layer, batch norm multiplied in; computed in float64.

    A residual block is linear, batch norm, ReLU, and passes its input on
    beside its output; the last layer is linear alone.
    """
    *blocks, last = network.seq  # type: ignore[misc]
    layers = []
    for block in blocks:
        norm = block.bn
        scale = (norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()).numpy()
        weight = block.fc.weight.double().numpy() * scale[:, None]
        bias = (
            block.fc.bias.double() - norm.running_mean.double()
        ).numpy() * scale + norm.bias.double().numpy()
        layers.append((weight.astype(np.float32), bias.astype(np.float32)))
    layers.append((last.weight.numpy(), last.bias.numpy()))
    return layers
