"""Conditional VAE (Sohn, Lee and Yan, NeurIPS 2015): encoder and decoder are told the class of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kohort.problem import Problem
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
from trainers.parameters import embedding, widths
from trainers.rows import EncodedRows
from trainers.vae import fit_autoencoder, training

if TYPE_CHECKING:
    from trainers.autoencoder import Settings


class CvaeTrainer:
    """Trains a conditional variational autoencoder."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="cvae",
        display_name="Conditional VAE",
        description=(
            "Variational autoencoder that is told the class of one column, the target, and makes the rest of "
            "the row fit it; classes are drawn by their frequencies. For tables made to predict one outcome: "
            "what belongs to a rare class is kept apart from the rest. Minutes on a CPU."
        ),
        reference="Sohn, Lee, Yan, NeurIPS 2015",
        parameters=(
            Parameter(
                "target",
                ParameterType.STRING,
                "",
                "The column whose class the model is told, by name; empty: the last one that has classes.",
            ),
            embedding(32),
            widths("discriminator_layers", (128, 128), "encoder"),
            widths("generator_layers", (128, 128), "decoder"),
            Parameter(
                "beta", ParameterType.NUMBER, 0.3, "Weight of the divergence; 1: a plain VAE.", 0, 10_000
            ),
            *training(300),
        ),
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
        gpu=True,
        resumable=True,
        per_record_loss=True,
        data_dependent_stop=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """See `trainers.vae`. Raises Problem INVALID_PARAMETER for a target that is no column of classes."""
        name = request.parameters["target"]
        return fit_autoencoder(self.info.name, request, hooks, _settings, lambda rows: _target(rows, name))


def _target(rows: EncodedRows, name: str) -> int | None:
    """The feature of the target; None where nothing else is to be made, or nothing has classes."""
    found = {
        f.column: place for place, f in enumerate(rows.layout) if f.role == "value" and f.size is not None
    }
    if len(rows.layout) == 1:
        return None
    if not name:
        return max(found.values(), default=None)
    if name not in found:
        raise Problem.at("INVALID_PARAMETER", "parameters.target", "must name a modelled column of classes")
    return found[name]


def _settings(given: Mapping[str, Any]) -> Settings:
    from trainers.autoencoder import Settings

    return Settings(
        embedding_dim=given["embedding_dim"],
        encoder=given["discriminator_layers"],
        decoder=given["generator_layers"],
        learning_rate=given["learning_rate"],
        weight_decay=given["l2scale"],
        divergence=given["beta"],
    )
