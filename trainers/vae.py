"""What the variational autoencoders share: parameters, preparation, training, the finished generator.

The models differ in their objective alone, see `trainers.autoencoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.base import FitRequest, Hooks, Indices, Parameter, ParameterType
from trainers.checkpoint import Checkpoint
from trainers.decoder import Asked, DecoderGenerator
from trainers.heads import Classes, class_limit
from trainers.outputs import Cells, encode_cells, fit_content, fit_layout
from trainers.parameters import batch_of, batch_size, epochs, max_categories, patience
from trainers.rows import EncodedRows, encode_rows

if TYPE_CHECKING:
    from trainers.autoencoder import Settings

_STEPS = 20
"""Steps of an epoch on small tables."""

_RANKED = 16_384
"""Rows that the numbers of the finished generator are ranked among."""


def training(rounds: int, learning_rate: float = 1e-3, l2scale: float = 1e-5) -> tuple[Parameter, ...]:
    """The parameters of training."""
    return (
        epochs(rounds),
        batch_size(500, _STEPS),
        Parameter("learning_rate", ParameterType.NUMBER, learning_rate, "Learning rate of Adam.", 1e-9, 1),
        Parameter("l2scale", ParameterType.NUMBER, l2scale, "Weight decay.", 0, 1),
        patience(50),
        max_categories(512),
    )


def fit_autoencoder(
    name: str,
    request: FitRequest,
    hooks: Hooks,
    settings: Callable[[Mapping[str, Any]], Settings],
    target: Callable[[EncodedRows], int | None] = lambda _: None,
) -> DecoderGenerator:
    """Encoding, layout, training, calibration.

    Args:
        name: of the trainer.
        settings: how the parameters are read.
        target: the feature that encoder and decoder are told, if any.
    """
    import torch

    from trainers.autoencoder import Autoencoder, AutoencoderLearner
    from trainers.compute import seeded
    from trainers.loop import Plan, run
    from trainers.snapshot import twin

    given, device = request.parameters, torch.device(request.device)
    rng = np.random.default_rng(request.seed)
    rows = encode_rows(request, hooks, rng)
    hooks.phase("normalising")
    place = target(rows)
    layout = fit_layout(rows, request, given["max_categories"], hooks, () if place is None else (place,))
    told = None if place is None else _told(rows, request, place, given["max_categories"])
    cells = encode_cells(rows, layout, rng)

    hooks.phase("training")
    built = settings(given)
    asked, classes = (None, 0) if told is None else (told[1], told[0].content.size)
    with seeded(int(rng.integers(2**63))):
        model = Autoencoder(layout, built, classes)
    learner = AutoencoderLearner(model, layout, built, cells, asked, classes, device)
    batch = batch_of(given, cells[0].rows, _STEPS)
    weights = rows.weights if request.equal_patients else None

    def finished(trained: AutoencoderLearner) -> DecoderGenerator:
        decoder, deviations = trained.finish(request.seed, weights)
        latent = built.embedding_dim
        generator = DecoderGenerator(
            rows.encoding, layout, decoder, latent, deviations, None if told is None else told[0]
        )
        return generator.with_ranks(_RANKED, request.seed)

    plan = Plan(
        cells[0].rows,
        given["epochs"],
        batch,
        request.seed,
        given["patience"],
        weights,
        present=lambda: finished(twin(learner, "model")),
    )
    arrays = _arrays(cells, asked)
    run(learner, plan, hooks, Checkpoint.of(request, hooks, name, *arrays))
    return finished(learner)


def _told(
    rows: EncodedRows, request: FitRequest, place: int, most: int
) -> tuple[Asked, tuple[Indices, Indices]]:
    """What is asked of the decoder, and the class of every training and validation row."""
    limit = class_limit([feature.size or 0 for feature in rows.layout], most)
    content = fit_content(rows, request, place, limit)
    assert isinstance(content, Classes)
    index, held_out = (content.encode(part[place]) for part in (rows.features, rows.validation))
    shares = np.maximum(np.bincount(index, rows.weights, content.size), 1e-9)
    return Asked.of(place, content, shares), (index, held_out)


def _arrays(cells: tuple[Cells, Cells], asked: tuple[Indices, Indices] | None) -> list[Any]:
    """All that is trained on, and validated."""
    parts = [part for c in cells for part in (c.alphas, c.ones, c.known)]
    return parts if asked is None else [*parts, *asked]
