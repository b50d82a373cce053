"""Rows as points: distances mean the same in every column, and neighbours are the nearest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators import space
from evaluators.frame import Frame, frames
from evaluators.space import MOST_LEVELS, Space, nearest
from tables.tableset import Table
from tests.evaluation.cases import table_of


def frame_of(values: pd.DataFrame) -> Frame:
    (found,) = frames([table_of(values)])
    assert found is not None
    return found


def apart(values: pd.DataFrame) -> np.ndarray:
    """Distances of all rows, [n, n]."""
    points = Space.fit(frame_of(values)).points(frame_of(values)).astype(np.float64)
    return np.sqrt(np.square(points[:, None] - points[None]).sum(axis=2))


@pytest.mark.parametrize(("k", "same"), [(1, False), (5, False), (1, True), (3, True)])
def test_neighbours_are_those_of_all_differences(
    heart: Table, k: int, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_CHUNK", 1_000)  # several chunks, the last of them smaller
    (frame,) = frames([heart])
    assert frame is not None
    points = Space.fit(frame).points(frame)
    among = points if same else points[::2]
    every = np.sqrt(np.square(points[:, None].astype(np.float64) - among[None]).sum(axis=2))
    if same:
        np.fill_diagonal(every, np.inf)

    found, places = nearest(points, among, k, same=same)

    assert found == pytest.approx(np.sort(every, axis=1)[:, :k], abs=1e-6)
    assert np.take_along_axis(every, places, axis=1) == pytest.approx(found, abs=1e-6)


def test_equal_rows_are_no_distance_apart_even_far_from_the_middle(cdc: Table) -> None:
    (frame,) = frames([cdc.take(np.arange(3_000))])
    assert frame is not None
    points = Space.fit(frame).points(frame)

    found, places = nearest(points[:500] + np.float32(100), points + np.float32(100))

    assert np.all(found == 0)
    assert np.all((points[places[:, 0]] == points[:500]).all(axis=1))


def test_a_duplicate_is_a_neighbour_of_itself_only_where_there_are_two() -> None:
    points = np.array([[0.0], [0.0], [5.0]], np.float32)

    found, places = nearest(points, points, same=True)

    assert found[:, 0].tolist() == [0.0, 0.0, 5.0]
    assert places[:2, 0].tolist() == [1, 0]


def test_there_are_no_more_neighbours_than_points() -> None:
    points = np.arange(4, dtype=np.float32)[:, None]

    assert nearest(points, points[:2], 5)[0].shape == (4, 2)
    assert nearest(points, points, 9, same=True)[0].shape == (4, 3)
    assert nearest(points[:1], points[:1], same=True)[0].shape == (1, 0)
    assert nearest(points, points[:0])[0].shape == (4, 0)
    assert nearest(points[:0], points)[0].shape == (0, 1)


def test_two_categories_and_two_missing_cells_are_one_step_apart() -> None:
    found = apart(pd.DataFrame({"a": ["x", "y", "z", None], "b": ["u"] * 4}))

    assert found == pytest.approx(1 - np.eye(4), abs=1e-6)


def test_a_missing_number_is_one_step_from_the_middle() -> None:
    found = apart(pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0, np.nan]}))

    assert found[5, 2] == pytest.approx(1.0)
    assert found[1, 2] == pytest.approx(np.arcsinh(1.0))  # half the middle half's width


def test_the_unit_of_a_number_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=50).round(6)

    grams = apart(pd.DataFrame({"a": values * 1000 + 7}))

    assert grams == pytest.approx(apart(pd.DataFrame({"a": values})), abs=1e-4)


def test_far_values_stay_far_without_drowning_everything_else() -> None:
    found = apart(pd.DataFrame({"a": [*np.arange(21.0), 1e6], "b": ["x"] * 22}))

    assert found[10, 21] > 2 * found[10, 20]
    assert found[10, 21] < 20


def test_the_rarest_levels_share_a_corner() -> None:
    common = [f"c{i:02d}" for i in range(MOST_LEVELS)] * 2
    found = apart(pd.DataFrame({"a": [*common, "rare", "rarer"]}))

    assert found[-1, -2] == 0
    assert found[0, -1] == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx(1.0)


def test_wide_tables_have_no_more_coordinates_than_fit_into_memory() -> None:
    cells = {f"c{i:03d}": [f"v{(i * j) % 60:02d}" for j in range(60)] for i in range(300)}

    assert Space.fit(frame_of(pd.DataFrame(cells))).dimensions < 3_000


def test_levels_that_the_scale_has_not_seen_have_a_place() -> None:
    seen, other = frames(
        [table_of(pd.DataFrame({"a": ["x", "y"] * 4})), table_of(pd.DataFrame({"a": ["new", "x"]}))]
    )
    assert seen is not None and other is not None
    places = Space.fit(seen)

    found, _ = nearest(places.points(other), places.points(seen))

    assert found[:, 0] == pytest.approx([1.0, 0.0])


def test_the_ends_of_the_doubles_and_empty_columns_are_finite() -> None:
    values = pd.DataFrame(
        {
            "wide": [-1.7e308, 1.7e308, 0.5, -1.0] * 3,
            "narrow": [5e-324, 0.0, 1e308, 0.0] * 3,
            "constant": [3.0] * 12,
            "empty": [np.nan] * 12,
            "none": pd.Series([None] * 12, dtype=object),
        }
    )
    frame = frame_of(values)

    points = Space.fit(frame).points(frame)

    assert points.shape == (12, Space.fit(frame).dimensions)
    assert np.isfinite(points).all()
    assert np.isfinite(nearest(points, points, same=True)[0]).all()


def test_a_space_of_chosen_columns_ignores_the_others(heart: Table) -> None:
    (frame,) = frames([heart])
    assert frame is not None
    chosen = Space.fit(frame, ("age", "sex"))

    assert [scale.view.name for scale in chosen.scales] == ["age", "sex"]
    assert Space.fit(frame, ()).points(frame).shape == (len(frame), 0)
    assert np.all(nearest(np.zeros((3, 0), np.float32), np.zeros((2, 0), np.float32))[0] == 0)
