from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from exporters.export import export
from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers.forests import leaf_shares, prune


def predictors(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.nan_to_num(
        np.stack([column for key, column in columns.items() if key != "num"], axis=1), nan=-1
    )


def test_a_forest_of_heart_patients_teaches_a_classifier(
    fit: Any, heart: Table, draw: Any, floats: Any
) -> None:
    order = np.random.default_rng(0).permutation(303)
    train, rest = heart.take(np.sort(order[:212])), floats(heart.take(np.sort(order[212:])).arrays)
    drawn = floats(draw(fit("arf", train, quick={}), 1_000))
    model = RandomForestClassifier(100, min_samples_leaf=3, random_state=0)
    model.fit(predictors(drawn), drawn["num"] > 0)
    auc = roc_auc_score(rest["num"] > 0, model.predict_proba(predictors(rest))[:, 1])
    assert auc > 0.8  # of the real rows 0.9, of columns drawn apart 0.5
    real = floats(train.arrays)
    for key in ("sex", "cp", "num"):
        for value in np.unique(real[key]):
            assert abs(np.mean(real[key] == value) - np.mean(drawn[key] == value)) < 0.05, key


def codes_of(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two codes of nine values, each fixing a third of the other's, in no order."""
    group = rng.integers(0, 3, n)
    members = np.array([[0, 4, 8], [1, 5, 6], [2, 3, 7]])
    a, b = (members[group, rng.integers(0, 3, n)] for _ in range(2))
    return a, b


HOME = np.argsort(np.array([[0, 4, 8], [1, 5, 6], [2, 3, 7]]).ravel()) // 3


def test_unordered_categories_keep_what_they_say_about_each_other(fit: Any, build: Any, draw: Any) -> None:
    a, b = codes_of(np.random.default_rng(2), 3_000)
    names = [f"c{i}" for i in range(9)]
    table = build(
        {k: (Kind.CODE, Array.make(Storage.STRING, c, None, names)) for k, c in (("a", a), ("b", b))}
    )
    drawn = draw(fit("arf", table), 3_000)
    a, b = (np.array([int(s[1:]) for s in drawn[key].strings()]) for key in "ab")
    assert np.mean(HOME[a] == HOME[b]) > 0.7  # alone 1/3, real 1


def test_what_is_given_decides_the_rest(fit: Any, build: Any, noise: Any) -> None:
    rng = np.random.default_rng(1)
    sick = rng.random(2_000) < 0.3
    value = np.where(sick, rng.normal(10, 1, 2_000), rng.normal(0, 1, 2_000))
    seen = rng.random(2_000) < np.where(sick, 0.9, 0.4)
    table = build(
        {
            "sick": (Kind.BOOLEAN, Array.make(Storage.BOOL, sick)),
            "value": (Kind.DECIMAL, Array.make(Storage.DOUBLE, value)),
            "maybe": (Kind.DECIMAL, Array.make(Storage.DOUBLE, value, seen)),
        }
    )
    generator = fit("arf", table)
    assert [f.role for f in generator.encoding.features] == ["value", "value", "present", "value"]
    uniform, normal = noise(generator, 2_000)
    ones = np.ones((2_000, 1), np.float32)

    def given(**cells: float) -> list[np.ndarray]:
        places = {"sick": 0, "value": 1, "present": 2, "maybe": 3}
        features, mask = np.zeros((2_000, 4)), np.zeros((2_000, 4), dtype=bool)
        for name, cell in cells.items():
            features[:, places[name]], mask[:, places[name]] = cell, True
        return list(generator.reference_given(uniform, normal, features, mask, ones, ones))

    assert np.mean(given(value=10.5)[0]) > 0.93
    assert np.mean(given(value=-0.5)[0]) < 0.05
    assert np.mean(given(sick=1)[1] > 5) > 0.93
    assert np.mean(given(sick=1)[2]) == pytest.approx(0.9, abs=0.05)
    # Nulls say something, too: 70 % are healthy, and of nulls 93 %.
    assert np.mean(given(present=0)[0]) == pytest.approx(0.03 / 0.45, abs=0.03)
    present = given(present=1)
    assert present[2].all()
    assert np.mean(present[0]) == pytest.approx(0.27 / 0.55, abs=0.06)
    assert (given(present=1, maybe=10.25)[3] == 10.25).all()


def test_every_leaf_holds_enough_patients_however_many_rows_are_theirs() -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 8, (600, 3)).astype(np.float32)
    subjects = np.unique(rng.integers(0, 60, 600) ** 2 // 60, return_inverse=True)[1]
    tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=0).fit(rows, rng.random(600) < 0.5)
    pruned = prune(tree, rows, subjects, 5)
    leaves = np.unique(pruned.leaf)
    assert leaves.size > 10
    assert all(np.unique(subjects[pruned.leaf == leaf]).size >= 5 for leaf in leaves)
    inner = np.unique(pruned.parent[1:])
    assert not {*leaves} & {*inner}


def test_a_leaf_says_nothing_that_its_cuts_exclude() -> None:
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 6, (400, 2)).astype(np.int32)
    places = [np.arange(6), np.array([3, 1, 4, 0, 5, 2])]
    rows = np.stack([own[classes[:, j]] for j, own in enumerate(places)], axis=1).astype(np.float32)
    tree = DecisionTreeClassifier(min_samples_leaf=5, random_state=0).fit(rows, rng.random(400) < 0.5)
    pruned = prune(tree, rows, np.arange(400), 5)
    weights, shares = leaf_shares(pruned, classes, places, np.ones(400), 2.0)
    assert weights.sum() == pytest.approx(1)
    for part in (shares[:, :6], shares[:, 6:]):
        assert np.allclose(part.sum(axis=1), 1)
        assert (part >= 0).all()
    for leaf, share in zip(np.setdiff1d(np.arange(pruned.parent.size), pruned.parent), shares, strict=True):
        node = leaf
        while pruned.parent[node] >= 0:
            j = pruned.column[node]
            excluded = (places[j] <= pruned.cut[node]) != pruned.left[node]
            assert not share[6 * j : 6 * j + 6][excluded].any()
            node = pruned.parent[node]


def test_many_rows_and_columns_make_a_bundle_of_bounded_size(fit: Any, build: Any) -> None:
    rng = np.random.default_rng(7)
    base = rng.normal(size=4_000)
    cells = {
        f"n{i}": (Kind.DECIMAL, Array.make(Storage.DOUBLE, base + rng.normal(size=4_000))) for i in range(60)
    }
    table = build(cells)
    exported = export(fit("arf", table, num_trees=5, max_iters=1), table.schema)
    assert len(exported.graph) + len(exported.given) < 100 << 20
