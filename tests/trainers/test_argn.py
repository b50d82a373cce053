"""`argn`: what it learns, what it makes of what is given, and that its halves agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table, TableSet
from trainers.argn import ArgnTrainer
from trainers.argn_sight import closest
from trainers.base import FitRequest, Hooks, Progress

from .conftest import table_of

N = 4_000


def category(values: np.ndarray, valid: np.ndarray | None = None) -> tuple[Kind, Array]:
    return Kind.CATEGORY, Array.make(Storage.INT64, values.astype(np.int64), valid)


def related(rows: int = 1_500) -> Table:
    """Neither of a, b tells c; together they do. x lies by c, and is missing more often where a is 1."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    c = np.where(rng.random(rows) < 0.95, a ^ b, 1 - (a ^ b))
    x = np.rint(rng.normal(100 + 60 * c, 10))
    there = rng.random(rows) > np.where(a == 1, 0.6, 0.1)
    return table_of(
        {
            "a": category(a),
            "b": category(b),
            "c": category(c),
            "x": (Kind.INTEGER, Array.make(Storage.INT64, np.where(there, x, 0).astype(np.int64), there)),
        }
    )


def fitted(table: Table, hooks: Hooks | None = None, validation: int = 150, **parameters: Any) -> Any:
    rows = np.arange(table.num_rows)
    name = table.schema.name
    request = FitRequest(
        TableSet({name: table.take(rows[validation:])}),
        TableSet({name: table.take(rows[:validation])}),
        ArgnTrainer.info.resolve(parameters),
        seed=3,
    )
    return ArgnTrainer().fit(request, hooks or Hooks())


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted(related(), epochs=25)


def drawn(
    model: Any, given: dict[int, float] | None = None, heat: float = 1.0, top_p: float = 1.0
) -> list[Any]:
    """Features [a, b, c, present, x] of N rows, some of them given."""
    rng = np.random.default_rng(1)
    uniform = (rng.random((N, model.noise.uniforms)) * 0.999 + 0.0005).astype(np.float32)
    features, mask = np.zeros((N, 5)), np.zeros((N, 5), dtype=bool)
    for place, value in (given or {}).items():
        features[:, place], mask[:, place] = value, True
    ones = np.ones((N, 1), np.float32)
    nothing = np.zeros((N, 0), np.float32)
    return list(model.reference_given(uniform, nothing, features, mask, heat * ones, top_p * ones))


def test_learns_what_only_two_columns_together_tell(model: Any) -> None:
    a, b, c, _, _ = drawn(model)
    assert abs(np.mean(c == (a ^ b)) - 0.95) < 0.05
    assert abs(np.mean(c[a == 0]) - 0.5) < 0.07


def test_learns_what_is_missing_and_where(model: Any) -> None:
    a, _, _, present, _ = drawn(model)
    assert abs(np.mean(present[a == 1]) - 0.4) < 0.07
    assert abs(np.mean(present[a == 0]) - 0.9) < 0.07


def test_a_later_column_that_is_given_moves_earlier_ones(model: Any) -> None:
    a, b, c, _, _ = drawn(model, {2: 1.0})
    assert (c == 1).all()
    assert 0.84 < np.mean(a != b) < 0.99
    a, _, _, present, _ = drawn(model, {3: 0.0})
    assert (present == 0).all()
    assert abs(np.mean(a) - 0.6 / 0.7) < 0.07


def test_a_number_that_is_given_comes_back_and_tells(model: Any) -> None:
    encoding = model.encoding.columns[3]
    x = float(encoding.coordinate(np.array([165]))[0])
    _, _, c, present, found = drawn(model, {3: 1.0, 4: x})
    assert (found == x).all()
    assert (present == 1).all()
    assert np.mean(c) > 0.85


def test_presence_alone_can_be_given(model: Any) -> None:
    a, _, _, present, x = drawn(model, {3: 1.0})
    assert (present == 1).all()
    assert abs(np.mean(a) - 0.4 / 1.3) < 0.07
    assert np.unique(x).size > 20


