from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from trainers import gemm
from trainers.gemm import back, hasten, linear


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, by the faster product."""
    monkeypatch.setattr(gemm, "_SMALLEST", 0)


LAID = [
    lambda rows, columns: torch.randn(rows, columns),
    lambda rows, columns: torch.randn(columns, rows).t(),
    lambda rows, columns: torch.randn(rows, columns + 3)[:, 1:-2],
    lambda rows, columns: torch.randn(1, columns).expand(rows, -1),
]
"""Matrices without gaps, transposed, with gaps, and of one row repeated."""


@pytest.mark.parametrize("first", LAID)
@pytest.mark.parametrize("second", LAID)
def test_products_are_those_of_torch_however_operands_lie(first: object, second: object) -> None:
    torch.manual_seed(0)
    x, weight = first(7, 5), second(6, 5)  # type: ignore[operator]
    assert torch.allclose(linear(x, weight), x @ weight.t(), atol=1e-5)
    assert torch.allclose(linear(x, weight, torch.arange(6.0)), x @ weight.t() + torch.arange(6.0), atol=1e-5)
    weight = second(5, 6)  # type: ignore[operator]
    assert torch.allclose(back(x, weight), x @ weight, atol=1e-5)


def losses(network: nn.Module, x: Tensor) -> list[Tensor]:
    """A loss, its gradients, and those of the size of its slope."""
    x = x.clone().requires_grad_(True)
    loss = network(x).square().sum()
    parameters = [*network.parameters()]
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    return [
        loss,
        slope,
        *torch.autograd.grad(loss, parameters, retain_graph=True),
        *torch.autograd.grad(slope.square().sum(), parameters, allow_unused=True, materialize_grads=True),
    ]


def test_a_hastened_network_has_the_same_gradients_twice() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 7, bias=False), nn.Tanh(), nn.Linear(7, 3))
    fast = deepcopy(plain)
    hasten(fast)
    assert [*fast.state_dict()] == [*plain.state_dict()]
    x = torch.randn(20, 9)
    for one, other in zip(losses(fast, x), losses(plain, x), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_other_numbers_than_float32_are_multiplied_by_torch() -> None:
    x, weight = torch.randn(4, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(linear(x, weight), x @ weight.t())
    assert torch.equal(back(x, weight.t()), x @ weight.t())


def test_a_product_that_is_called_or_means_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_arguments(x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.t()

    def refused(*_: object) -> Tensor:
        raise RuntimeError("mkldnn: this operator is not built")

    def not_transposed(x: Tensor, weight: Tensor, *_: object) -> Tensor:
        return x @ weight

    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for product in (other_arguments, refused, not_transposed):
        monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", SimpleNamespace(default=product))
        assert gemm._found() is None
    monkeypatch.setattr(
        torch.ops.mkldnn, "_linear_pointwise", SimpleNamespace(default=lambda x, w, *_: x @ w.t())
    )
    assert gemm._found() is not None


def test_without_onednn_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "_ONEDNN", None)
    x, weight = torch.randn(4, 3), torch.randn(2, 3)
    assert torch.equal(linear(x, weight), nn.functional.linear(x, weight))
