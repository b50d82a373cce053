"""Wasserstein autoencoder with an MMD penalty (Tolstikhin et al., ICLR 2018, arXiv 1711.01558)."""

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


class WaeTrainer:
    """Trains a WAE-MMD."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="wae",
        display_name="Wasserstein autoencoder",
        description=(
            "Autoencoder whose codes are held to the prior together, by the maximum mean discrepancy of a "
            "batch, rather than each for itself: less is smoothed away than by a VAE. "
            "For tables of a few thousand rows and more; minutes on a CPU."
        ),
        reference="Tolstikhin, Bousquet, Gelly, Schölkopf, ICLR 2018, arXiv 1711.01558",
        parameters=(
            embedding(16),
            widths("discriminator_layers", (128, 128), "encoder"),
            widths("generator_layers", (128, 128), "decoder"),
            Parameter(
                "mmd_weight",
                ParameterType.NUMBER,
                30.0,
                "Weight of the discrepancy from the prior.",
                0,
                1_000_000,
            ),
            *training(300),
        ),
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
        gpu=True,
        resumable=True,
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
        divergence=given["mmd_weight"],
        wasserstein=True,
    )
