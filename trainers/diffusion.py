"""A flow between noise and rows of numbers and classes: its network, its loss, its steps.

Flow matching (Lipman et al., 2023, arXiv 2210.02747): a row is a point x₁, noise
a point x₀ ~ N(0, I), and x_t = (1 − t) x₀ + t x₁ the straight way between. A
network that sees x_t and t learns where on average the ways lead; following
it from t = 0 to 1 turns noise into rows. Of numbers it learns the velocity
x₁ − x₀. Of classes, which lie at the corners of a simplex, it learns the
distribution of the class given x_t, by its cross-entropy, and the velocity
follows from that (Eijkelboom et al., 2024, arXiv 2406.04843): at the last step
the class is drawn from that distribution, not taken from where the way ended.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.base import Doubles, Floats, Indices
from trainers.compute import autocast, clipped, moved
from trainers.heads import Layout
from trainers.softmaxes import log_shares, shares

_FREQUENCIES = 16
"""Pairs of sine and cosine that tell the network the time."""

_PART = 4_096

_ROUNDS, _FARTHEST = 4, 0.7
"""How often calibration runs the flow, and how far it moves a logit each time."""

_VALIDATIONS = 4
"""Times and noises that each validation row is judged at."""


class FlowNetwork(nn.Module):
    """x_t [n, numbers + classes] and t [n, 1] → velocities of numbers and logits of classes, as wide."""

    def __init__(self, width: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0.0, math.log(200.0), _FREQUENCIES)))
        self.frequencies: Tensor
        sizes = [width, *hidden]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.clock = nn.Linear(2 * _FREQUENCIES, 64)
        self.times = nn.ModuleList(nn.Linear(64, o, bias=False) for o in hidden)
        self.last = nn.Linear(hidden[-1], width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.last.weight)

    def biases(self, t: Tensor) -> list[Tensor]:
        """What times [n, 1] add to each hidden layer, [n, hidden] each."""
        angles = t * self.frequencies
        told = functional.silu(self.clock(torch.cat([angles.sin(), angles.cos()], dim=1)))
        return [layer(told) for layer in self.times]

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """[n, width]."""
        for layer, bias in zip(self.linears, self.biases(t), strict=True):
            y = functional.silu(layer(x) + bias)
            x = self.dropout(y + x if self.passes_on(layer) else y)
        outputs: Tensor = self.last(x)
        return outputs

    @property
    def linears(self) -> list[nn.Linear]:
        """The hidden layers."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def passes_on(self, layer: nn.Linear) -> bool:
        """Whether a hidden layer's input is added to what it gives: where both are as wide."""
        return layer is not self.layers[0] and layer.in_features == layer.out_features


@dataclass(frozen=True, eq=False)
class Points:
    """How rows are points: numbers first, then one corner of a simplex per discrete feature."""

    numbers: int
    layout: Layout
    """Of the discrete features alone."""
    centre: Floats
    """Mean of the corners, taken off so that rows lie around 0 as noise does; [layout.width]."""
    scale: float
    """How far corners are away, before that."""

    @property
    def width(self) -> int:
        """Coordinates of a point."""
        return self.numbers + self.layout.width

    def corners(self, shares: Tensor, centre: Tensor) -> Tensor:
        """Where distributions over classes [n, layout.width] lie, as wide."""
        return (shares - centre) * self.scale

    def shares(self, logits: Tensor) -> Tensor:
        """Distributions over the classes of every discrete feature; [n, layout.width] both."""
        return shares(logits, self.layout)


def times(steps: int) -> list[float]:
    """When the network is asked, from 0 on; the last answer leads to 1."""
    return [step / steps for step in range(steps)]


@torch.no_grad()
def follow(network: FlowNetwork, points: Points, noise: Tensor, steps: int) -> Tensor:
    """Numbers and the logits of classes at the end of the way from noise; [n, width] both."""
    x, asked = noise, [*times(steps), 1.0]
    centre = torch.from_numpy(points.centre)
    outputs = x
    for now, then in pairwise(asked):
        outputs = network(x, torch.full((1, 1), now))
        velocity, logits = outputs[:, : points.numbers], outputs[:, points.numbers :]
        numbers = x[:, : points.numbers] + (then - now) * velocity
        ends = points.corners(points.shares(logits), centre)
        share = (then - now) / (1.0 - now)
        x = torch.cat([numbers, torch.lerp(x[:, points.numbers :], ends, share)], dim=1)
    return torch.cat([x[:, : points.numbers], outputs[:, points.numbers :]], dim=1)


def generate(network: FlowNetwork, points: Points, noise: Floats, steps: int) -> Floats:
    """`follow` in parts, float32 [n, width]."""
    parts = [np.zeros((0, points.width), np.float32)]
    for start in range(0, noise.shape[0], _PART):
        part = torch.from_numpy(np.ascontiguousarray(noise[start : start + _PART]))
        parts.append(follow(network, points, part, steps).numpy())
    return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class FlowRows:
    """Rows to learn from, or to validate on."""

    numbers: Floats
    """Normal scores, [copies, n, numbers]: each copy has drawn anew what a cell does not tell."""
    known: Floats
    """1 where a number is not null, [n, numbers]."""
    ones: Indices
    """Per discrete feature the output that is 1, [n, heads]."""

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.ones)


