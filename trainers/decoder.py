"""Generators that are one network from latent normals to the outputs of a layout: VAEs and plain GANs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from trainers.base import Doubles, Floats, Indices, Noise, Ops
from trainers.encoding import Encoding
from trainers.heads import Classes, Layout
from trainers.ranks import RankMap, fit_ranks, write_ranks
from trainers.search import DOUBLE, cast, cumulative, flatten, locate, write_locate

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 4_096


@dataclass(frozen=True, eq=False)
class Asked:
    """A feature that the network is told instead of giving it: its class is drawn by frequency."""

    feature: int
    """Its place in the encoding."""
    content: Classes
    edges: Doubles
    """Edges that cut (0, 1) by the classes' frequencies, [classes - 1]."""

    @classmethod
    def of(cls, feature: int, content: Classes, shares: Doubles) -> Asked:
        """A feature whose classes have shares [classes] of the training rows."""
        return cls(feature, content, cumulative(shares))

    def draw(self, uniform: Floats) -> Indices:
        """Classes [n] at the first column of uniforms."""
        return locate(uniform[:, 0], self.edges)


@dataclass(frozen=True, eq=False)
class DecoderGenerator:
    """A trained network in evaluation mode, and what its outputs mean.

    A unit consumes `latent` normals (then one per tanh where there are
    `deviations`), and uniforms: those of the class asked for, then those of
    every head.
    """

    encoding: Encoding
    layout: Layout
    """Heads of all features but the one asked for."""
    network: nn.Sequential
    """Of the modules that `networks.write_network` knows, on the CPU:
    [n, latent (+ one-hot of the class asked for)] → [n, layout.width]."""
    latent: int
    deviations: Floats | None = None
    """σ of the noise around each tanh output, [tanhs]; what it leads beyond ±1 is clipped."""
    asked: Asked | None = None
    maps: Mapping[int, RankMap] = field(default_factory=dict)
    """By feature, what becomes of a number that the network gave."""

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""
        spread = self.layout.tanhs if self.deviations is not None else 0
        return Noise(uniforms=self._first + self.layout.uniforms, normals=self.latent + spread, scheme=2)

    @property
    def _first(self) -> int:
        """Uniforms before those of the heads."""
        return self.asked.content.uniforms if self.asked else 0

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """The network with batch norm folded in; the class asked for is a row of weights."""
        from trainers.networks import write_network

        latents, spread = normal, ""
        if self.deviations is not None and self.deviations.size:
            latents = ops.slice(normal, 0, self.latent)
            drawn = ops.slice(normal, self.latent, self.noise.normals)
            spread = ops.node("Mul", drawn, ops.constant(self.deviations[None], np.float32))
        features = {}
        if self.asked is None:
            outputs = write_network(ops, self.network, latents)
        else:
            u = cast(ops, flatten(ops, ops.slice(uniform, 0, 1)), DOUBLE)
            index = write_locate(ops, u, self.asked.edges)
            features[self.asked.feature] = self.asked.content.write(ops, index, uniform)
            outputs = write_network(ops, self.network, latents, index, self.asked.content.size)
        features |= self.layout.write(ops, outputs, uniform, self._first, spread)
        if self.maps:
            rows = [
                ops.node("Unsqueeze", features[place], ops.constant([0], np.int64)) for place in self.maps
            ]
            matrix = rows[0] if len(rows) == 1 else ops.node("Concat", *rows, axis=0)
            features |= zip(self.maps, write_ranks(ops, [*self.maps.values()], matrix), strict=True)
        return [features[place] for place in range(len(features))]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same by the torch network and numpy draws."""
        latents, spread = normal[:, : self.latent], None
        if self.deviations is not None:
            spread = normal[:, self.latent :] * self.deviations
        features: dict[int, Indices | Doubles] = {}
        index = None
        if self.asked is not None:
            index = self.asked.draw(uniform)
            features[self.asked.feature] = self.asked.content.decode(index, uniform)
        features |= self.layout.read(self._run(latents, index), uniform, self._first, spread)
        features |= {place: ranks.apply(features[place]) for place, ranks in self.maps.items()}
        return [features[place] for place in range(len(features))]

    def with_ranks(self, rows: int, seed: int) -> DecoderGenerator:
        """The same with every number mapped to its column's distribution; measured on that many rows."""
        rng = np.random.default_rng([seed & (2**64 - 1), rows])
        uniform = np.maximum(rng.random((rows, self.noise.uniforms), dtype=np.float32), np.float32(2.0**-24))
        normal = rng.standard_normal((rows, self.noise.normals), dtype=np.float32)
        return replace(self, maps=fit_ranks(self.encoding, self.reference(uniform, normal)))

    def _run(self, latents: Floats, asked: Indices | None) -> Floats:
        """Outputs [n, layout.width]."""
        import torch

        parts = [np.zeros((0, self.layout.width), np.float32)]
        for start in range(0, latents.shape[0], _CHUNK):
            inputs = torch.from_numpy(np.ascontiguousarray(latents[start : start + _CHUNK]))
            if asked is not None and self.asked is not None:
                some = torch.from_numpy(asked[start : start + _CHUNK])
                one_hot = torch.nn.functional.one_hot(some, self.asked.content.size)
                inputs = torch.cat([inputs, one_hot.to(inputs.dtype)], dim=1)
            with torch.no_grad():
                parts.append(self.network(inputs).numpy())
        return np.concatenate(parts)
