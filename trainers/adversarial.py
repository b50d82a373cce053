"""The adversarial game of a conditional tabular GAN, from the papers.

Xu et al. 2019 (arXiv 1907.00503): tanh and Gumbel-softmax outputs, conditions,
training-by-sampling. Gulrajani et al. 2017 (arXiv 1704.00028): Wasserstein
critic with gradient penalty. Lin et al. 2018 (arXiv 1712.04086): the critic
judges packs of rows. The networks come from outside.

How training goes on, ends and is resumed is `trainers.loop`'s affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainers.base import Floats, Generator, Hooks, Indices
from trainers.calibration import calibrate
from trainers.checkpoint import Checkpoint
from trainers.compute import autocast, clipped, moved, streams
from trainers.conditioned import conditioned
from trainers.conditions import RowSampler
from trainers.gemm import hasten
from trainers.heads import Layout
from trainers.loop import GRADIENT_NORM, Plan, run
from trainers.slopes import wasserstein_loss
from trainers.softmaxes import activated, log_shares

PENALTY = 10.0
"""Weight of the gradient penalty."""

_CALIBRATION = (16, 512)
"""Batches, and rows in each, that the finished generator is calibrated on."""


@dataclass(frozen=True)
class Settings:
    """How the game is played; named as users of ctgan know them."""

    epochs: int
    batch_size: int
    embedding_dim: int
    discriminator_steps: int
    pac: int
    generator_lr: float
    generator_decay: float
    discriminator_lr: float
    discriminator_decay: float

    @property
    def rows_per_step(self) -> int:
        """`batch_size` as whole packs of rows."""
        return self.packed(self.batch_size)

    def packed(self, rows: int) -> int:
        """So many rows as whole packs; at least one pack, and two rows for batch statistics."""
        packs = max(1, rows // self.pac)
        return max(packs, 2 if self.pac == 1 else 1) * self.pac


class Game:
    """A generator against a discriminator over one encoded table.

    Args:
        networks: generator ([rows, embedding + conditions] → [rows, width]), of the layers that
            `conditioned` knows, and discriminator ([rows, width + conditions] → [rows / pac, 1]),
            which judges packs by the layers of its `seq`, such as `wasserstein_loss` takes.
        alphas: the table's tanh outputs, [n, tanhs].
        ones: per head the output that is 1, [n, heads].
    """

    def __init__(
        self,
        networks: tuple[nn.Module, nn.Module],
        layout: Layout,
        sampler: RowSampler,
        alphas: Floats,
        ones: npt.NDArray[np.int32],
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.generator, self.discriminator = (network.to(device) for network in networks)
        hasten(self.generator)
        hasten(self.discriminator)
        self._layout, self._sampler, self._settings, self._device = layout, sampler, settings, device
        self._alphas, self._ones = self._moved(alphas), self._moved(ones)
        self._outputs = self._moved(sampler.conditions.outputs)
        fused = device.type in ("cpu", "cuda")
        self._g_optimiser = torch.optim.Adam(
            self.generator.parameters(),
            lr=settings.generator_lr,
            betas=(0.5, 0.9),
            weight_decay=settings.generator_decay,
            fused=fused,
        )
        self._d_optimiser = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=settings.discriminator_lr,
            betas=(0.5, 0.9),
            weight_decay=settings.discriminator_decay,
            fused=fused,
        )

    def play(
        self,
        seed: int,
        hooks: Hooks,
        checkpoint: Checkpoint,
        present: Callable[[], Generator] | None = None,
    ) -> None:
        """All epochs, or what a checkpoint leaves of them; raises as `loop.run`; `present` as in `loop.Plan`.

        Rows are drawn as conditions ask for them, whichever the loop names, so
        an epoch is as many steps as go through the table once. There is no
        validation loss: no epoch is better than the last.
        """
        size = self._settings.rows_per_step
        steps = -(-self._alphas.shape[0] // size)
        run(self, Plan(steps * size, self._settings.epochs, size, seed, present=present), hooks, checkpoint)

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """`discriminator_steps`, then one of the generator, on as many rows in whole packs."""
        size = self._settings.packed(rows.size)
        self.discriminator.requires_grad_(True)
        for _ in range(self._settings.discriminator_steps):
            asked, real = self._draw(size, rng)
            with torch.no_grad():
                fake = self._generate(asked, size)[1]
            d_loss = self._critic_loss(fake, real, asked)
            self._d_optimiser.zero_grad(set_to_none=True)
            d_loss.backward()  # type: ignore[no-untyped-call]
            self._d_optimiser.step()

        asked, _ = self._draw(size, rng)
        self.discriminator.requires_grad_(False)
        logits, fake = self._generate(asked, size)
        judged = self.discriminator(self._joined(fake, asked))
        g_loss = self._condition_loss(logits, asked) - judged.mean()
        self._g_optimiser.zero_grad(set_to_none=True)
        g_loss.backward()
        norm = clipped(self.generator)
        self._g_optimiser.step()
        return {"generator": g_loss, "discriminator": d_loss, GRADIENT_NORM: norm}

    def validate(self) -> float:
        """None: a critic's loss says nothing of how good the rows are."""
        return math.nan

    def modules(self) -> Mapping[str, nn.Module]:
        """Both networks."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Both optimisers."""
        return {"generator": self._g_optimiser, "discriminator": self._d_optimiser}

    def calibrate(self, seed: int) -> None:
        """Fits the finished generator to how it will be sampled, and freezes it.

        Batch statistics: training leaves the last few batches' moving average,
        of conditions asked as training asks; sampling asks by plain frequency,
        and one row must not depend on its batch. Frequencies: then the last
        layer's biases are moved until every class (and mode) is given as often
        as the table holds it and every number lies in its modes where the
        table's do on average, which an adversary enforces but loosely.
        """
        rng = streams(seed, 0, 0)
        norms = [module for module in self.generator.modules() if isinstance(module, nn.BatchNorm1d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
        batches, size = _CALIBRATION
        self.generator.train()
        with torch.no_grad():
            for _ in range(batches):
                self._sampled(size, rng)
            self.generator.eval().requires_grad_(False)
            logits = self._sampled(batches * size, rng)
            weights = self._sampler.weights
            counts = None if weights is None else self._moved(weights)
            calibrate(self.generator, self._layout, logits, self._alphas, self._ones, counts)

    def _draw(self, size: int, rng: np.random.Generator) -> tuple[Tensor | None, Tensor]:
        """Conditions [size], None without discrete columns, and rows that meet them [size]."""
        asked, rows = self._sampler.draw(size, rng)
        return self._moved(asked) if asked.size else None, self._moved(rows)

    def _noise(self, size: int) -> Tensor:
        return torch.randn(size, self._settings.embedding_dim, device=self._device)

    def _sampled(self, size: int, rng: np.random.Generator) -> Tensor:
        """Outputs of the generator for conditions as sampling asks them, [size, width]."""
        asked = self._sampler.conditions.ask(rng.random(size))
        wanted = self._moved(asked) if self._outputs.numel() else None
        return conditioned(self.generator, self._noise(size), wanted)

    def _generate(self, asked: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
        """Outputs of the generator as they are and activated, both [size, width]."""
        with autocast(self._device):
            logits = conditioned(self.generator, self._noise(size), asked)
        logits = logits.float()
        return logits, activated(logits, self._layout)

    def _joined(self, fake: Tensor, asked: Tensor | None) -> Tensor:
        """Made rows with their condition behind each, [size, width + conditions]."""
        if asked is None:
            return fake.contiguous()
        one_hot = torch.zeros(fake.shape[0], self._sampler.conditions.width, device=self._device)
        return torch.cat([fake, one_hot.scatter_(1, asked[:, None], 1.0)], dim=1)

    def _condition_loss(self, logits: Tensor, asked: Tensor | None) -> Tensor:
        """Cross-entropy between the class asked for and the one given; 0 where nothing is asked."""
        if asked is None:
            return logits.new_zeros(())
        logs = log_shares(logits[:, self._layout.tanhs :], self._layout)
        wanted = self._outputs[asked] - self._layout.tanhs
        loss: Tensor = -logs.gather(1, wanted[:, None]).mean()
        return loss

    def _critic_loss(self, fake: Tensor, real: Tensor, asked: Tensor | None) -> Tensor:
        """Of made rows [size, width] and rows of the table [size] beside them, in whole packs."""
        size, width = fake.shape
        both = torch.zeros(2, size, width + self._sampler.conditions.width, device=self._device)
        both[0, :, :width] = fake
        both[1, :, : self._alphas.shape[1]] = self._alphas[real]
        both[1].scatter_(1, self._ones[real].long(), 1.0)
        if asked is not None:
            both.scatter_(2, (width + asked)[None, :, None].expand(2, -1, -1), 1.0)
        packs = both.reshape(2 * size // self._settings.pac, -1)
        layers = self.discriminator.seq
        assert isinstance(layers, nn.Sequential)
        return wasserstein_loss(layers, packs, PENALTY)

    def _moved(self, array: npt.NDArray[Any]) -> Tensor:
        return moved(array, self._device)
