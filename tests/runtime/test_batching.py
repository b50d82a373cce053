"""How large batches are."""

from __future__ import annotations

import numpy as np
import pytest

from kohort.batching import rebatch
from kohort.columns import Array, Batch, encode_record_batch
from kohort.schema import Storage

LARGEST = int(3.5 * 2**20)
"""What the contract allows."""


def table(columns: int, rows: int) -> Batch:
    cells = Array.make(Storage.INT64, np.arange(rows))
    return Batch("t", {f"c{j}": cells for j in range(columns)}, 0, 0, rows)


@pytest.mark.parametrize(
    ("columns", "least", "most"), [(20, 0.5, 1.2), (100, 0.5, 1.2), (200, 1.0, 1.7), (600, 1.4, 3)]
)
def test_batches_of_wide_tables_are_larger(columns, least, most):
    sizes = [len(encode_record_batch(batch)) / 2**20 for batch in rebatch([table(columns, 20_000)])]
    assert min(sizes[:-1]) >= least
    assert max(sizes) <= most


def test_no_batch_exceeds_what_the_contract_allows():
    """Also where a third of the rows holds more than half of what is there."""
    texts = np.array(["x" * 1200] * 1000 + ["x" * 3800] * 1000 + ["x" * 1200] * 1000, object)
    whole = Batch("t", {"n": Array.make(Storage.STRING, texts)}, 0, 0, 3000)
    pieces = list(rebatch([whole]))
    assert max(len(encode_record_batch(piece)) for piece in pieces) <= LARGEST
    assert sum(piece.row_count for piece in pieces) == pieces[-1].next_unit == 3000
