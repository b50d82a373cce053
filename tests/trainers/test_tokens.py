"""Tokens: what they say of a cell comes back, and no cell is between two of them."""

from __future__ import annotations

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.statistics import StatisticsSource
from tables.tableset import Table
from trainers.encoding import Encoding
from trainers.tokens import BLOCK, ClassTokens, NumberTokens, Resolution, Vocabulary

from .conftest import table_of

FINE, FLAT = Resolution(6, 3), Resolution(8, 1)


def numbers(values: np.ndarray, valid: np.ndarray | None = None) -> Table:
    return table_of({"x": (Kind.INTEGER, Array.make(Storage.INT64, values.astype(np.int64), valid))})


def vocabulary(table: Table, resolution: Resolution) -> tuple[Encoding, Vocabulary]:
    encoding = Encoding.fit(table, StatisticsSource(), 5)
    return encoding, Vocabulary.of(encoding, resolution)


@pytest.fixture
def mixed() -> Table:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4_000) < 0.4, 0, np.rint(rng.gamma(2.0, 400.0, 4_000)))
    return numbers(values, rng.random(4_000) < 0.8)


@pytest.mark.parametrize("resolution", [FINE, FLAT])
def test_decoded_tokens_lie_where_their_cells_lay(mixed: Table, resolution: Resolution) -> None:
    encoding, words = vocabulary(mixed, resolution)
    features = encoding.encode(mixed, np.random.default_rng(1))
    (number,) = words.numbers
    present, x = number.decode(number.encode(features), np.full(mixed.num_rows, 0.5))
    there = features[0] == 1
    assert np.array_equal(present, features[0])
    ranks = [encoding.columns[0].rank(part[there], np.random.default_rng(2)) for part in (x, features[1])]
    assert np.abs(ranks[0] - ranks[1]).max() < 1.5 / resolution.groups


@pytest.mark.parametrize("resolution", [FINE, FLAT])
def test_cells_of_random_ranks_keep_the_distribution(mixed: Table, resolution: Resolution) -> None:
    encoding, words = vocabulary(mixed, resolution)
    features = encoding.encode(mixed, np.random.default_rng(1))
    (number,) = words.numbers
    _, x = number.decode(number.encode(features), np.random.default_rng(2).random(mixed.num_rows))
    there = features[0] == 1
    was, now = features[1][there], np.rint(x[there])
    assert abs(np.mean(was == was.min()) - np.mean(now == now.min())) < 0.005
    grid = np.quantile(was, np.linspace(0.45, 0.99, 20))
    gap = [np.mean(was <= edge) - np.mean(now <= edge) for edge in grid]
    assert np.abs(gap).max() < 0.02


def test_a_spike_is_an_atom_of_its_own(mixed: Table) -> None:
    encoding, words = vocabulary(mixed, FINE)
    (number,) = words.numbers
    features = encoding.encode(mixed, np.random.default_rng(1))
    zero = (mixed.arrays["x"].values == 0) & (features[0] == 1)
    tokens = np.stack(number.encode(features), axis=1)
    assert len(np.unique(tokens[zero], axis=0)) == 1
    same = (tokens == tokens[zero][0]).all(axis=1)
    assert np.array_equal(same, zero)


def test_a_null_has_neither_group_nor_atom(mixed: Table) -> None:
    encoding, words = vocabulary(mixed, FINE)
    tokens = words.encode(encoding.encode(mixed, np.random.default_rng(1)))
    null = tokens[:, 0] == 0
    sizes = [slot.size for slot in words.slots]
    assert null.any()
    assert (tokens[null, 1:] == sizes[1:]).all()
    assert (tokens[~null] < sizes).all()


def test_only_widths_many_places_exist_in_a_group(mixed: Table) -> None:
    encoding, words = vocabulary(mixed, FINE)
    tokens = words.encode(encoding.encode(mixed, np.random.default_rng(1)))
    slot = words.slots[-1]
    assert slot.widths is not None
    there = tokens[:, 0] == 1
    assert (tokens[there, -1] < slot.widths[tokens[there, -2]]).all()
    assert slot.widths.max() == slot.size


def test_a_wide_category_is_a_block_and_a_place() -> None:
    tokens = ClassTokens(0, 2_000)
    cells = np.arange(2_000)
    block, place = tokens.encode([cells])
    assert block.max() == 1_999 // BLOCK
    assert np.array_equal(tokens.decode([block, place], 2_000), cells)
    assert ClassTokens(0, 1).slots(0) == []


def test_given_tokens_are_those_of_the_cells(mixed: Table) -> None:
    encoding, words = vocabulary(mixed, FINE)
    features = np.stack(encoding.encode(mixed, np.random.default_rng(1)), axis=1).astype(float)
    mask = np.ones_like(features, dtype=bool)
    mask[features[:, 0] == 0, 1] = False
    told, known = words.given(features, mask)
    assert known.all()
    assert np.array_equal(told, words.encode(list(features.T)))


def test_presence_can_be_given_alone(mixed: Table) -> None:
    _, words = vocabulary(mixed, FINE)
    features = np.array([[1.0, 0.0], [0.0, 0.0]])
    told, known = words.given(features, np.array([[True, False], [True, False]]))
    assert known.tolist() == [[True, False, False], [True, True, True]]
    assert told[1, 0] == 0
    assert told[1, 1:].tolist() == [slot.size for slot in words.slots[1:]]


def test_atoms_of_few_rows_are_coarser() -> None:
    few, many = Resolution.for_rows(200), Resolution.for_rows(50_000)
    assert few.groups * few.atoms < many.groups * many.atoms
    assert isinstance(
        NumberTokens.of(0, vocabulary(numbers(np.arange(500)), few)[0].columns[0], few).edges, np.ndarray
    )
