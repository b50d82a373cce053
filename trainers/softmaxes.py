"""What the torch side makes of a layout's outputs (`trainers.heads`): shares, their logarithms, samples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from trainers.heads import Layout

TEMPERATURE = 0.2
"""Of the Gumbel-softmax."""


def blocks(outputs: Tensor, layout: Layout) -> Iterator[Tensor]:
    """Softmaxes of equal size together: [rows, width - tanhs] → [rows, count, size] each."""
    for group in layout.groups:
        start = group.start - layout.tanhs
        block = outputs[:, start : start + group.count * group.size]
        yield block.reshape(-1, group.count, group.size)


def log_shares(outputs: Tensor, layout: Layout) -> Tensor:
    """Logarithms of the classes' shares, [rows, width - tanhs], of the softmaxes' outputs of that shape."""
    logs = [functional.log_softmax(block, dim=2).flatten(1) for block in blocks(outputs, layout)]
    return torch.cat(logs, dim=1) if logs else outputs[:, :0]


def activated(outputs: Tensor, layout: Layout) -> Tensor:
    """Tanhs, and softmaxes with Gumbel noise (Jang et al., ICLR 2017, arXiv 1611.01144); [rows, width]."""
    tanhs = layout.tanhs
    # -log(-log u) of uniforms is four times as fast as torch's exponentials; the least u keeps it finite.
    gumbel = torch.rand_like(outputs[:, tanhs:]).clamp_min_(1e-30).log_().neg_().log_()
    warm = (outputs[:, tanhs:] - gumbel) / TEMPERATURE
    softmaxes = [functional.softmax(block, dim=2).flatten(1) for block in blocks(warm, layout)]
    return torch.cat([torch.tanh(outputs[:, :tanhs]), *softmaxes], dim=1)
