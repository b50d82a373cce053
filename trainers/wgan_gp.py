"""Wasserstein GAN with gradient penalty (Gulrajani et al., NeurIPS 2017, arXiv 1704.00028) for tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trainers.base import (
    MODELLED,
    REJECTION,
    FitRequest,
    Generator,
    Hooks,
    Parameter,
    ParameterType,
    TrainerInfo,
)
from trainers.checkpoint import Checkpoint
from trainers.decoder import DecoderGenerator
from trainers.outputs import Cells, encode_cells, fit_layout
from trainers.parameters import batch_of, batch_size, embedding, epochs, max_categories, widths
from trainers.rows import encode_rows

if TYPE_CHECKING:
    import torch

    from trainers.gan import GanLearner
    from trainers.heads import Layout

_STEPS = 10
"""Steps of an epoch on small tables."""

_RANKED = 16_384
"""Rows that the numbers of the finished generator are ranked among."""


def game(
    rounds: int, discriminator_steps: int, learning_rate: float, weight_decay: float
) -> tuple[Parameter, ...]:
    """The parameters of a game."""
    return (
        epochs(rounds),
        batch_size(500, _STEPS),
        max_categories(512),
        Parameter(
            "discriminator_steps",
            ParameterType.INTEGER,
            discriminator_steps,
            "Steps of the discriminator for one of the generator.",
            1,
            20,
        ),
        Parameter(
            "generator_lr", ParameterType.NUMBER, learning_rate, "Learning rate of the generator.", 1e-9, 1
        ),
        Parameter(
            "discriminator_lr",
            ParameterType.NUMBER,
            learning_rate,
            "Learning rate of the discriminator.",
            1e-9,
            1,
        ),
        Parameter("l2scale", ParameterType.NUMBER, weight_decay, "Weight decay.", 0, 1),
    )


def fit_gan(
    name: str,
    request: FitRequest,
    hooks: Hooks,
    epochs: int,
    build: Callable[[Mapping[str, Any], Layout, Cells, torch.device], GanLearner],
) -> DecoderGenerator:
    """Encoding, layout, the game, calibration.

    Args:
        name: of the trainer.
        epochs: of all phases together.
        build: the players, of parameters and rows.
    """
    import torch

    from trainers.compute import seeded
    from trainers.loop import Plan, run
    from trainers.snapshot import twin

    given = request.parameters
    rng = np.random.default_rng(request.seed)
    rows = encode_rows(request, hooks, rng)
    hooks.phase("normalising")
    layout = fit_layout(rows, request, given["max_categories"], hooks)
    cells = encode_cells(rows, layout, rng)[0]
    with seeded(int(rng.integers(2**63))):
        learner = build(given, layout, cells, torch.device(request.device))
    batch = batch_of(given, cells.rows, _STEPS)
    weights = rows.weights if request.equal_patients else None

    def finished(trained: GanLearner) -> DecoderGenerator:
        network = trained.finish(request.seed, weights)
        generator = DecoderGenerator(rows.encoding, layout, network, given["embedding_dim"])
        return generator.with_ranks(_RANKED, request.seed)

    plan = Plan(
        cells.rows,
        epochs,
        batch,
        request.seed,
        weights=weights,
        present=lambda: finished(twin(learner, "average")),
    )
    run(learner, plan, hooks, Checkpoint.of(request, hooks, name, cells.alphas, cells.ones))
    return finished(learner)


class WganGpTrainer:
    """Trains a WGAN-GP."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="wgan-gp",
        display_name="WGAN-GP",
        description=(
            "A generator against a critic that measures how far its rows are from the table's, kept smooth "
            "by a penalty on the critic's slope; unconditional. For tables of some thousand rows and more; "
            "minutes to hours, a GPU helps with large tables."
        ),
        reference="Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, NeurIPS 2017, arXiv 1704.00028",
        parameters=(
            embedding(128),
            widths("generator_layers", (256, 256), "generator"),
            widths("discriminator_layers", (256, 256), "discriminator"),
            Parameter(
                "gradient_penalty", ParameterType.NUMBER, 10.0, "Weight of the critic's penalty.", 0, 1_000
            ),
            *game(rounds=300, discriminator_steps=2, learning_rate=2e-4, weight_decay=1e-6),
        ),
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
        gpu=True,
        resumable=True,
        uses_batchnorm=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """See `trainers.gan` and `trainers.critics`."""
        from trainers.critics import wasserstein

        epochs = int(request.parameters["epochs"])
        return fit_gan(self.info.name, request, hooks, epochs, wasserstein(hooks.phase))
