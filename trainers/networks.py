"""Plain networks of linear layers: built as torch modules, written as graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from trainers.base import Floats, Ops
from trainers.search import gather

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "silu"]

_MODULES: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
}


class Skip(nn.Module):
    """Passes its input on beside what `inner` makes of it: added, or behind it ([inner(x), x])."""

    def __init__(self, inner: nn.Sequential, join: Literal["add", "concat"] = "add") -> None:
        super().__init__()
        self.inner, self.join = inner, join

    def forward(self, x: Tensor) -> Tensor:
        """x [n, i] → [n, o]."""
        y: Tensor = self.inner(x)
        return y + x if self.join == "add" else torch.cat([y, x], dim=1)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int | None,
    activation: Activation = "relu",
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers with an activation after each hidden one; no last layer where `outputs` is None."""
    modules: list[nn.Module] = []
    for width in hidden:
        modules.append(nn.Linear(inputs, width))
        if batch_norm:
            modules.append(nn.BatchNorm1d(width))
        modules.append(_MODULES[activation]())
        if dropout:
            modules.append(nn.Dropout(dropout))
        inputs = width
    if outputs is not None:
        modules.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*modules)


def write_network(ops: Ops, network: nn.Sequential, x: str, one_hot: str = "", classes: int = 0) -> str:
    """A network in evaluation mode as a graph: x float32 [n, i] → [n, o].

    Linear layers (a batch norm behind one is multiplied into it), activations,
    dropout (nothing) and `Skip`, nested as may be.

    Args:
        one_hot: the number of a class [n] whose one-hot vector of `classes`
            follows x as the network's input; then the first module is linear.
            A one-hot vector times weights is a row of them.

    Raises:
        ValueError: a module of another type.
    """
    for module, norm in _with_norms(network):
        if isinstance(module, nn.Linear):
            weight, bias = _folded(module, norm)
            dense = weight.shape[1] - (classes if one_hot else 0)
            added: Floats | str = bias
            if one_hot:
                added = gather(ops, np.ascontiguousarray(weight[:, dense:].T) + bias, one_hot)
                one_hot = ""
            x = ops.linear(x, np.ascontiguousarray(weight[:, :dense]), added)
        elif one_hot:
            raise ValueError("a class is asked of a first layer that is linear")
        elif isinstance(module, nn.Sequential):
            x = write_network(ops, module, x)
        elif isinstance(module, Skip):
            inner = write_network(ops, module.inner, x)
            x = ops.node("Add", inner, x) if module.join == "add" else ops.node("Concat", inner, x, axis=1)
        else:
            x = _write_activation(ops, module, x)
    return x


def _with_norms(network: nn.Sequential) -> Iterator[tuple[nn.Module, nn.BatchNorm1d | None]]:
    """Every module; a linear one with the batch norm that follows it, which is left out itself."""
    modules = list(network)
    for place, module in enumerate(modules):
        if isinstance(module, nn.BatchNorm1d):
            if not place or not isinstance(modules[place - 1], nn.Linear):
                raise ValueError("a batch norm must follow a linear layer")
            continue
        following = modules[place + 1] if place + 1 < len(modules) else None
        yield module, following if isinstance(following, nn.BatchNorm1d) else None


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d | None) -> tuple[Floats, Floats]:
    """Weight [o, i] and bias [o], batch norm multiplied in; computed in float64."""
    weight = linear.weight.detach().double().cpu().numpy()
    bias = np.zeros(weight.shape[0])
    if linear.bias is not None:
        bias = linear.bias.detach().double().cpu().numpy()
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = ((norm.running_var.double() + norm.eps).rsqrt() * norm.weight.double()).detach().cpu().numpy()
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean.double().cpu().numpy()) * scale
        bias = bias + norm.bias.detach().double().cpu().numpy()
    return weight.astype(np.float32), bias.astype(np.float32)


def _write_activation(ops: Ops, module: nn.Module, x: str) -> str:
    match module:
        case nn.ReLU():
            return str(ops.node("Relu", x))
        case nn.LeakyReLU():
            return str(ops.node("LeakyRelu", x, alpha=module.negative_slope))
        case nn.Tanh():
            return str(ops.node("Tanh", x))
        case nn.Sigmoid():
            return str(ops.node("Sigmoid", x))
        case nn.SiLU():
            return str(ops.node("Mul", x, ops.node("Sigmoid", x)))
        case nn.Dropout() | nn.Identity():
            return x
        case _:
            raise ValueError(f"{type(module).__name__} cannot be written as a graph")
