"""From encoded rows to what a network reads and gives: the layout of its outputs, and the rows in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.base import FitRequest, Floats, Hooks
from trainers.encoding import NumberEncoding
from trainers.heads import Classes, Layout, class_limit
from trainers.modes import Modes
from trainers.rows import EncodedRows


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows as a layout's outputs would give them."""

    alphas: Floats
    """The tanh outputs, [n, tanhs]."""
    ones: npt.NDArray[np.int32]
    """Per head the output that is 1, [n, heads]."""
    known: npt.NDArray[np.bool_]
    """Per head whether the row has a cell of it: a number that is null is drawn, not known. [n, heads]"""

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.ones)


def fit_layout(
    rows: EncodedRows, request: FitRequest, most: int, hooks: Hooks, without: Collection[int] = ()
) -> Layout:
    """What the outputs stand for: classes of discrete features, modes of continuous ones.

    Args:
        most: classes that a feature may have; fewer where features are many.
        without: features that the network does not give.
    """
    limit = class_limit([feature.size or 0 for feature in rows.layout], most)
    contents: dict[int, Classes | Modes] = {}
    for place in range(len(rows.layout)):
        if place not in without:
            hooks.check()
            contents[place] = fit_content(rows, request, place, limit)
    return Layout.of(contents)


def fit_content(rows: EncodedRows, request: FitRequest, place: int, limit: int) -> Classes | Modes:
    """What the outputs of one feature stand for."""
    cells, known, size = rows.features[place], rows.known[place], rows.layout[place].size
    if size is not None:
        return Classes.of(np.bincount(cells, weights=rows.weights, minlength=size), limit)
    shown = slice(None) if known is None else known
    seed = int(np.random.SeedSequence([request.seed, place]).generate_state(1)[0])
    return Modes.fit(cells[shown], rows.subjects[shown], request.min_patients, seed)


def encode_cells(rows: EncodedRows, layout: Layout, rng: np.random.Generator) -> tuple[Cells, Cells]:
    """The training rows, and those for validation (maybe none)."""
    found, gaps = [], gaps_of(rows)
    for features in (rows.features, rows.validation):
        alphas, ones = layout.encode(features, rng)
        known = np.ones(ones.shape, dtype=np.bool_)
        for place, head in enumerate(layout.heads):
            if head.feature in gaps:
                known[:, place] = features[head.feature - 1] == 1
        found.append(Cells(alphas, ones, known))
    return found[0], found[1]


def gaps_of(rows: EncodedRows) -> frozenset[int]:
    """The numbers with nulls whose coordinate says nothing where they are null, by feature.

    That of an anchor does, for what is told relative to it is added to it all the same.
    """
    columns = rows.encoding.columns
    anchors = {c.anchor.column for c in columns if isinstance(c, NumberEncoding) and c.anchor is not None}
    return frozenset(
        place
        for place, (feature, known) in enumerate(zip(rows.layout, rows.known, strict=True))
        if known is not None and feature.column not in anchors
    )
