"""What a slot of `argn` sees of the others: the first layers of all slots.

`DenseSight` lets every slot see every other: for tables of up to a hundred slots or so. `BoundedSight`
gives each the few it depends on most, so that cost grows with the number of slots, not its square.
Either way slot t sees a slot before it always, and one after it only where that is given.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.base import Indices

if TYPE_CHECKING:
    from trainers.argn_graph import Writer

CHUNK = 8
"""Slots whose first layers are one product."""

_TOGETHER = 32
"""Slots of bounded sight that are computed together."""


class DenseSight(nn.Module):
    """Weights [slots · h, slots · d]: row block t, column block s is what t makes of s."""

    inside: Tensor
    outside: Tensor

    def __init__(self, slots: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.slots, self.d, self.h = slots, embedding, hidden
        first = torch.randn(slots, hidden, slots, embedding)
        for t in range(slots):
            first[t] /= math.sqrt(max(8, t * embedding))
        # By chunks: the gradient of a slice would be a whole matrix of zeros for each.
        whole = first.reshape(slots * hidden, slots * embedding)
        self.weights = nn.ParameterList(part.clone() for part in torch.split(whole, CHUNK * hidden))
        self.bias = nn.Parameter(torch.zeros(slots, hidden))
        lower = torch.ones(CHUNK, CHUNK).tril(-1)
        for name, mask in (("inside", lower), ("outside", lower.T)):
            wide = mask.repeat_interleave(hidden, dim=0).repeat_interleave(embedding, dim=1)
            self.register_buffer(name, wide, persistent=False)

    def forward(self, embedded: Tensor, shown: Tensor | None) -> Tensor:
        """Before activation, [n, slots, h].

        Args:
            embedded: embeddings of all tokens, [n, slots, d].
            shown: which slots are given, [n, slots]; None: none.
        """
        d, h, s = self.d, self.h, self.slots
        flat = embedded.flatten(1)
        given = None if shown is None else (embedded * shown[:, :, None]).flatten(1)
        parts = []
        for t0, rows in zip(range(0, s, CHUNK), self.weights, strict=True):
            t1 = min(t0 + CHUNK, s)
            bias = self.bias[t0:t1]
            before, beside, after = torch.split(rows, [t0 * d, (t1 - t0) * d, (s - t1) * d], dim=1)
            size = ((t1 - t0) * h, (t1 - t0) * d)
            own = slice(t0 * d, t1 * d)
            x = functional.linear(flat[:, own], beside * self.inside[: size[0], : size[1]], bias.flatten())
            if t0:
                x = x + functional.linear(flat[:, : t0 * d], before)
            if given is not None:
                x = x + functional.linear(given[:, own], beside * self.outside[: size[0], : size[1]])
                if t1 < s:
                    x = x + functional.linear(given[:, t1 * d :], after)
            parts.append(x)
        return torch.cat(parts, dim=1).reshape(embedded.shape[0], s, h)

    def of(self, slot: int, visible: Tensor) -> Tensor:
        """One slot's part of `forward`, [n, h], of embeddings [n, slots, d] that are 0 where it sees none."""
        place = slot % CHUNK
        rows = self.weights[slot // CHUNK][place * self.h : (place + 1) * self.h]
        return functional.linear(visible.flatten(1), rows, self.bias[slot])

    def write(self, writer: Writer) -> None:
        """Writes every slot's draw: what stands before a chunk is one product for all its slots."""
        ops, d, h, s = writer.ops, self.d, self.h, self.slots
        bias = self.bias.numpy()
        shown = [writer.shown(t) for t in range(s)] if writer.given is not None else []
        before = ""
        for t0 in range(0, s, CHUNK):
            t1 = min(t0 + CHUNK, s)
            rows = self.weights[t0 // CHUNK].numpy()
            layer = ops.linear(before, rows[:, : t0 * d], bias[t0:t1].ravel()) if t0 else ""
            if shown and t0 + 1 < s:
                later = np.repeat(np.repeat(np.tri(t1 - t0, s - t0 - 1, k=-1) == 0, h, 0), d, 1)
                weight = np.where(later, rows[:, (t0 + 1) * d :], np.float32(0))
                sight = writer.joined(shown[t0 + 1 :])
                layer = ops.linear(sight, weight, layer or bias[t0:t1].ravel())
            near = ""
            for t in range(t0, t1):
                hidden = ops.slice(layer, (t - t0) * h, (t - t0 + 1) * h) if layer else ""
                if t > t0:
                    own = np.ascontiguousarray(rows[(t - t0) * h : (t - t0 + 1) * h, t0 * d : t * d])
                    hidden = ops.linear(near, own, hidden or bias[t])
                writer.draw(t, hidden or writer.constant_row(bias[t]))
                # One behind the other: joining costs by the piece, not by the number.
                near = writer.joined([near, writer.seen[t]] if near else [writer.seen[t]])
            before = writer.joined([before, near] if before else [near])


class BoundedSight(nn.Module):
    """Weights [slots, parents · d, h] of the slots that each slot sees at most.

    Args:
        parents: per slot whom it sees, [slots, parents]; itself where there is no further one.
    """

    parents: Tensor
    earlier: Tensor

    def __init__(self, parents: Indices, embedding: int, hidden: int) -> None:
        super().__init__()
        slots, most = parents.shape
        self.slots, self.d, self.h = slots, embedding, hidden
        self.weight = nn.Parameter(torch.randn(slots, most * embedding, hidden) / math.sqrt(most * embedding))
        self.bias = nn.Parameter(torch.zeros(slots, hidden))
        own = np.arange(slots)[:, None]
        self.register_buffer("parents", torch.from_numpy(parents), persistent=False)
        self.register_buffer(
            "earlier", torch.from_numpy((parents < own).astype(np.float32)), persistent=False
        )
        self.register_buffer("later", torch.from_numpy((parents > own).astype(np.float32)), persistent=False)

    def forward(self, embedded: Tensor, shown: Tensor | None) -> Tensor:
        """As `DenseSight.forward`."""
        parts = []
        for start, weight in zip(
            range(0, self.slots, _TOGETHER), torch.split(self.weight, _TOGETHER), strict=True
        ):
            parts.append(self._seen(slice(start, start + _TOGETHER), weight, embedded, shown))
        return torch.cat(parts).transpose(0, 1)

    def of(self, slot: int, visible: Tensor) -> Tensor:
        """As `DenseSight.of`."""
        whom = visible[:, self.parents[slot]].flatten(1)
        return torch.addmm(self.bias[slot], whom, self.weight[slot])

    def _seen(self, some: slice, weight: Tensor, embedded: Tensor, shown: Tensor | None) -> Tensor:
        """Before activation, [slots, n, h], of some slots."""
        whom = self.parents[some]
        shape = (embedded.shape[0], *whom.shape)
        visible = self.earlier[some][None]
        if shown is not None:
            given = shown.index_select(1, whom.flatten()).view(shape)
            visible = visible + self.get_buffer("later")[some] * given
        seen = embedded.index_select(1, whom.flatten()).view(*shape, self.d)
        x = (seen * visible[:, :, :, None]).flatten(2).transpose(0, 1)
        return torch.baddbmm(self.bias[some][:, None], x, weight)

    def write(self, writer: Writer) -> None:
        """Writes every slot's draw from the embeddings of its parents."""
        ops, d = writer.ops, self.d
        shown = [writer.shown(t) for t in range(self.slots)] if writer.given is not None else []
        for t in range(self.slots):
            parts, rows = [], []
            for place, parent in enumerate(self.parents[t].tolist()):
                if parent < t:
                    parts.append(writer.seen[parent])
                elif parent > t and shown:
                    parts.append(shown[parent])
                else:
                    continue
                rows.append(self.weight[t, place * d : (place + 1) * d].numpy())
            bias = self.bias[t].numpy()
            if not parts:
                writer.draw(t, writer.constant_row(bias))
                continue
            weight = np.ascontiguousarray(np.concatenate(rows).T)
            writer.draw(t, ops.linear(writer.joined(parts), weight, bias))


def closest(tokens: npt.NDArray[np.int32], columns: Indices, most: int, classes: int = 8) -> Indices:
    """Whom each slot should see: other slots by how much they tell, int64 [slots, most].

    Pearson's mean square contingency φ² of tokens [n, slots], of which those beyond `classes` are
    merged. Two thirds are earlier slots, its own column's always among them; a third are later ones of other
    columns.
    """
    n, s = tokens.shape
    highest = np.maximum(tokens.max(axis=0), 1)
    # Of more classes neighbours count as one; what does not apply is the last.
    capped = np.where(highest < classes, tokens, tokens.astype(np.int64) * classes // (highest + 1))
    ones = np.zeros((n, s * classes), np.float32)
    ones[np.arange(n)[:, None], np.arange(s) * classes + capped] = 1.0
    shares = ones.mean(axis=0, dtype=np.float64)
    phi = np.empty((s, s))
    for start in range(0, s, _TOGETHER):
        some = slice(start * classes, min(start + _TOGETHER, s) * classes)
        joint = (ones[:, some].T @ ones).astype(np.float64) / n
        expected = np.outer(shares[some], shares)
        excess = np.divide((joint - expected) ** 2, expected, out=np.zeros_like(joint), where=expected > 0)
        phi[start : start + _TOGETHER] = excess.reshape(-1, classes, s, classes).sum(axis=(1, 3))
    place = np.arange(s)
    same = columns[:, None] == columns
    before, after = place < place[:, None], (place > place[:, None]) & ~same
    earlier = -(-2 * most // 3)
    result = np.repeat(place[:, None], most, axis=1)
    for t in range(s):
        first = _best(np.where(same[t], np.inf, phi[t]), before[t], earlier)
        second = _best(phi[t], after[t], most - first.size)
        found = np.sort(np.concatenate([first, second]))
        result[t, : found.size] = found
    return result.astype(np.int64)


def _best(scores: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_], most: int) -> Indices:
    places = np.flatnonzero(allowed)
    return places[np.argsort(-scores[places], kind="stable")[:most]]
