"""medGAN (Choi et al., MLHC 2017, arXiv 1703.06490): a game in the latent space of an autoencoder."""

from __future__ import annotations

from typing import ClassVar

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
from trainers.wgan_gp import fit_gan, game


class MedganTrainer:
    """Trains a medGAN."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="medgan",
        display_name="medGAN",
        description=(
            "An autoencoder learns to give rows, then a generator with shortcuts learns to give its codes "
            "against a discriminator that sees the mean of its batch beside each row. Made for many binary "
            "columns, such as which codes a patient has; here for mixed columns, too. Minutes to hours."
        ),
        reference="Choi, Biswal, Malin, Duke, Stewart, Sun, MLHC 2017, arXiv 1703.06490",
        parameters=(
            embedding(128),
            widths("autoencoder_layers", (128,), "encoder, and in turn the decoder"),
            widths("generator_layers", (128, 128), "generator"),
            widths("discriminator_layers", (256, 128), "discriminator"),
            Parameter(
                "pretrain_epochs",
                ParameterType.INTEGER,
                100,
                "How often the autoencoder goes through the table before the game.",
                1,
                10_000,
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
        """Phases "pretraining" and "training" of one run; see `trainers.critics`."""
        from trainers.critics import medgan

        epochs = int(request.parameters["pretrain_epochs"]) + int(request.parameters["epochs"])
        return fit_gan(self.info.name, request, hooks, epochs, medgan(hooks.phase))
