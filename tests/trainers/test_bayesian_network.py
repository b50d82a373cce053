from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers.base import Hooks
from trainers.bayesian_network import Counted, shares_of
from trainers.structure import SCORES, Settings, in_order, learn


def settings(**changed: Any) -> Settings:
    plain = {"search": "hillclimb", "score": "bic", "max_indegree": 3, "changes": 100, "cells": 1_000}
    return Settings(**{**plain, **changed})


def chain(rng: np.random.Generator, n: int = 4_000) -> np.ndarray:
    """a → b → c, d by itself, and e = a xor d: no single column says anything about e."""
    a = rng.integers(0, 2, n)
    b, c = a ^ (rng.random(n) < 0.1), a ^ (rng.random(n) < 0.1)
    c = b ^ (rng.random(n) < 0.1)
    d = rng.integers(0, 2, n)
    return np.stack([a, b, c, d, a ^ d], axis=1).astype(np.int32)


@pytest.mark.parametrize("score", SCORES)
def test_finds_what_depends_on_what(score: str) -> None:
    parents = learn(chain(np.random.default_rng(0)), np.full(5, 2), settings(score=score), Hooks())
    arcs = {frozenset((u, v)) for v, own in enumerate(parents) for u in own}
    assert {frozenset((0, 1)), frozenset((1, 2))} <= arcs
    assert frozenset((2, 3)) not in arcs
    assert max(in_order(parents)) >= 1


@pytest.mark.parametrize("search", ["tree_search", "hillclimb"])
def test_keeps_its_bounds_and_has_no_cycle(search: str) -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 4, 2_000)
    noisy = [np.where(rng.random(2_000) < 0.6, base, rng.integers(0, 4, 2_000)) for _ in range(8)]
    classes = np.stack(noisy, axis=1).astype(np.int32)
    most = 1 if search == "tree_search" else 2
    parents = learn(classes, np.full(8, 4), settings(search=search, max_indegree=2, score="aic"), Hooks())
    assert max(map(len, parents)) == most
    depth = in_order(parents)
    assert all(depth[u] < depth[v] for v, own in enumerate(parents) for u in own)
    small = learn(classes, np.full(8, 4), settings(search=search, cells=16, score="aic"), Hooks())
    assert max(map(len, small)) == 1


@pytest.mark.parametrize("score", SCORES)
def test_scores_prefer_a_cause_to_chance(score: str) -> None:
    rng = np.random.default_rng(2)
    x, other = rng.integers(0, 3, (2, 500))
    y = np.where(rng.random(500) < 0.8, x, rng.integers(0, 3, 500))

    def of(*parents: np.ndarray) -> float:
        config = sum((p * 3**i for i, p in enumerate(parents)), np.zeros(500, np.int64))
        counts = np.zeros((3 ** len(parents), 3), dtype=np.int64)
        np.add.at(counts, (config, y), 1)
        return SCORES[score](counts)

    assert of(x) > of()
    assert of(x) > of(x, other)
    assert of() > of(other)


def test_a_joint_table_of_three_columns_comes_back(fit: Any, build: Any, draw: Any) -> None:
    classes = chain(np.random.default_rng(3), 6_000)
    cells = {
        key: (Kind.BOOLEAN, Array.make(Storage.BOOL, classes[:, i] == 1)) for i, key in enumerate("abcde")
    }
    drawn = draw(fit("bayesian-network", build(cells)), 20_000)
    made = np.stack([drawn[key].values for key in "abcde"], axis=1).astype(int)
    for columns in ((0, 1, 2), (1, 2, 3)):
        for cell in product((0, 1), repeat=3):
            real, found = ((rows[:, columns] == cell).all(axis=1).mean() for rows in (classes, made))
            assert found == pytest.approx(real, abs=0.015)


def test_what_fewer_than_k_patients_combine_is_not_learned() -> None:
    """Where a = 1, b is 1: of as many patients as rows, or of one patient less than k."""
    n = 1_000
    a, b = np.arange(n) < 40, (np.arange(n) < 40) | (np.arange(n) % 2 == 0)
    classes = np.stack([a, b], axis=1).astype(np.int32)
    shares = []
    for patients in (5, 4):
        subjects = np.where(a, np.arange(n) % patients, np.arange(n))
        subjects = np.unique(subjects, return_inverse=True)[1]
        edges = shares_of(classes, np.array([2, 2]), 1, (0,), Counted(subjects, np.ones(n), 5, 1.0))
        shares.append(1 - edges[:, 0])
    known, unknown = shares
    assert known[1] > 0.95
    assert unknown[1] == pytest.approx(b.mean(), abs=0.01)
    assert known[0] == pytest.approx(0.5, abs=0.01) == unknown[0]


def test_heart_keeps_margins_and_relations(fit: Any, heart: Table, draw: Any, floats: Any) -> None:
    real, drawn = floats(heart.arrays), floats(draw(fit("bayesian-network", heart), 20_000))
    for key in ("age", "trestbps", "chol", "thalach", "oldpeak"):
        levels = np.linspace(0.05, 0.95, 19)
        gap = np.abs(np.quantile(real[key], levels) - np.quantile(drawn[key], levels))
        assert gap.mean() < 0.08 * real[key].std(), key
    sick = [columns["num"] > 0 for columns in (real, drawn)]
    for key in ("cp", "exang", "thal"):
        apart = [
            np.nanmean(c[key][s]) - np.nanmean(c[key][~s]) for c, s in zip((real, drawn), sick, strict=True)
        ]
        assert apart[1] == pytest.approx(apart[0], rel=0.4), key