class FlowLearner:
    """Trains a `FlowNetwork` and the moving average of its weights; a `loop.Learner`."""

    def __init__(
        self,
        network: FlowNetwork,
        points: Points,
        parts: tuple[FlowRows, FlowRows],
        learning_rate: float,
        weight_decay: float,
        ema_decay: float,
        device: torch.device,
    ) -> None:
        self.network, self._points, self._device = network.to(device), points, device
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._parts = [tuple(moved(a, device) for a in (p.numbers, p.known, p.ones)) for p in parts]
        self._centre = moved(points.centre, device)
        self._rate, self._decay = learning_rate, ema_decay
        self._optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=learning_rate,
            weight_decay=weight_decay,
            betas=(0.9, 0.99),
            fused=device.type in ("cpu", "cuda"),
        )

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One step of AdamW, and of the average."""
        count = len(rows)
        # One time in each of `count` equal parts: as random, and less noisy than independent ones.
        t = (torch.arange(count, device=self._device) + torch.rand(count, device=self._device)) / count
        copy_of = int(rng.integers(self._parts[0][0].shape[0]))
        with autocast(self._device):
            losses = self._losses(self.network, 0, copy_of, moved(rows, self._device), t[:, None])
        loss = losses["numbers"] + losses["classes"]
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clipped(self.network, 10.0)
        self._optimiser.step()
        self._follow_up()
        return {"loss": loss, **losses, "gradient_norm": norm}

    @torch.no_grad()
    def validate(self) -> float:
        """The average network's loss on the validation rows; times and noises are always the same."""
        rows = self._parts[1][2].shape[0]
        total = 0.0
        for turn in range(_VALIDATIONS):
            for start in range(0, rows, _PART):
                part = torch.arange(start, min(rows, start + _PART), device=self._device)
                t = (torch.rand(part.shape[0], 1, device=self._device) + turn) / _VALIDATIONS
                losses = self._losses(self.average, 1, turn, part, t)
                total += float(losses["numbers"] + losses["classes"]) * part.numel()
        return total / (rows * _VALIDATIONS) if rows else float("nan")

    def modules(self) -> Mapping[str, nn.Module]:
        """The network and its average."""
        return {"network": self.network, "average": self.average}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """The one optimiser."""
        return {"adamw": self._optimiser}

    def epoch_done(self, epoch: int, share: float) -> None:
        """The learning rate falls along a cosine."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * share)))

    def finish(self) -> FlowNetwork:
        """The average network, on the CPU."""
        return self.average.cpu().eval()

    @torch.no_grad()
    def _follow_up(self) -> None:
        """The average follows the weights: closely at first, so that it is not held by the first ones."""
        taken = self._optimiser.state[self.network.last.weight]["step"]
        share = 1.0 - min(self._decay, (1.0 + float(taken)) / (10.0 + float(taken)))
        for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(new, share)

    def _losses(
        self, network: FlowNetwork, part: int, copy_of: int, rows: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        """Of numbers and of classes at times t [b, 1], each a sum over features and a mean over rows."""
        numbers, known, ones = self._parts[part]
        x1 = numbers[copy_of % numbers.shape[0]][rows]
        one_hot = torch.zeros(rows.shape[0], self._points.layout.width, device=self._device)
        one_hot.scatter_(1, ones[rows], 1.0)
        end = torch.cat([x1, self._points.corners(one_hot, self._centre)], dim=1)
        noise = torch.randn_like(end)
        outputs = network(torch.lerp(noise, end, t), t).float()
        width = self._points.numbers
        wanted = (end - noise)[:, :width]
        away = (outputs[:, :width] - wanted).square() * known[rows]
        chosen = log_shares(outputs[:, width:], self._points.layout).gather(1, ones[rows])
        return {"numbers": away.sum(dim=1).mean(), "classes": -chosen.sum(dim=1).mean()}


@torch.no_grad()
def calibrate(
    network: FlowNetwork, points: Points, ones: Indices, weights: Doubles, steps: int, noise: Floats
) -> None:
    """Moves the biases of classes until the flow gives each as often as the table has it.

    A bias that all steps share is what another frequency of the class would have added to its logit at
    every time, so that the whole way leads there and not its end alone.
    """
    if not points.layout.heads:
        return
    share = np.repeat(weights / weights.sum(), ones.shape[1])
    held = np.bincount(ones.reshape(-1), share, minlength=points.layout.width)
    wanted = torch.from_numpy(held).float().clamp_min(0.5 / len(ones)).log()
    for _ in range(_ROUNDS):
        end = torch.from_numpy(generate(network, points, noise, steps))
        given = points.shares(end[:, points.numbers :]).mean(dim=0).clamp_min(0.5 / len(noise)).log()
        network.last.bias[points.numbers :].add_((wanted - given).clamp(-_FARTHEST, _FARTHEST))


def steps_of(network: FlowNetwork, steps: int) -> Iterator[list[Floats]]:
    """Per step what its time adds to each hidden layer, [hidden] each."""
    for now in times(steps):
        with torch.no_grad():
            yield [bias[0].numpy() for bias in network.biases(torch.full((1, 1), now))]
