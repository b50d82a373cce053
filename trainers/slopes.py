"""The loss of a Wasserstein critic whose slope is held to 1, without differentiating twice.

A critic of linear layers, leaky ReLUs and dropout is linear wherever its
factors (of each ReLU 1 or its slope, of each dropout 0 or what remains) are
what they are. So its slope at a point is the product of its weights and of
those factors, which a few matrix products give and ordinary gradients follow.

And the first layer of a point between two is between the first layers of both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.gemm import back, linear


def wasserstein_loss(critic: nn.Sequential, both: Tensor, penalty: float) -> Tensor:
    """Wasserstein distance, negated, plus the gradient penalty (arXiv 1704.00028, algorithm 1); a scalar.

    Args:
        critic: linear layers, leaky ReLUs and dropout, in training mode: [n, w] → [n, 1].
        both: made rows, then as many of the table, [2n, w].
        penalty: weight of the squared difference of the slope's norm from 1, measured at a
            random place on the line between each made row and its real one.

    Raises:
        ValueError: the critic has a module of another kind.
    """
    (first, *inner), rows = _linears(critic), both.shape[0] // 2
    outputs = linear(both, first.weight, first.bias)
    with torch.no_grad():
        share = torch.rand(rows, 1, device=both.device, dtype=both.dtype)
        between = torch.lerp(outputs[:rows], outputs[rows:], share)
    factors: list[Tensor] = []
    place = 0
    for module in list(critic)[1:]:
        if isinstance(module, nn.Linear):
            outputs = linear(outputs, module.weight, module.bias)
            with torch.no_grad():
                between = linear(between, module.weight, module.bias)
            place += 1
            continue
        with torch.no_grad():
            factor = _factor(module, torch.cat([outputs, between]))
            between = between * factor[2 * rows :]
        outputs = outputs * factor[: 2 * rows]
        if len(factors) == place:
            factors.append(factor[2 * rows :])
        else:
            factors[place] = factors[place] * factor[2 * rows :]
    on_fake, on_real = outputs.chunk(2)

    slope = inner[-1].weight if inner else first.weight.expand(rows, -1)
    for layer, factor in zip([first, *inner][-2::-1], reversed(factors), strict=True):
        slope = back(slope * factor, layer.weight)
    away = (slope.norm(dim=1) - 1.0).square().mean()
    loss: Tensor = on_fake.mean() - on_real.mean() + penalty * away
    return loss


def _linears(critic: nn.Sequential) -> list[nn.Linear]:
    linears = [module for module in critic if isinstance(module, nn.Linear)]
    if not linears or critic[0] is not linears[0] or critic[-1] is not linears[-1]:
        raise ValueError("a critic begins and ends with a linear layer")
    return linears


def _factor(module: nn.Module, x: Tensor) -> Tensor:
    """What the module multiplies x by."""
    if isinstance(module, nn.LeakyReLU):
        return torch.where(x > 0, x.new_tensor(1.0), x.new_tensor(module.negative_slope))
    if isinstance(module, nn.Dropout):
        kept = torch.rand_like(x) >= module.p
        return kept.to(x.dtype) / (1.0 - module.p)
    raise ValueError(f"a critic with {type(module).__name__} has no slope of this form")
