from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from trainers import slopes
from trainers.slopes import wasserstein_loss


def critic_of(widths: Sequence[int], dropout: float) -> nn.Sequential:
    modules: list[nn.Module] = []
    before = 12
    for width in widths:
        modules += [nn.Linear(before, width), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        before = width
    return nn.Sequential(*modules, nn.Linear(before, 1)).double()


def by_differentiating_twice(
    critic: nn.Sequential, factors: Sequence[Tensor], both: Tensor, share: Tensor
) -> Tensor:
    """The same loss as the papers write it; `factors` are those of every module but the linear ones."""

    def judged(rows: Tensor, part: slice) -> Tensor:
        given = iter(factors)
        for module in critic:
            rows = module(rows) if isinstance(module, nn.Linear) else rows * next(given)[part]
        return rows

    half = both.shape[0] // 2
    between = torch.lerp(both[:half], both[half:], share).requires_grad_(True)
    judged_between = judged(between, slice(2 * half, None))
    (slope,) = torch.autograd.grad(judged_between.sum(), between, create_graph=True)
    on_fake, on_real = judged(both, slice(0, 2 * half)).chunk(2)
    return on_fake.mean() - on_real.mean() + 7.0 * (slope.norm(dim=1) - 1.0).square().mean()


@pytest.mark.parametrize("widths", [[], [6], [9, 7], [9, 8, 5]])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_loss_and_gradients_are_those_of_differentiating_twice(
    widths: list[int], dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    critic, both = critic_of(widths, dropout), torch.randn(40, 12, dtype=torch.float64)
    factors: list[Tensor] = []
    factor = slopes._factor

    def kept(module: nn.Module, x: Tensor) -> Tensor:
        factors.append(factor(module, x))
        return factors[-1]

    monkeypatch.setattr(slopes, "_factor", kept)
    torch.manual_seed(1)
    found = wasserstein_loss(critic, both, 7.0)
    torch.manual_seed(1)
    wanted = by_differentiating_twice(critic, factors, both, torch.rand(20, 1, dtype=torch.float64))
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
    parameters = [p for name, p in critic.named_parameters() if not name.endswith("bias")]
    for one, other in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(wanted, parameters), strict=True
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_factors_are_those_of_the_modules() -> None:
    x = torch.tensor([[-3.0, 0.0, 2.0]])
    leaky = nn.LeakyReLU(0.2)
    assert torch.equal(x * slopes._factor(leaky, x), leaky(x))
    torch.manual_seed(0)
    dropped = slopes._factor(nn.Dropout(0.25), torch.ones(400, 100))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert dropped.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "critic",
    [
        nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)),
        nn.Sequential(nn.LeakyReLU(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(4, 1), nn.LeakyReLU()),
    ],
)
def test_critics_without_such_a_slope_are_refused(critic: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="critic"):
        wasserstein_loss(critic, torch.rand(6, 4), 10.0)
