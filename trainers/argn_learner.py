"""How `argn` learns: slots from earlier ones, and from any others that happen to be given."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainers.argn_network import Network
from trainers.base import Indices
from trainers.compute import autocast, clipped, moved

_DECAY = 0.99
"""Of the average of weights that is kept."""

_PRESENT_ALONE = 0.2
"""Of a given number that may be null, how often only its presence is given."""

_NORM = 5.0
"""Longer gradients are shortened."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained."""

    learning_rate: float
    weight_decay: float
    given_share: float
    """Of the steps, how many train with columns given."""
    patience: int


class _Schedule(nn.Module):
    """The learning rate's memory: a third of it from the moment validation stops to improve."""

    best: Tensor
    waited: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("best", torch.tensor(torch.inf, dtype=torch.float64))
        self.register_buffer("waited", torch.tensor(0))

    def drops(self, loss: float, every: int) -> bool:
        """Whether it is time to lower the rate."""
        if loss < float(self.best):
            self.best.fill_(loss)
            self.waited.fill_(0)
        else:
            self.waited += 1
        return int(self.waited) > 0 and int(self.waited) % every == 0


class Learner:
    """See `trainers.loop.Learner`."""

    def __init__(
        self,
        network: Network,
        tokens: npt.NDArray[np.int32],
        validation: npt.NDArray[np.int32],
        columns: Indices,
        presence: npt.NDArray[np.bool_],
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self._settings, self._device = settings, device
        self._tokens, self._validation = moved(tokens, device), moved(validation, device)
        self._columns, self._count = moved(columns, device), int(columns.max(initial=-1)) + 1
        self._presence = moved(presence, device)
        self._schedule = _Schedule()
        self._steps = nn.Module()
        self._steps.register_buffer("taken", torch.tensor(0))
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One step on rows [b]; in some of them columns are given."""
        tokens = self._tokens[moved(rows, self._device)].long()
        shown = self._shown(tokens.shape[0]) if rng.random() < self._settings.given_share else None
        self.network.train()
        with autocast(self._device):
            losses = self.network.losses(tokens, shown)
        loss = self._per_row(losses.float(), shown).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clipped(self.network, _NORM)
        self._optimiser.step()
        self._follow()
        return {"train": loss, "gradient_norm": norm}

    def validate(self) -> float:
        """Mean negative log-likelihood of the validation rows by the averaged weights, whole and begun."""
        if not self._validation.shape[0]:
            return float("nan")
        total = 0.0
        given = self._settings.given_share > 0
        with torch.no_grad():
            for part in torch.split(self._validation, 4_096):
                tokens = part.long()
                total += float(self.average.losses(tokens, None).double().sum())
                if given:
                    shown = self._shown(tokens.shape[0])
                    losses = self.average.losses(tokens, shown).double()
                    total += float(self._per_row(losses, shown).sum())
        loss = total / self._validation.shape[0] / (1 + given)
        if self._schedule.drops(loss, max(1, self._settings.patience // 3)):
            for group in self._optimiser.param_groups:
                group["lr"] /= 3
        return loss

    def modules(self) -> Mapping[str, nn.Module]:
        """The network, its average, and the state of schedules."""
        return {
            "network": self.network,
            "average": self.average,
            "schedule": self._schedule,
            "steps": self._steps,
        }

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """AdamW."""
        return {"network": self._optimiser}

    def _per_row(self, losses: Tensor, shown: Tensor | None) -> Tensor:
        """The sum over slots [n]; where some are given, as if the others stood for them."""
        whole = losses.sum(dim=1)
        if shown is None:
            return whole
        open_slots = (1 - shown).sum(dim=1).clamp_min(1)
        return whole * (shown.shape[1] / open_slots).to(whole.dtype)

    def _shown(self, rows: int) -> Tensor:
        """Which slots are given, [rows, slots]: of each row a random share of its columns."""
        share = torch.rand(rows, 1, device=self._device)
        given = torch.rand(rows, self._count, device=self._device) < share
        shown = given[:, self._columns]
        alone = torch.rand(rows, self._count, device=self._device) < _PRESENT_ALONE
        return (shown & (self._presence | ~alone[:, self._columns])).float()

    def _follow(self) -> None:
        """The average follows the weights, quickly at first."""
        taken: Any = self._steps.taken
        taken += 1
        decay = min(_DECAY, (1 + int(taken)) / (10 + int(taken)))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