def test_heat_flattens_and_cold_sharpens(model: Any) -> None:
    agree = {
        heat: np.mean((lambda a, b, c: c == (a ^ b))(*drawn(model, None, heat)[:3]))
        for heat in (0.3, 1.0, 4.0)
    }
    assert agree[0.3] > 0.985 > agree[1.0] > agree[4.0] + 0.1


def test_top_p_leaves_out_what_is_unlikely(model: Any) -> None:
    a, b, c, _, _ = drawn(model, None, 1.0, 0.8)
    assert np.mean(c == (a ^ b)) > 0.995
    assert 0.3 < np.mean(a) < 0.7  # the likelier half stays in play where both are needed for 0.8


def test_training_begins_at_independent_columns() -> None:
    model = fitted(related(), epochs=1, learning_rate=1e-9)
    a, b, c, present, _ = drawn(model)
    for cells, share in ((a, 0.5), (c, 0.5), (present, 0.65)):
        assert abs(np.mean(cells) - share) < 0.05
    assert abs(np.mean(c == (a ^ b)) - 0.5) < 0.05


def test_stops_when_validation_does_not_improve() -> None:
    reports: list[Progress] = []
    fitted(related(400), Hooks(progress=reports.append), epochs=200, patience=2)
    losses = [report.losses["validation"] for report in reports]
    assert 4 < len(losses) < 150
    assert min(losses[:-2]) <= min(losses[-2:])


def test_holds_back_patients_where_none_are_given_for_validation() -> None:
    reports: list[Progress] = []
    fitted(related(300), Hooks(progress=reports.append), validation=0, epochs=2)
    assert all(np.isfinite(report.losses["validation"]) for report in reports)


def test_trains_in_mixed_precision(model: Any) -> None:
    import torch

    network = model.network
    tokens = torch.from_numpy(
        model.vocabulary.encode(model.encoding.encode(related(200), np.random.default_rng(0)))
    )
    draw = torch.Generator().manual_seed(0)
    shown = (torch.rand(200, len(model.vocabulary.slots), generator=draw) < 0.5).float()
    exact = network.losses(tokens.long(), shown)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network.losses(tokens.long(), shown)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().mean() < 0.02


def wide(columns: int, rows: int) -> Table:
    """Column 2i + 1 repeats column 2i, most of the time."""
    rng = np.random.default_rng(0)
    cells = {}
    for i in range(columns // 2):
        first = rng.integers(0, 3, rows)
        cells[f"c{2 * i}"] = category(first)
        cells[f"c{2 * i + 1}"] = category(np.where(rng.random(rows) < 0.9, first, (first + 1) % 3))
    return table_of(cells)


def test_in_a_wide_table_each_column_sees_its_closest() -> None:
    table = wide(120, 1_600)
    model = fitted(table, epochs=16, validation=160, learning_rate=5e-3)
    uniform = np.random.default_rng(1).random((500, model.noise.uniforms)).astype(np.float32) * 0.99 + 0.005
    cells = model.reference(uniform, np.zeros((500, 0), np.float32))
    agree = [np.mean(cells[2 * i] == cells[2 * i + 1]) for i in range(60)]
    assert np.mean(agree) > 0.8
    features, mask = np.zeros((500, 120)), np.zeros((500, 120), dtype=bool)
    features[:, 1::2], mask[:, 1::2] = 2.0, True
    ones = np.ones((500, 1), np.float32)
    cells = model.reference_given(uniform, np.zeros((500, 0), np.float32), features, mask, ones, ones)
    assert np.mean([np.mean(cells[2 * i] == 2) for i in range(60)]) > 0.7


def test_the_closest_are_those_that_tell_most() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, (2_000, 30))
    tokens[:, 17] = tokens[:, 3]
    tokens[:, 5] = (tokens[:, 25] + (rng.random(2_000) < 0.2)) % 4
    columns = np.arange(30)
    found = closest(tokens.astype(np.int32), columns, 6)
    assert 3 in found[17]
    assert 17 in found[3]
    assert 25 in found[5]
    assert 5 in found[25]
    assert (found[:, :] != columns[:, None]).sum(axis=1).max() <= 6
    columns[18] = 17  # slots of one column always see their earlier ones, and never their later ones
    found = closest(tokens.astype(np.int32), columns, 6)
    assert 17 in found[18]
    assert 18 not in found[17]
