"""Moves the last biases of a finished network so that what it gives is as frequent as in the table.

An adversary enforces frequencies but loosely, and a variational decoder is
trained on latents of the table's rows, not on the prior it is sampled from.
Both leave small shifts in every column, which a bias each takes back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.heads import Layout

_FARTHEST = 4.0
"""How far an output may be moved: what the network never gives is not forced out of it."""

_ROUNDS = 20


@torch.no_grad()
def calibrate(
    network: nn.Module,
    layout: Layout,
    outputs: Tensor,
    alphas: Tensor,
    ones: Tensor,
    weights: Tensor | None = None,
) -> None:
    """Shifts the biases of the network's last linear layer.

    Afterwards every class (and mode) is given as often as the table holds it,
    and every number lies in its modes where the table's do on average.

    Args:
        outputs: of the network for noise, as sampling draws it, [m, layout.width].
        alphas: the table's tanh outputs, [n, tanhs].
        ones: per head the output that is 1, [n, heads].
        weights: what each row counts, [n]; None: the same.
    """
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    rows, flat = ones.shape[0], ones.long().flatten()
    if weights is None:
        means, held = alphas.mean(dim=0), torch.bincount(flat, minlength=layout.width).float()
    else:
        share = weights.float() / weights.float().mean()
        means = (alphas * share[:, None]).mean(dim=0)
        held = torch.bincount(flat, share.repeat_interleave(ones.shape[1]), minlength=layout.width)
    shares = (held[layout.tanhs :] / rows).clamp_min(0.5 / rows)
    shifts = [tanh_shift(outputs[:, : layout.tanhs], means), class_shift(outputs, layout, shares)]
    last.bias.add_(torch.cat(shifts))


def class_shift(outputs: Tensor, layout: Layout, shares: Tensor) -> Tensor:
    """What to add to the softmaxes so that mean probabilities equal shares > 0, both [width - tanhs]."""
    wanted = shares.log()
    shift = torch.zeros_like(wanted)
    for _ in range(_ROUNDS):
        given = torch.cat(
            [
                functional.softmax(block, dim=2).mean(dim=0).flatten()
                for block in blocks(outputs[:, layout.tanhs :] + shift, layout)
            ]
        )
        shift = (shift + wanted - given.clamp_min(1e-9).log()).clamp(-_FARTHEST, _FARTHEST)
    return shift


def tanh_shift(outputs: Tensor, wanted: Tensor) -> Tensor:
    """What to add to the tanhs so that their means equal wanted [tanhs]; by bisection."""
    low, high = torch.full_like(wanted, -_FARTHEST), torch.full_like(wanted, _FARTHEST)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        above = torch.tanh(outputs + middle).mean(dim=0) > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low + high) / 2


def blocks(outputs: Tensor, layout: Layout) -> Iterator[Tensor]:
    """Softmaxes of equal size together: [rows, width - tanhs] → [rows, count, size] each."""
    for group in layout.groups:
        start = group.start - layout.tanhs
        block = outputs[:, start : start + group.count * group.size]
        yield block.reshape(-1, group.count, group.size)
