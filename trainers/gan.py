"""What generators against a critic share: the two players, their steps, and the finished network.

Rows are tanhs and one-hot vectors (`trainers.heads`); a generator gives them as
tanhs and Gumbel-softmaxes, so that gradients pass. Kept is an average of the
generator's weights over its last steps (Yazıcı et al., ICLR 2019, arXiv
1806.04498): players circle around what each by itself would settle on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trainers.base import Doubles, Indices
from trainers.calibration import calibrate
from trainers.compute import autocast, clipped, moved, seeded
from trainers.gemm import hasten
from trainers.heads import Layout
from trainers.networks import Skip
from trainers.outputs import Cells
from trainers.softmaxes import activated

_AVERAGED = 0.999
"""How much of the average every step of the generator keeps."""

_CALIBRATION = (16, 512)
"""Batches, and rows in each, that the finished generator is calibrated on."""


@dataclass(frozen=True)
class Settings:
    """How a game is played."""

    embedding_dim: int
    generator_layers: Sequence[int]
    discriminator_layers: Sequence[int]
    discriminator_steps: int
    """Steps of the critic for one of the generator."""
    generator_lr: float
    discriminator_lr: float
    weight_decay: float
    betas: tuple[float, float]


class State(nn.Module):
    """What changes from step to step besides weights: as buffers, so that a checkpoint holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.register_buffer("generator_loss", torch.zeros(()))
        self.steps: Tensor
        self.epochs: Tensor
        self.generator_loss: Tensor


class GanLearner(ABC):
    """A generator against a critic; a `loop.Learner`.

    Args:
        generator: [n, embedding] → [n, layout.width].
        critic: judges rows [n, layout.width] (or more columns, where a subclass adds some) → [n, 1].
    """

    def __init__(
        self,
        generator: nn.Sequential,
        critic: nn.Module,
        layout: Layout,
        settings: Settings,
        cells: Cells,
        device: torch.device,
    ) -> None:
        self.generator, self.critic = generator.to(device), critic.to(device)
        hasten(self.generator)
        hasten(self.critic)
        self.average = deepcopy(self.generator).requires_grad_(False)
        self.state = State().to(device)
        self._layout, self._settings, self._device = layout, settings, device
        self._cells = cells
        self._alphas, self._ones = (moved(x, device) for x in (cells.alphas, cells.ones.astype(np.int64)))
        fused = device.type in ("cpu", "cuda")
        self._optimisers = {
            name: torch.optim.Adam(
                network.parameters(), lr, settings.betas, weight_decay=settings.weight_decay, fused=fused
            )
            for name, network, lr in (
                ("generator", self.generator, settings.generator_lr),
                ("critic", self.critic, settings.discriminator_lr),
            )
        }

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One step of the critic; at every `discriminator_steps`-th, one of the generator follows."""
        real = self.real(moved(rows, self._device))
        with torch.no_grad():
            fake = self.made(len(rows))
        loss = self._critic_loss(real, fake)
        self._take("critic", loss)
        norm = clipped(self.critic)
        self.state.steps += 1
        if int(self.state.steps) % self._settings.discriminator_steps == 0:
            self.critic.requires_grad_(False)
            own = self._generator_loss(real, self.made(len(rows)))
            self._take("generator", own)
            self.critic.requires_grad_(True)
            self.state.generator_loss.copy_(own.detach())
            self._follow()
        return {"critic": loss, "generator": self.state.generator_loss.clone(), "gradient_norm": norm}

    def validate(self) -> float:
        """None: neither player's loss says how good rows are."""
        return float("nan")

    def modules(self) -> Mapping[str, nn.Module]:
        """Both players, the average of the generator, and the state of the game."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
            "state": self.state,
        }

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """One for each player."""
        return self._optimisers

    def finish(self, seed: int, weights: Doubles | None) -> nn.Sequential:
        """The averaged generator as sampling needs it, on the CPU.

        Batch statistics are measured anew, for they are of weights that are no
        more; then the last biases are moved until classes are as frequent and
        numbers on average where the table has them.
        """
        network = self.average.cpu()
        for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm1d)):
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
        batches, size = _CALIBRATION
        with torch.no_grad(), seeded(seed):
            network.train()
            for _ in range(batches):
                network(torch.randn(size, self._settings.embedding_dim))
            outputs = network.eval()(torch.randn(batches * size, self._settings.embedding_dim))
            counts = None if weights is None else torch.from_numpy(weights)
            arrays = (self._cells.alphas, self._cells.ones, self._cells.known)
            alphas, ones, known = (torch.from_numpy(array) for array in arrays)
            calibrate(network, self._layout, outputs, alphas, ones, counts, known)
        return network

    def real(self, rows: Tensor) -> Tensor:
        """Rows of the table as the generator would give them, [b, width]."""
        alphas = self._alphas[rows]
        batch = torch.zeros(rows.shape[0], self._layout.width, device=self._device)
        batch[:, : alphas.shape[1]] = alphas
        return batch.scatter_(1, self._ones[rows], 1.0)

    def made(self, rows: int) -> Tensor:
        """Rows of the generator, [max(rows, 2), width]: batch statistics need two."""
        noise = torch.randn(max(rows, 2), self._settings.embedding_dim, device=self._device)
        with autocast(self._device):
            outputs = self.generator(noise)
        return activated(outputs.float(), self._layout)

    @abstractmethod
    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic makes small."""

    @abstractmethod
    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the generator makes small."""

    def _take(self, player: str, loss: Tensor) -> None:
        optimiser = self._optimisers[player]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    @torch.no_grad()
    def _follow(self) -> None:
        """The average takes a step towards the generator; long ones at first, for it began anywhere."""
        done = int(self.state.steps) // self._settings.discriminator_steps
        keep = min(_AVERAGED, done / (done + 9.0))
        for mean, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(now, 1.0 - keep)


def residual(inputs: int, widths: Sequence[int], outputs: int) -> nn.Sequential:
    """Blocks of linear layer, batch norm and ReLU that pass their input on beside their output."""
    modules: list[nn.Module] = []
    for width in widths:
        block = nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU())
        modules.append(Skip(block, "concat"))
        inputs += width
    return nn.Sequential(*modules, nn.Linear(inputs, outputs))
