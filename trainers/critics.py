"""The games of WGAN-GP and medGAN: networks and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.base import Indices
from trainers.compute import clipped, moved
from trainers.gan import GanLearner, Settings, residual
from trainers.heads import Layout
from trainers.networks import Skip, mlp
from trainers.outputs import Cells
from trainers.slopes import wasserstein_loss
from trainers.softmaxes import log_shares

Build: TypeAlias = Callable[[Mapping[str, Any], Layout, Cells, torch.device], GanLearner]
"""Makes the players, of parameters and rows."""


class WassersteinLearner(GanLearner):
    """A critic whose slope is held to 1 between rows and made rows (arXiv 1704.00028, algorithm 1)."""

    penalty = 10.0

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Wasserstein distance, negated, plus the gradient penalty."""
        assert isinstance(self.critic, nn.Sequential)
        return wasserstein_loss(self.critic, torch.cat([fake[: real.shape[0]], real]), self.penalty)

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss: Tensor = -self.critic(fake).mean()
        return loss


def wasserstein(phase: Callable[[str], None]) -> Build:
    """The players of a WGAN-GP; `phase` is told that training begins."""

    def build(given: Mapping[str, Any], layout: Layout, cells: Cells, device: torch.device) -> GanLearner:
        phase("training")
        settings = _settings(given, (0.5, 0.9))
        generator = residual(settings.embedding_dim, settings.generator_layers, layout.width)
        critic = mlp(layout.width, settings.discriminator_layers, 1, "leaky_relu")
        learner = WassersteinLearner(generator, critic, layout, settings, cells, device)
        learner.penalty = float(given["gradient_penalty"])
        return learner

    return build


class MedganLearner(GanLearner):
    """An autoencoder first, then a game in its latent space (arXiv 1703.06490, sections 3.2 to 3.4).

    Args:
        encoder: [n, layout.width] → [n, embedding].
        decoder: the last part of the generator.
        pretrain_epochs: epochs in which the autoencoder alone is trained.
        phase: told the name of the phase that begins.
    """

    def __init__(
        self,
        players: tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Module],
        layout: Layout,
        settings: Settings,
        cells: Cells,
        device: torch.device,
        pretrain_epochs: int,
        phase: Callable[[str], None],
    ) -> None:
        encoder, latent, decoder, critic = players
        super().__init__(nn.Sequential(*latent, *decoder), critic, layout, settings, cells, device)
        self.encoder, self.decoder = encoder.to(device), decoder.to(device)
        self._pretrain, self._phase = pretrain_epochs, phase
        self._optimisers["autoencoder"] = torch.optim.Adam(
            [*self.encoder.parameters(), *self.decoder.parameters()],
            lr=1e-3,
            weight_decay=settings.weight_decay,
        )

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One step of the autoencoder or of the game."""
        if int(self.state.epochs) >= self._pretrain:
            return super().step(rows, rng)
        places = moved(rows, self._device)
        loss = self._reconstruction(self.decoder(self.encoder(self.real(places))), places)
        self._take("autoencoder", loss)
        return {"reconstruction": loss, "gradient_norm": clipped(self.decoder)}

    def modules(self) -> Mapping[str, nn.Module]:
        """The encoder, too; the decoder is part of the generator."""
        return {**super().modules(), "encoder": self.encoder}

    def epoch_done(self, epoch: int, share: float) -> None:
        """Turns to the game when the autoencoder is trained."""
        self.state.epochs.fill_(epoch)
        if epoch in (0, self._pretrain):
            self._phase("pretraining" if epoch < self._pretrain else "training")
        if epoch == self._pretrain:
            # The average begins with the decoder as it was trained.
            self.average.load_state_dict(self.generator.state_dict())

    def _reconstruction(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy of classes and modes and squared error of tanhs, mean over rows."""
        tanhs = self._layout.tanhs
        logs = log_shares(outputs[:, tanhs:], self._layout)
        loss = -logs.gather(1, self._ones[rows] - tanhs).sum(dim=1)
        away = self._alphas[rows] - torch.tanh(outputs[:, :tanhs])
        total: Tensor = (loss + 10.0 * away.square().sum(dim=1)).mean()
        return total

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        on_real, on_fake = self._judged(real), self._judged(fake)
        loss: Tensor = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
        return loss

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss: Tensor = functional.softplus(-self._judged(fake)).mean()
        return loss

    def _judged(self, rows: Tensor) -> Tensor:
        """Minibatch averaging: the critic sees every row beside the mean of its batch."""
        mean = rows.mean(dim=0, keepdim=True).expand_as(rows)
        judged: Tensor = self.critic(torch.cat([rows, mean], dim=1))
        return judged


def medgan(phase: Callable[[str], None]) -> Build:
    """The players of a medGAN; `phase` is told the phases."""

    def build(given: Mapping[str, Any], layout: Layout, cells: Cells, device: torch.device) -> GanLearner:
        settings, hidden = _settings(given, (0.5, 0.9)), given["autoencoder_layers"]
        width = settings.embedding_dim
        encoder = nn.Sequential(*mlp(layout.width, hidden, width), nn.Tanh())
        decoder = mlp(width, hidden[::-1], layout.width)
        critic = mlp(2 * layout.width, settings.discriminator_layers, 1, "leaky_relu")
        players = (encoder, _latent(width, settings.generator_layers), decoder, critic)
        return MedganLearner(players, layout, settings, cells, device, int(given["pretrain_epochs"]), phase)

    return build


def _latent(embedding: int, widths: Sequence[int]) -> nn.Sequential:
    """From noise to codes within ±1; layers as wide as their input are passed by a shortcut."""
    modules: list[nn.Module] = []
    inputs = embedding
    for width in (*widths, embedding):
        last = len(modules) == len(widths)
        block = nn.Sequential(
            nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.Tanh() if last else nn.ReLU()
        )
        modules.append(Skip(block, "add") if width == inputs else block)
        inputs = width
    return nn.Sequential(*modules)


def _settings(given: Mapping[str, Any], betas: tuple[float, float]) -> Settings:
    return Settings(
        embedding_dim=given["embedding_dim"],
        generator_layers=given["generator_layers"],
        discriminator_layers=given["discriminator_layers"],
        discriminator_steps=given["discriminator_steps"],
        generator_lr=given["generator_lr"],
        discriminator_lr=given["discriminator_lr"],
        weight_decay=given["l2scale"],
        betas=betas,
    )
