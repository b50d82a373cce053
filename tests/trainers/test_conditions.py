from __future__ import annotations

import numpy as np
import pytest

from trainers.conditions import Conditions, RowSampler
from trainers.heads import WIDEST, Classes, Layout, class_limit
from trainers.modes import Modes

MODES = Modes(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([0.1, 0.1]))


@pytest.fixture
def features() -> list[np.ndarray]:
    """Number, three classes at 90/9/1 %, a constant, two classes."""
    rng = np.random.default_rng(0)
    n = 10_000
    three = rng.permutation(np.repeat([0, 1, 2], [9_000, 900, 100]))
    return [rng.choice([-1.0, 1.0], n), three, np.zeros(n, np.int64), rng.integers(0, 2, n)]


@pytest.fixture
def layout(features: list[np.ndarray]) -> Layout:
    counts = [np.bincount(f) for f in features[1:]]
    return Layout.of([MODES, *(Classes.of(c, 512) for c in counts)])


def test_layout_puts_tanhs_first_and_equal_softmaxes_together(layout: Layout) -> None:
    assert layout.tanhs == 1
    assert layout.width == 1 + 2 + 3 + 1 + 2
    assert [(g.start, g.count, g.size) for g in layout.groups] == [(1, 1, 1), (2, 2, 2), (6, 1, 3)]
    assert [h.feature for h in layout.heads] == [2, 0, 3, 1]


def test_every_head_has_exactly_one_output_that_is_one(layout: Layout, features: list[np.ndarray]) -> None:
    alphas, ones = layout.encode(features, np.random.default_rng(0))
    assert alphas.shape == (10_000, 1)
    for place, head in enumerate(layout.heads):
        assert (ones[:, place] >= head.start).all()
        assert (ones[:, place] < head.start + head.size).all()
    assert (ones[:, 3] - 6 == features[1]).all()


@pytest.mark.parametrize("log_frequency", [True, False])
def test_training_meets_rare_classes_and_sampling_plain_ones(
    layout: Layout, features: list[np.ndarray], log_frequency: bool
) -> None:
    _, ones = layout.encode(features, np.random.default_rng(0))
    conditions = Conditions.of(layout, ones, log_frequency=log_frequency)
    assert conditions.outputs.tolist() == [4, 5, 6, 7, 8]  # neither modes nor the constant
    sampler = RowSampler.of(conditions, layout, ones)
    asked, rows = sampler.draw(200_000, np.random.default_rng(1))
    plain = conditions.ask(np.random.default_rng(2).random(200_000))
    three = np.array([9_000, 900, 100])
    weights = np.log1p(three) if log_frequency else three
    for found, wanted in ((asked, weights), (plain, three)):
        shares = np.bincount(found, minlength=5) / found.size
        assert shares[:2].sum() == pytest.approx(0.5, abs=0.01)
        assert np.allclose(shares[2:], 0.5 * wanted / wanted.sum(), atol=0.01)
    held = (ones[rows] == conditions.outputs[asked][:, None]).any(axis=1)
    assert held.all()
    # Every row of a class is as likely as another: its first half comes as often as its second.
    place = np.cumsum(features[1] == 1)
    late = place[rows[asked == 3]] > 450
    assert late.mean() == pytest.approx(0.5, abs=0.02)


def test_without_discrete_columns_nothing_is_asked() -> None:
    layout = Layout.of([MODES])
    _, ones = layout.encode([np.array([-1.0, 1.0, 1.0])], np.random.default_rng(0))
    conditions = Conditions.of(layout, ones, log_frequency=True)
    assert conditions.width == 0
    asked, rows = RowSampler.of(conditions, layout, ones).draw(3_000, np.random.default_rng(0))
    assert asked.size == 0
    assert np.bincount(rows).min() > 800


def test_categories_beyond_the_limit_share_a_class_and_keep_their_frequencies() -> None:
    counts = np.array([5, 1000, 20, 30, 500, 10])
    classes = Classes.of(counts, 3)
    assert classes.named.tolist() == [1, 4]
    assert classes.size == 3
    assert classes.uniforms == 2
    assert classes.encode(np.arange(6)).tolist() == [2, 0, 2, 2, 1, 2]
    n = 100_000
    index = np.repeat([0, 1, 2], [1, 1, n])
    uniform = np.random.default_rng(0).random((index.size, 2)).astype(np.float32)
    drawn = classes.decode(index, uniform)
    assert drawn[:2].tolist() == [1, 4]
    shares = np.bincount(drawn[2:], minlength=6) / n
    rest = np.array([0, 2, 3, 5])
    assert set(drawn[2:].tolist()) == set(rest.tolist())
    assert np.allclose(shares[rest], counts[rest] / counts[rest].sum(), atol=0.01)


@pytest.mark.parametrize(
    ("sizes", "limit"), [([2, 3], 512), ([10_000], 512), ([600] * 100, 32), ([2] * 9_000, 8)]
)
def test_many_wide_columns_get_fewer_classes_each(sizes: list[int], limit: int) -> None:
    found = class_limit(sizes, 512)
    assert found == limit
    assert sum(min(size, found) for size in sizes) <= WIDEST or found == 8


def test_rows_are_drawn_by_their_weights():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, 3_000)
    layout = Layout.of([Classes.of(np.bincount(codes), 9), Classes.of(np.bincount(codes % 2), 9)])
    _, ones = layout.encode([codes, codes % 2], rng)
    weights = np.where(np.arange(3_000) < 300, 9.0, 0.1)
    conditions = Conditions.of(layout, ones, weights, log_frequency=False)
    asked, rows = RowSampler.of(conditions, layout, ones, weights).draw(50_000, rng)
    assert (rows < 300).mean() == pytest.approx(2_700 / 2_970, abs=0.01)
    wanted = conditions.outputs[asked]
    assert ((ones[rows] == wanted[:, None]).any(axis=1)).all()


def test_a_row_of_no_weight_is_never_drawn():
    layout = Layout.of([Classes.of(np.array([50, 50]), 9)])
    rng = np.random.default_rng(6)
    codes = np.arange(100) % 2
    _, ones = layout.encode([codes], rng)
    weights = (np.arange(100) >= 50).astype(np.float64)
    conditions = Conditions.of(layout, ones, weights, log_frequency=True)
    _, rows = RowSampler.of(conditions, layout, ones, weights).draw(5_000, rng)
    assert rows.min() >= 50
