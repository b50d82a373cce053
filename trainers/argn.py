"""The default generator: autoregressive over discretised columns, any columns given.

After the idea of TabularARGN (Tiwald et al., 2025, arXiv 2501.12012), written anew: tokens of the
quantile function instead of digits or percentiles, a fixed order with any other columns in sight
instead of random orders, training that begins at independent columns.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from trainers.base import (
    MODELLED,
    NATIVE,
    FitRequest,
    Generator,
    Hooks,
    Parameter,
    ParameterType,
    Progress,
    TrainerInfo,
)
from trainers.checkpoint import Checkpoint
from trainers.rows import EncodedRows, encode_rows
from trainers.tokens import Resolution, Vocabulary

_DENSE = 96
"""Of more slots, each sees only the closest others."""

_SMALL = 1_000
"""Fewer rows are learned by a narrower network."""

_LARGE = 20_000
"""From so many rows on an epoch is long: larger steps and less patience learn as well in half the time."""

_PARENTS = 16
"""How many then."""

_ASSOCIATED = 10_000
"""Rows that closeness is read off."""

_HELD_BACK = 0.1
"""Of the patients, for early stopping, where the request keeps none."""

_PARAMETERS = (
    Parameter(
        "epochs", ParameterType.INTEGER, 200, "How often training goes through the table at most.", 1, 10_000
    ),
    Parameter(
        "patience",
        ParameterType.INTEGER,
        -1,
        "Epochs without a better loss on the validation rows after which training ends; 0: never; "
        "-1: by the number of rows.",
        -1,
        10_000,
    ),
    Parameter("batch_size", ParameterType.INTEGER, 0, "Rows per step; 0: by the number of rows.", 0, 65_536),
    Parameter(
        "learning_rate", ParameterType.NUMBER, 0, "Learning rate of AdamW; 0: by the number of rows.", 0, 1
    ),
    Parameter("weight_decay", ParameterType.NUMBER, 0.1, "Weight decay of AdamW.", 0, 10),
    Parameter("dropout", ParameterType.NUMBER, 0.2, "Share of hidden units left out in each step.", 0, 0.9),
    Parameter("embedding_dim", ParameterType.INTEGER, 8, "Width of a token's embedding.", 1, 64),
    Parameter(
        "hidden_dim", ParameterType.INTEGER, 0, "Hidden units per slot; 0: by the number of slots.", 0, 1_024
    ),
    Parameter(
        "number_groups",
        ParameterType.INTEGER,
        0,
        "Groups of ranks that a number is cut into, each then cut finer; 0: by the number of rows.",
        0,
        64,
    ),
    Parameter(
        "given_share",
        ParameterType.NUMBER,
        0.5,
        "Share of the steps that train with random columns given, as conditions and imputation need.",
        0,
        1,
    ),
)


class ArgnTrainer:
    """Trains an autoregressive network."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="argn",
        display_name="Autoregressive network",
        description=(
            "Draws a row column by column, each from a small network that sees the columns before it and any "
            "that are given. The default: among the closest to the table from hundreds of rows to millions, "
            "in seconds to minutes on a CPU; honours conditions and completes rows natively. Tables of more "
            "than about a hundred columns are learned more coarsely."
        ),
        reference="after Tiwald, Krchova, Sidorenko et al., TabularARGN, 2025, arXiv 2501.12012",
        parameters=_PARAMETERS,
        kinds=MODELLED,
        conditions=NATIVE,
        imputation=True,
        rebalancing=True,
        temperature=True,
        gpu=True,
        resumable=True,
        per_record_loss=True,
        data_dependent_stop=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Tokens, network, training until validation says stop."""
        import torch

        from trainers.argn_graph import ArgnGenerator
        from trainers.argn_learner import Learner, Settings
        from trainers.argn_network import Network, priors
        from trainers.argn_sight import BoundedSight, DenseSight, closest
        from trainers.compute import seeded
        from trainers.loop import Plan, run
        from trainers.snapshot import twin

        given, device = request.parameters, torch.device(request.device)
        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        hooks.phase("tokenising")
        resolution = Resolution.for_rows(rows.subjects.size)
        if given["number_groups"]:
            resolution = Resolution(given["number_groups"], max(2, given["number_groups"] // 2))
        vocabulary = Vocabulary.of(rows.encoding, resolution)
        if len(vocabulary.slots) > _DENSE:
            resolution = Resolution(resolution.groups, 1)
            vocabulary = Vocabulary.of(rows.encoding, resolution)
        tokens, validation, weights = _split(rows, vocabulary, rng)
        hooks.check()

        hooks.phase("training")
        slots, n = vocabulary.slots, tokens.shape[0]
        columns = np.array([slot.column for slot in slots], dtype=np.int64)
        width, wide = given["embedding_dim"], len(slots) > _DENSE
        hidden = given["hidden_dim"] or (32 if wide or n < _SMALL else 64)
        parents = closest(tokens[rng.permutation(n)[:_ASSOCIATED]], columns, _PARENTS) if wide else None
        with seeded(int(rng.integers(2**63))):
            sight = (
                DenseSight(len(slots), width, hidden)
                if parents is None
                else BoundedSight(parents, width, hidden)
            )
            network = Network(slots, sight, priors(slots, tokens, weights), width, given["dropout"])
        patience = _patience(n) if given["patience"] < 0 else given["patience"]
        settings = Settings(
            given["learning_rate"] or _rate(n), given["weight_decay"], given["given_share"], patience
        )
        learner = Learner(network, tokens, validation, columns, vocabulary.presence, settings, device)
        batch = given["batch_size"] or max(_batch(n), 128 if wide else 0)
        drawn = weights if request.equal_patients else None

        def present() -> Generator:
            return ArgnGenerator(rows.encoding, vocabulary, twin(learner, "average").average.cpu())

        plan = Plan(n, given["epochs"], batch, request.seed, patience, drawn, present=present)
        if slots:
            run(learner, plan, hooks, Checkpoint.of(request, hooks, self.info.name, tokens, validation))
        else:
            hooks.progress(Progress(1, 1))  # every column is constant
        return ArgnGenerator(rows.encoding, vocabulary, learner.average.cpu())


def _split(
    rows: EncodedRows, vocabulary: Vocabulary, rng: np.random.Generator
) -> tuple[np.ndarray[Any, np.dtype[np.int32]], np.ndarray[Any, np.dtype[np.int32]], np.ndarray[Any, Any]]:
    """Tokens of training and validation rows, and what each training row counts."""
    tokens = vocabulary.encode(rows.features)
    validation = vocabulary.encode(rows.validation)
    if validation.shape[0]:
        return tokens, validation, rows.weights
    patients = np.unique(rows.subjects)
    kept = rng.random(patients.size) >= _HELD_BACK
    if kept.all() or not kept.any():
        return tokens, validation, rows.weights
    inside = kept[np.searchsorted(patients, rows.subjects)]
    return tokens[inside], tokens[~inside], rows.weights[inside]


def _batch(rows: int) -> int:
    return 512 if rows >= _LARGE else int(np.clip(rows // 64, 48, 256))


def _rate(rows: int) -> float:
    return 1e-3 if _SMALL <= rows < _LARGE else 2e-3


def _patience(rows: int) -> int:
    return 3 if rows >= _LARGE else 6
