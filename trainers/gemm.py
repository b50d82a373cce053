"""Matrix products of training on a CPU.

torch multiplies float32 matrices by MKL, which leaves the wide registers of
some makers' processors unused: there oneDNN, which comes with torch as well, is
more than twice as fast. What it gives differs by rounding, as between any two
processors; the same seed still gives the same weights on the same one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST = 1 << 20
"""Multiply-adds below which oneDNN's way in costs more than it saves."""


def _found() -> Any:
    """oneDNN's product of plain tensors; None where torch has none that is called as here.

    It is no public one: a torch in which it means something else multiplies by itself.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    try:
        product = torch.ops.mkldnn._linear_pointwise.default
        right = torch.equal(product(a, b, None, "none", [], ""), torch.tensor([[11.0, 17.0]]))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product if right else None


_ONEDNN = _found()


class Linear(nn.Linear):
    """torch's linear layer by the faster product."""

    def forward(self, input: Tensor) -> Tensor:
        """x [n, in] → [n, out]."""
        return linear(input, self.weight, self.bias)


def hasten(network: nn.Module) -> None:
    """Has every linear layer of the network use the faster product; weights and their names stay."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [n, in] times weight [out, in] transposed, plus bias [out]; may be differentiated twice."""
    if not _fits(x, weight.t()):
        return functional.linear(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight)
    return y if bias is None else y + bias


def back(x: Tensor, weight: Tensor) -> Tensor:
    """x [n, out] times weight [out, in], as gradients go through a linear layer; may be differentiated."""
    if not _fits(x, weight):
        return x @ weight
    y: Tensor = _Back.apply(x, weight)
    return y


class _Linear(torch.autograd.Function):
    """Its derivatives are made of what can be differentiated itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight.t())

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad
        return back(given, weight) if to_x else None, back(given.t(), x) if to_weight else None


class _Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad
        return linear(given, weight) if to_x else None, back(x.t(), given) if to_weight else None


def _fits(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN takes the product of a [n, k] and b [k, m], and is worth its way in."""
    if _ONEDNN is None or a.dtype != torch.float32 or b.dtype != torch.float32 or a.dim() != 2:
        return False
    return a.device.type == b.device.type == "cpu" and a.shape[0] * b.numel() >= _SMALLEST


def _times(a: Tensor, b: Tensor) -> Tensor:
    y: Tensor = _ONEDNN(_dense(a), _dense(b).t(), None, "none", [], "")
    return y


def _dense(matrix: Tensor) -> Tensor:
    """Rows or columns without gaps: of others oneDNN has no fast product, but one that takes seconds."""
    if matrix.is_contiguous() or matrix.t().is_contiguous():
        return matrix
    return matrix.contiguous()
