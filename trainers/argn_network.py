"""The network of `argn`: one small perceptron per slot over the embeddings of the slots it sees.

Embeddings are what tokens have in common for all who see them; the first layer (`argn_sight`) and the
last are each slot's own. Every row's loss is its own: nothing is normalised over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.argn_sight import BoundedSight, DenseSight
from trainers.base import Floats
from trainers.tokens import NEVER, Slot


class Network(nn.Module):
    """Logits of every slot from the tokens of others.

    Args:
        slots: what is predicted, in order.
        sight: whom each slot sees.
        priors: per slot the logarithm of how often each class occurs, [size]; by the token before it,
            [size before + 1, size], where that decides which classes there are. The untrained network
            gives these whatever else it sees, so training starts from independent columns.
        embedding: width of a token's embedding.
        dropout: share of hidden units left out in training.
    """

    rows: Tensor
    """Where the embeddings of a slot's tokens begin, [slots]."""

    def __init__(
        self,
        slots: Sequence[Slot],
        sight: DenseSight | BoundedSight,
        priors: Sequence[Floats],
        embedding: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.slots, self.sight, self.dropout = tuple(slots), sight, dropout
        sizes = [slot.size for slot in slots]
        self.embeddings = nn.Parameter(_embeddings(slots, embedding))
        starts = np.cumsum([0, *(k + 1 for k in sizes)])[:-1]
        self.register_buffer("rows", torch.tensor(starts), persistent=False)
        self.last = nn.Parameter(torch.zeros(sum(sizes), sight.h))
        self._priors = list(priors)
        own = [prior if prior.ndim == 1 else np.zeros(prior.shape[1], np.float32) for prior in priors]
        # Rows of the last layers lie in the order of the groups, so that a group's are one block.
        self._groups = [_Group(size, sizes, priors) for size in sorted(set(sizes))]
        order = [own[t] for group in self._groups for t in group.places]
        self.last_bias = nn.Parameter(torch.from_numpy(np.concatenate([*order, np.zeros(0, np.float32)])))
        for group in self._groups:
            # Of restricted slots one after the other, then a row of zeros for the others.
            self.register_buffer(f"prior{group.size}", torch.from_numpy(group.table), persistent=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings [n, slots, d] of tokens [n, slots]."""
        return functional.embedding(tokens + self.rows, self.embeddings)

    def losses(self, tokens: Tensor, shown: Tensor | None) -> Tensor:
        """Cross-entropy of every slot of every row, [n, slots]; 0 where it does not apply or is given."""
        hidden = functional.relu(self.sight(self.embed(tokens), shown))
        hidden = functional.dropout(hidden, self.dropout, self.training).transpose(0, 1)
        # In single precision whatever the layers are computed in.
        result = torch.empty_like(tokens.T, dtype=torch.float32)
        widths = [len(group.places) * group.size for group in self._groups]
        last, last_bias = torch.split(self.last, widths), torch.split(self.last_bias, widths)
        parts = zip(self._groups, last, last_bias, strict=True)
        for group, rows, bias in parts:
            size, places = group.size, group.places
            weight = rows.reshape(len(places), size, -1).transpose(1, 2)
            logits = torch.baddbmm(bias.reshape(-1, 1, size), hidden[places], weight)
            if group.restricted:
                logits = logits + self.get_buffer(f"prior{size}")[group.row(tokens)]
            wanted = tokens[:, places].T
            # What does not apply is the class `size`, which no logit stands for.
            wanted = torch.where(wanted < size, wanted, -1)
            each = functional.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), ignore_index=-1, reduction="none"
            )
            result[places] = each.float().view(len(places), -1)
        return result.T if shown is None else result.T * (1 - shown)

    def logits(self, slot: int, visible: Tensor, tokens: Tensor) -> Tensor:
        """Logits [n, size] of a slot from what is visible (see `DenseSight.of`) and the tokens [n, slots]."""
        hidden = functional.relu(self.sight.of(slot, visible))
        weight, bias = self._head(slot)
        return self._restricted(functional.linear(hidden, weight, bias), slot, tokens)

    def _restricted(self, logits: Tensor, slot: int, tokens: Tensor) -> Tensor:
        if self.slots[slot].widths is None:
            return logits
        return logits + torch.from_numpy(self.prior_of(slot))[tokens[:, slot - 1]]

    def _head(self, slot: int) -> tuple[Tensor, Tensor]:
        group = next(group for group in self._groups if group.size == self.slots[slot].size)
        start = group.start + group.places.index(slot) * group.size
        rows = slice(start, start + group.size)
        return self.last[rows], self.last_bias[rows]

    def embeddings_of(self, slot: int) -> Floats:
        """Embeddings of a slot's tokens, [size + 1, d]."""
        start = int(self.rows[slot])
        return self.embeddings[start : start + self.slots[slot].size + 1].numpy()

    def head_of(self, slot: int) -> tuple[Floats, Floats]:
        """Weight [size, h] and bias [size] of a slot's last layer."""
        weight, bias = self._head(slot)
        return weight.numpy(), bias.numpy()

    def prior_of(self, slot: int) -> Floats:
        """What the token before a slot adds to its logits, [size before + 1, size]."""
        return self._priors[slot]


class _Group:
    """Slots of equal size, computed together."""

    def __init__(self, size: int, sizes: Sequence[int], priors: Sequence[Floats]) -> None:
        self.size = size
        self.places = [t for t, other in enumerate(sizes) if other == size]
        self.start = sum(other for other in sizes if other < size)
        tables = [priors[t] for t in self.places if priors[t].ndim == 2]
        self.table = np.concatenate([*tables, np.zeros((1, size), np.float32)])
        starts = iter(np.cumsum([0, *(len(table) for table in tables)]).tolist())
        self._starts = [next(starts) if priors[t].ndim == 2 else -1 for t in self.places]
        self.restricted = bool(tables)

    def row(self, tokens: Tensor) -> Tensor:
        """Rows of `table` that restrict the slots, [places, n]."""
        none = torch.full_like(tokens[:, 0], len(self.table) - 1)
        rows = [
            tokens[:, t - 1] + start if start >= 0 else none
            for t, start in zip(self.places, self._starts, strict=True)
        ]
        return torch.stack(rows)


def priors(
    slots: Sequence[Slot], tokens: npt.NDArray[np.int32], weights: npt.NDArray[np.float64]
) -> list[Floats]:
    """What `Network` starts from, of training tokens [n, slots] that count weights [n]."""
    found = []
    for t, slot in enumerate(slots):
        applies = tokens[:, t] < slot.size
        own = np.bincount(tokens[applies, t], weights[applies], slot.size) + 0.5
        if slot.widths is None:
            found.append(np.log(own / own.sum()).astype(np.float32))
            continue
        before = tokens[applies, t - 1].astype(np.int64)
        size = slot.widths.size
        pairs = np.bincount(before * slot.size + tokens[applies, t], weights[applies], size * slot.size)
        counts = pairs.reshape(size, slot.size) + 0.5
        exists = np.arange(slot.size) < slot.widths[:, None]
        shares = np.log(counts / np.where(exists, counts, 0.0).sum(axis=1, keepdims=True))
        table = np.where(exists, shares, NEVER)
        found.append(np.concatenate([table, np.zeros((1, slot.size))]).astype(np.float32))
    return found


def _embeddings(slots: Sequence[Slot], width: int) -> Tensor:
    """Of ordered classes the first number starts as their place, so that neighbours are alike."""
    parts = []
    for slot in slots:
        part = torch.randn(slot.size + 1, width)
        if slot.ordered:
            place = (2 * (torch.arange(slot.size) + 0.5) / slot.size - 1).clamp(-0.999, 0.999)
            part[:, 1:] *= 0.3
            part[:-1, 0] = torch.erfinv(place) * math.sqrt(2)
            part[-1, 0] = 0.0
        parts.append(part)
    return torch.cat([*parts, torch.zeros(0, width)])
