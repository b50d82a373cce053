"""The network, the loss and the sampling of every variational autoencoder here.

Kingma and Welling, 2014 (arXiv 1312.6114): an encoder makes a row a Gaussian
over latents, a decoder makes a latent a distribution over rows. Rows are mixed:
a softmax for classes (and for the modes of numbers), and around a tanh a
Gaussian whose deviation is learned per number (Xu et al., 2019, arXiv
1907.00503, section 4.4).

What differs between models is the divergence of the latents from the prior:
a Kullback-Leibler divergence per row, or the maximum mean discrepancy of a
batch (Tolstikhin et al., 2018, arXiv 1711.01558).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.base import Doubles, Floats, Indices
from trainers.calibration import calibrate
from trainers.compute import autocast, clipped, moved
from trainers.heads import Layout
from trainers.networks import mlp
from trainers.outputs import Cells
from trainers.softmaxes import log_shares

SHARPEST, WIDEST = 0.01, 1.0
"""Bounds of the learned deviations of numbers."""

_SAMPLED = 8_192
"""Rows that the finished decoder is calibrated on."""

_PART = 4_096

_KERNELS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the inverse multiquadratic kernels, relative to the latents' expected distance."""


@dataclass(frozen=True)
class Settings:
    """How an autoencoder is built and trained."""

    embedding_dim: int
    encoder: Sequence[int]
    decoder: Sequence[int]
    learning_rate: float
    weight_decay: float
    reconstruction: float = 1.0
    """Weight of the reconstruction."""
    divergence: float = 1.0
    """Weight of the divergence from the prior."""
    warmup: int = 0
    """Epochs over which the divergence's weight rises from 0."""
    wasserstein: bool = False
    """The divergence is the MMD of a batch of plain codes, instead of a KL divergence per row."""


class Autoencoder(nn.Module):
    """Encoder, decoder, deviations. `classes` > 0: both are told one of so many classes, one-hot."""

    def __init__(self, layout: Layout, settings: Settings, classes: int = 0) -> None:
        super().__init__()
        latent = settings.embedding_dim
        codes = latent if settings.wasserstein else 2 * latent
        self.encoder = mlp(layout.width + classes, settings.encoder, codes)
        self.decoder = mlp(latent + classes, settings.decoder, layout.width)
        self.sigma = nn.Parameter(torch.full((layout.tanhs,), 0.1))
        # How many epochs are done: a buffer, so that a checkpoint holds it.
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.epochs: Tensor

    @property
    def first(self) -> nn.Linear:
        """The decoder's first layer."""
        module = self.decoder[0]
        assert isinstance(module, nn.Linear)
        return module

    @property
    def deviations(self) -> Tensor:
        """σ of numbers around their tanhs, [tanhs]."""
        return self.sigma.clamp(SHARPEST, WIDEST)


