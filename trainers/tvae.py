"""TVAE, written from the paper (Xu et al., 2019, arXiv 1907.00503, section 4.4); nothing of ctgan is used."""

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


class TvaeTrainer:
    """Trains a tabular variational autoencoder."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="tvae",
        display_name="TVAE",
        description=(
            "Tabular variational autoencoder: an encoder makes rows latents, a decoder makes latents rows, "
            "numbers are read by their modes. Steadier and faster to train than the GANs, minutes on a CPU, "
            "and usually closer to the table; rare combinations come out smoothed."
        ),
        reference="Xu, Skoularidou, Cuesta-Infante, Veeramachaneni, NeurIPS 2019, arXiv 1907.00503",
        parameters=(
            embedding(128),
            widths("compress_dims", (128, 128), "encoder"),
            widths("decompress_dims", (128, 128), "decoder"),
            Parameter(
                "loss_factor", ParameterType.NUMBER, 2.0, "Weight of the reconstruction.", 1e-6, 1_000_000
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
        encoder=given["compress_dims"],
        decoder=given["decompress_dims"],
        learning_rate=given["learning_rate"],
        weight_decay=given["l2scale"],
        reconstruction=given["loss_factor"],
    )
