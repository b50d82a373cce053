"""β-VAE (Higgins et al., ICLR 2017): a variational autoencoder whose divergence is weighed freely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

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
from trainers.vae import fit_autoencoder, training

if TYPE_CHECKING:
    from trainers.autoencoder import Settings


class BetaVaeTrainer:
    """Trains a β-VAE."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="beta-vae",
        display_name="β-VAE",
        description=(
            "Variational autoencoder with a free weight β of the divergence from the prior. A small β keeps "
            "more of each row and follows the table closely, a large one keeps only what many rows share. "
            "For when that trade is to be chosen; minutes on a CPU."
        ),
        reference="Higgins, Matthey, Pal et al., beta-VAE, ICLR 2017",
        parameters=(
            embedding(32),
            widths("discriminator_layers", (128, 128), "encoder"),
            widths("generator_layers", (128, 128), "decoder"),
            Parameter(
                "beta", ParameterType.NUMBER, 0.3, "Weight β of the divergence; 1: a plain VAE.", 0, 10_000
            ),
            Parameter(
                "beta_warmup_epochs",
                ParameterType.INTEGER,
                0,
                "Epochs over which the weight rises from 0 to β.",
                0,
                10_000,
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
        """See `trainers.vae`."""
        return fit_autoencoder(self.info.name, request, hooks, _settings)


def _settings(given: Mapping[str, Any]) -> Settings:
    from trainers.autoencoder import Settings

    return Settings(
        embedding_dim=given["embedding_dim"],
        encoder=given["discriminator_layers"],
        decoder=given["generator_layers"],
        learning_rate=given["learning_rate"],
        weight_decay=given["l2scale"],
        divergence=given["beta"],
        warmup=given["beta_warmup_epochs"],
    )
