from __future__ import annotations

from copy import deepcopy

import pytest
import torch

pytest.importorskip("ctgan")

from ctgan.synthesizers.ctgan import Generator

from trainers.conditioned import conditioned


@pytest.mark.parametrize("widths", [[], [9], [9, 8]])
@pytest.mark.parametrize("classes", [0, 6])
def test_outputs_gradients_and_statistics_are_those_of_the_whole_network(
    widths: list[int], classes: int
) -> None:
    torch.manual_seed(0)
    network = Generator(5 + classes, widths, 7)
    whole = deepcopy(network)
    noise, asked = torch.randn(40, 5), torch.randint(0, 6, (40,)) if classes else None
    given = conditioned(network, noise, asked)
    one_hot = [torch.nn.functional.one_hot(asked, 6).float()] if asked is not None else []
    wanted = whole(torch.cat([noise, *one_hot], dim=1))
    assert torch.allclose(given, wanted, atol=1e-5)
    weights = torch.randn(40, 7)
    (given * weights).sum().backward()
    (wanted * weights).sum().backward()
    for one, other in zip(network.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-4)
    for one, other in zip(network.buffers(), whole.buffers(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
