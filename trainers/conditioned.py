"""A residual generator under a condition that is one class of many, without vectors of zeros.

Every layer sees noise and condition behind what the layers before it gave. A
one-hot vector times weights is a row of them; and neither noise nor condition
need gradients, so none are computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.gemm import back, linear


def conditioned(network: nn.Module, noise: Tensor, asked: Tensor | None) -> Tensor:
    """What the network gives for noise and the one-hot vector of `asked`, [n, width].

    Args:
        network: its `seq` are residual blocks (`fc`, `bn`, ReLU, their input beside it), then a linear layer.
        noise: [n, latent].
        asked: the classes, int64 [n]; None: the network has noise alone as its input.
    """
    *blocks, last = network.seq  # type: ignore[misc]
    hidden = noise[:, :0]
    for block in blocks:
        outputs = functional.relu(block.bn(_layer(block.fc, hidden, noise, asked)))
        hidden = torch.cat([outputs, hidden], dim=1) if hidden.shape[1] else outputs
    return _layer(last, hidden, noise, asked)


def _layer(layer: nn.Linear, hidden: Tensor, noise: Tensor, asked: Tensor | None) -> Tensor:
    if noise.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        # Dense products cost little there, and mixed precision is torch's affair.
        inputs = [hidden, noise]
        if asked is not None:
            width = layer.in_features - hidden.shape[1] - noise.shape[1]
            inputs.append(functional.one_hot(asked, width).to(noise.dtype))
        return functional.linear(torch.cat(inputs, dim=1), layer.weight, layer.bias)
    outputs: Tensor = _Layer.apply(hidden, noise, asked, layer.weight)
    return outputs + layer.bias


class _Layer(torch.autograd.Function):
    """[hidden, noise, one-hot of asked] times weights transposed."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, noise: Tensor, asked: Tensor | None, weight: Tensor) -> Tensor:
        inputs = torch.cat([hidden, noise], dim=1)
        ctx.save_for_backward(inputs, asked, weight)
        ctx.hidden = hidden.shape[1]
        dense = inputs.shape[1]
        outputs = linear(inputs, weight[:, :dense])
        if asked is not None:
            outputs += weight[:, dense:].index_select(1, asked).t()
        return outputs

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, None, None, Tensor]:
        inputs, asked, weight = ctx.saved_tensors
        dense = inputs.shape[1]
        change = torch.empty_like(weight)
        change[:, :dense] = back(given.t(), inputs)
        if asked is not None:
            rows = given.new_zeros(weight.shape[1] - dense, weight.shape[0])
            change[:, dense:] = rows.index_add_(0, asked, given.contiguous()).t()
        to_hidden = back(given, weight[:, : ctx.hidden]) if ctx.needs_input_grad[0] else None
        return to_hidden, None, None, change
