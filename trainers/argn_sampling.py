"""Draws tokens by the torch network: what the exported graph of `argn` is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from trainers.base import Floats, Indices
from trainers.tokens import NEVER

if TYPE_CHECKING:
    from trainers.argn_graph import ArgnGenerator


def draw(
    generator: ArgnGenerator,
    uniform: Floats,
    told: Indices,
    known: npt.NDArray[np.bool_],
    temperature: Floats,
    top_p: Floats,
) -> Indices:
    """Tokens [n, slots]; `told` where `known`, both [n, slots]; temperature and top_p [n, 1]."""
    network, slots = generator.network, generator.vocabulary.slots
    presence = generator.vocabulary.presence
    given, shown = torch.from_numpy(told), torch.from_numpy(known)
    tokens = torch.zeros_like(given)
    heat, most, u = (torch.from_numpy(np.ascontiguousarray(x)) for x in (temperature, top_p, uniform))
    with torch.no_grad():
        # What is not drawn yet is visible only where it is given.
        visible = network.embed(given) * shown[:, :, None]
        for t, slot in enumerate(slots):
            logits = network.logits(t, visible, tokens) / heat
            token = _draw(_nucleus(logits, most), u[:, t])
            if t and slots[t - 1].column == slot.column:
                absent = tokens[:, t - 1] == slots[t - 1].size
                if presence[t - 1]:
                    absent |= tokens[:, t - 1] == 0
                token = torch.where(absent, slot.size, token)
            tokens[:, t] = torch.where(shown[:, t], given[:, t], token)
            visible[:, t] = network.embeddings[tokens[:, t] + network.rows[t]]
    return tokens.numpy()


def _nucleus(logits: Tensor, top_p: Tensor) -> Tensor:
    """Logits [n, k] without the classes beyond the fewest that have probability top_p [n, 1] together."""
    shares = functional.softmax(logits, dim=1)
    best = shares.sort(dim=1, descending=True).values
    kept = torch.where(best.cumsum(dim=1) - best < top_p, best, 1.0)
    least = torch.where(top_p < 1, kept.min(dim=1, keepdim=True).values, 0.0)
    return torch.where(shares < least, NEVER, logits)


def _draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Classes [n] by inverse CDF of softmax(logits [n, k]) at uniform [n]."""
    ends = functional.softmax(logits.double(), dim=1).cumsum(dim=1)
    return (ends[:, :-1] <= uniform[:, None].double() * ends[:, -1:]).sum(dim=1)
