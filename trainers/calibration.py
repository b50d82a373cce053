"""Moves the last biases of a finished network so that what it gives is as frequent as in the table.

An adversary enforces frequencies but loosely, and a variational decoder is
trained on latents of the table's rows, not on the prior it is sampled from.
Both leave small shifts in every column, which a bias each takes back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.heads import Layout
from trainers.softmaxes import blocks

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
    known: Tensor | None = None,
) -> None:
    """Shifts the biases of the network's last linear layer.

    Afterwards every class (and mode) is given as often as the table holds it,
    and every number lies in its modes where the table's do on average.

    Args:
        outputs: of the network for noise, as sampling draws it, [m, layout.width].
        alphas: the table's tanh outputs, [n, tanhs].
        ones: per head the output that is 1, [n, heads].
        weights: what each row counts, [n]; None: the same.
        known: where heads have a cell, [n, heads]; a number is then fitted to the known cells alone, over
            the rows that are given one. None: everywhere.
    """
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    rows = ones.shape[0]
    if weights is None and known is None:
        means = alphas.mean(dim=0)
        held = torch.bincount(ones.long().flatten(), minlength=layout.width).float() / rows
        shifts = class_shift(outputs, layout, (held[layout.tanhs :]).clamp_min(0.5 / rows))
        last.bias.add_(torch.cat([tanh_shift(outputs[:, : layout.tanhs], means), shifts]))
        return
    count = torch.ones_like(ones, dtype=torch.float32)
    if weights is not None:
        count *= (weights / weights.mean()).float()[:, None]
    if known is not None:
        count *= known
    count /= count.sum(dim=0).clamp_min(1e-9)
    held = torch.bincount(ones.long().flatten(), count.flatten(), minlength=layout.width)[layout.tanhs :]
    gates = _gates(layout, known) if known is not None else {}
    shifts = class_shift(outputs, layout, held.clamp_min(0.5 / rows), gates)
    places = [place for place, head in enumerate(layout.heads) if head.alpha is not None]
    order = sorted(places, key=lambda place: layout.heads[place].alpha or 0)
    means = (alphas * count[:, order]).sum(dim=0)
    given = _given(outputs[:, layout.tanhs :] + shifts, layout, gates)
    share = None if given is None else given[:, order]
    last.bias.add_(torch.cat([tanh_shift(outputs[:, : layout.tanhs], means, share), shifts]))


def class_shift(
    outputs: Tensor, layout: Layout, shares: Tensor, gates: Mapping[int, int] | None = None
) -> Tensor:
    """What to add to the softmaxes so that mean probabilities equal shares > 0, both [width - tanhs]."""
    wanted = shares.log()
    shift = torch.zeros_like(wanted)
    for _ in range(_ROUNDS):
        moved = outputs[:, layout.tanhs :] + shift
        share = _given(moved, layout, gates or {})
        means, place = [], 0
        for block in blocks(moved, layout):
            given, count = functional.softmax(block, dim=1), block.shape[0]
            if share is None:
                means.append(given.mean(dim=2).flatten())
            else:
                means.append((given * share[:, place : place + count].t()[:, None]).sum(dim=2).flatten())
            place += count
        shift = (shift + wanted - torch.cat(means).clamp_min(1e-9).log()).clamp(-_FARTHEST, _FARTHEST)
    return shift


def tanh_shift(outputs: Tensor, wanted: Tensor, share: Tensor | None = None) -> Tensor:
    """What to add to the tanhs so that their means equal wanted [tanhs]; by bisection.

    `share` [m, tanhs]: what each row counts, 1 in sum; None: the same.
    """
    low, high = torch.full_like(wanted, -_FARTHEST), torch.full_like(wanted, _FARTHEST)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        given = torch.tanh(outputs + middle)
        means = given.mean(dim=0) if share is None else (given * share).sum(dim=0)
        above = means > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low + high) / 2


def _gates(layout: Layout, known: Tensor) -> dict[int, int]:
    """Per head with gaps, where the "present" softmax of its column begins behind the tanhs."""
    starts = {head.feature: head.start - layout.tanhs for head in layout.heads}
    some = (~known).any(dim=0).tolist()
    return {place: starts[head.feature - 1] for place, head in enumerate(layout.heads) if some[place]}


def _given(softmaxes: Tensor, layout: Layout, gates: Mapping[int, int]) -> Tensor | None:
    """How likely each row is given a cell of each head, [m, heads], 1 in sum over rows; None: all alike."""
    if not gates:
        return None
    likely = torch.ones(softmaxes.shape[0], len(layout.heads), device=softmaxes.device)
    for place, start in gates.items():
        likely[:, place] = torch.sigmoid(softmaxes[:, start + 1] - softmaxes[:, start])
    return likely / likely.sum(dim=0)
