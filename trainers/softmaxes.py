"""What the torch side makes of a layout's outputs (`trainers.heads`): shares, their logarithms, samples.

Softmaxes are taken along columns: of a class all rows lie side by side, so that
a processor takes many rows at once however few classes there are. Outputs that
lie so already are read where they are; what is given back lies
so, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from trainers.heads import Layout

TEMPERATURE = 0.2
"""Of the Gumbel-softmax."""


def blocks(outputs: Tensor, layout: Layout) -> Iterator[Tensor]:
    """Softmaxes of equal size together: [rows, width - tanhs] → [count, size, rows] each."""
    upright = outputs.t().contiguous()
    for group in layout.groups:
        start = group.start - layout.tanhs
        yield upright[start : start + group.count * group.size].view(group.count, group.size, -1)


def log_shares(outputs: Tensor, layout: Layout) -> Tensor:
    """Logarithms of the classes' shares, [rows, width - tanhs], of the softmaxes' outputs of that shape."""
    logs = [functional.log_softmax(block, dim=1).flatten(0, 1) for block in blocks(outputs, layout)]
    return torch.cat(logs).t() if logs else outputs[:, :0]


def shares(outputs: Tensor, layout: Layout) -> Tensor:
    """The classes' shares, [rows, width - tanhs], of the softmaxes' outputs of that shape."""
    given = [functional.softmax(block, dim=1).flatten(0, 1) for block in blocks(outputs, layout)]
    return torch.cat(given).t() if given else outputs[:, :0]


def activated(outputs: Tensor, layout: Layout) -> Tensor:
    """Tanhs, and softmaxes with Gumbel noise (Jang et al., ICLR 2017, arXiv 1611.01144); [rows, width]."""
    upright, tanhs = outputs.t().contiguous(), layout.tanhs
    # -log(-log u) of uniforms is four times as fast as torch's exponentials; the least u keeps it finite.
    gumbel = torch.rand_like(upright[tanhs:]).clamp_min_(1e-30).log_().neg_().log_()
    warm = (upright[tanhs:] - gumbel) / TEMPERATURE
    return torch.cat([torch.tanh(upright[:tanhs]), shares(warm.t(), layout).t()]).t()