class AutoencoderLearner:
    """Trains an `Autoencoder` on cells in a layout; a `loop.Learner`.

    Args:
        asked: per row of the two the class that is told, [n]; None where none is.
    """

    def __init__(
        self,
        model: Autoencoder,
        layout: Layout,
        settings: Settings,
        cells: tuple[Cells, Cells],
        asked: tuple[Indices, Indices] | None,
        classes: int,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self._layout, self._settings, self._device, self._classes = layout, settings, device, classes
        self._tables = [_Rows.of(part, layout, device) for part in cells]
        self._asked = [moved(part, device) for part in asked] if asked else None
        self._optimiser = torch.optim.Adam(
            model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One step of Adam on the negative evidence lower bound, or what stands in its place."""
        with autocast(self._device):
            losses = self._losses(0, moved(rows, self._device))
        warm = min(1.0, (int(self.model.epochs) + 1) / (self._settings.warmup + 1))
        loss = self._total(losses, warm)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clipped(self.model)
        self._optimiser.step()
        return {"loss": loss, **losses, "gradient_norm": norm}

    @torch.no_grad()
    def validate(self) -> float:
        """The loss of the validation rows, mean over rows."""
        rows = self._tables[1].ones.shape[0]
        total = 0.0
        for start in range(0, rows, _PART):
            part = torch.arange(start, min(rows, start + _PART), device=self._device)
            total += float(self._total(self._losses(1, part), 1.0)) * part.numel()
        return total / rows if rows else float("nan")

    def modules(self) -> Mapping[str, nn.Module]:
        """The one network."""
        return {"model": self.model}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """The one optimiser."""
        return {"adam": self._optimiser}

    def epoch_done(self, epoch: int, share: float) -> None:
        """Counts, for the warm-up of the divergence."""
        self.model.epochs.fill_(epoch)

    def finish(self, seed: int, weights: Doubles | None) -> tuple[nn.Sequential, Floats]:
        """The decoder as sampling needs it, on the CPU, and the deviations [tanhs].

        Codes of the table's rows, taken together, are never quite the prior that sampling draws from. A
        Gaussian fitted to them replaces it, as linear map in the first layer (ex-post density estimation:
        Ghosh et al., 2020, arXiv 1903.12436); then the last biases are moved until classes are as frequent
        and numbers on average where the table has them.
        """
        model = self.model.cpu().eval().requires_grad_(False)
        self._device, table = torch.device("cpu"), self._tables[0].to(torch.device("cpu"))
        asked = self._asked[0].cpu() if self._asked else None
        share = torch.ones(table.ones.shape[0]) if weights is None else torch.from_numpy(weights).float()
        share = share / share.sum()
        with torch.no_grad():
            means, variances = self._codes(table, asked)
            centre = share @ means
            spread = (means - centre).T @ ((means - centre) * share[:, None]) + torch.diag(share @ variances)
            # The symmetric root: nothing is turned round, and what is nearly the prior stays as it is.
            values, vectors = torch.linalg.eigh(spread.double())
            factor = ((vectors * values.clamp_min(0.0).sqrt()) @ vectors.T).float()
            first, latent = model.first, means.shape[1]
            first.bias.add_(first.weight[:, :latent] @ centre)
            first.weight[:, :latent] = first.weight[:, :latent] @ factor
            random = torch.Generator().manual_seed(seed & (2**63 - 1))
            noise = torch.randn(_SAMPLED, latent, generator=random)
            if asked is not None:
                drawn = torch.multinomial(share, _SAMPLED, replacement=True, generator=random)
                noise = torch.cat([noise, self._one_hot(asked[drawn])], dim=1)
            outputs = model.decoder(noise)
            counts = None if weights is None else torch.from_numpy(weights)
            calibrate(model.decoder, self._layout, outputs, table.alphas, table.ones, counts, table.known)
        return model.decoder, model.deviations.numpy()

    def _codes(self, table: _Rows, asked: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means and variances of the latents of all rows, [n, latent] each."""
        parts = []
        for start in range(0, table.ones.shape[0], _PART):
            rows = torch.arange(start, min(table.ones.shape[0], start + _PART))
            told = None if asked is None else asked[rows]
            parts.append(self._encode(table.inputs(rows), told))
        means, logs = (torch.cat(part) for part in zip(*parts, strict=True))
        return means, torch.zeros_like(logs) if self._settings.wasserstein else logs.exp()

    def _one_hot(self, asked: Tensor) -> Tensor:
        return functional.one_hot(asked, self._classes).float()

    def _encode(self, inputs: Tensor, asked: Tensor | None) -> tuple[Tensor, Tensor]:
        """Means and logarithms of the variances of latents, [b, latent] each."""
        if asked is not None:
            inputs = torch.cat([inputs, self._one_hot(asked)], dim=1)
        codes = self.model.encoder(inputs)
        if self._settings.wasserstein:
            return codes, torch.zeros_like(codes)
        means, logs = codes.chunk(2, dim=1)
        return means, logs.clamp(-12.0, 8.0)

    def _losses(self, part: int, rows: Tensor) -> dict[str, Tensor]:
        """Reconstruction (nats per row) and divergence of rows [b] of the training or validation part."""
        table = self._tables[part]
        asked = self._asked[part][rows] if self._asked else None
        means, logs = (codes.float() for codes in self._encode(table.inputs(rows), asked))
        if self._settings.wasserstein:
            z = means
            divergence = mmd(z, torch.randn_like(z))
        else:
            z = means + torch.randn_like(means) * (0.5 * logs).exp()
            divergence = -0.5 * (1.0 + logs - means.square() - logs.exp()).sum(dim=1).mean()
        inputs = z if asked is None else torch.cat([z, self._one_hot(asked)], dim=1)
        outputs = self.model.decoder(inputs).float()
        return {"reconstruction": self._reconstruction(outputs, table, rows), "divergence": divergence}

    def _reconstruction(self, outputs: Tensor, table: _Rows, rows: Tensor) -> Tensor:
        """The negative logarithm of how likely the rows are made, mean over rows; nulls say nothing."""
        tanhs, known = self._layout.tanhs, table.known[rows]
        chosen = log_shares(outputs[:, tanhs:], self._layout).gather(1, table.ones[rows] - tanhs)
        loss = -(chosen * known).sum(dim=1)
        if tanhs:
            sigma = self.model.deviations
            away = (table.alphas[rows] - torch.tanh(outputs[:, :tanhs])) / sigma
            loss = loss + ((0.5 * away.square() + sigma.log()) * known[:, table.numbers]).sum(dim=1)
        return loss.mean()

    def _total(self, losses: Mapping[str, Tensor], warm: float) -> Tensor:
        settings = self._settings
        return (
            settings.reconstruction * losses["reconstruction"]
            + warm * settings.divergence * losses["divergence"]
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Cells as tensors."""

    alphas: Tensor
    ones: Tensor
    known: Tensor
    numbers: Tensor
    """The head of each tanh, [tanhs]."""
    width: int

    @classmethod
    def of(cls, cells: Cells, layout: Layout, device: torch.device) -> _Rows:
        places = {head.alpha: place for place, head in enumerate(layout.heads) if head.alpha is not None}
        numbers = np.array([places[alpha] for alpha in range(layout.tanhs)], dtype=np.int64)
        parts = (cells.alphas, cells.ones.astype(np.int64), cells.known, numbers)
        alphas, ones, known, of = (moved(part, device) for part in parts)
        return cls(alphas, ones, known, of, layout.width)

    def to(self, device: torch.device) -> _Rows:
        """The same on another device."""
        parts = (self.alphas, self.ones, self.known, self.numbers)
        alphas, ones, known, of = (part.to(device) for part in parts)
        return _Rows(alphas, ones, known, of, self.width)

    def inputs(self, rows: Tensor) -> Tensor:
        """What the encoder reads: tanhs and one-hot vectors, 0 where a number is null; [b, width]."""
        alphas, known = self.alphas[rows], self.known[rows].float()
        batch = torch.zeros(rows.shape[0], self.width, device=rows.device)
        batch[:, : alphas.shape[1]] = alphas * known[:, self.numbers]
        return batch.scatter_(1, self.ones[rows], known)


def mmd(codes: Tensor, prior: Tensor) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy of samples [b, d] each; a scalar.

    With the sum of inverse multiquadratics C / (C + |x - y|²), C = 2d times `_KERNELS`, as in
    arXiv 1711.01558, section 4. 0 for less than two rows.
    """
    rows, width = codes.shape
    if rows < 2:
        return codes.sum() * 0.0
    within = (torch.cdist(codes, codes).square(), torch.cdist(prior, prior).square())
    across = torch.cdist(codes, prior).square()
    total = codes.new_zeros(())
    for scale in _KERNELS:
        c = 2.0 * width * scale
        for squares in within:
            total = total + ((c / (c + squares)).sum() - rows) / (rows * (rows - 1))
        total = total - 2.0 * (c / (c + across)).mean()
    return total
