"""A look at the present weights changes nothing of a fit, and shows the model as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tables.tableset import Table
from tests.trainers.regression import Regression, plan_of, train
from trainers.base import Generator, Hooks, Progress
from trainers.snapshot import twin

LEARN_BY_EPOCHS = ("argn", "ctgan", "tvae", "beta-vae", "cvae", "wae", "tabddpm", "wgan-gp", "medgan")


def test_the_hook_is_told_after_every_report() -> None:
    told: list[str] = []
    hooks = Hooks(progress=lambda _: told.append("report"), watch=lambda make: told.append(str(make())))
    train(Regression(), plan_of(epochs=2, present=lambda: "look"), hooks)
    assert told == ["report", "look"] * 2
    train(Regression(), plan_of(epochs=2), hooks)
    assert told[4:] == ["report", "report"]


def test_a_look_that_draws_random_numbers_changes_no_weight() -> None:
    def disturb(make: Callable[[], Any]) -> None:
        torch.rand(7)
        np.random.default_rng(make()).normal(size=3)
        torch.manual_seed(1)

    watched, plain = Regression(), Regression()
    train(watched, plan_of(present=lambda: 3), Hooks(watch=disturb))
    train(plain, plan_of())
    assert watched.weights() == plain.weights()


def test_what_the_hook_raises_ends_training() -> None:
    class Enough(Exception):
        pass

    def stop(make: Callable[[], Any]) -> None:
        raise Enough

    learner = Regression()
    with pytest.raises(Enough):
        train(learner, plan_of(present=lambda: None), Hooks(watch=stop))
    assert learner.shares == [(0, 0.0), (1, 0.25)]


def test_a_look_that_memory_does_not_suffice_for_is_left_out() -> None:
    def starve(make: Callable[[], Any]) -> None:
        raise MemoryError

    assert train(Regression(), plan_of(present=lambda: None), Hooks(watch=starve)).epochs == 4


def test_a_twin_shares_all_but_one_network() -> None:
    learner = Regression()
    other = twin(learner, "net")
    assert other.x is learner.x
    with torch.no_grad():
        for value in other.net.parameters():
            value.zero_()
    assert learner.weights() != other.weights()


@pytest.mark.parametrize("name", LEARN_BY_EPOCHS)
def test_a_watched_fit_is_the_unwatched_one_bit_for_bit(
    fit: Any, heart: Table, draw: Any, noise: Any, name: str
) -> None:
    looks: list[list[np.ndarray]] = []
    epochs: list[int] = []

    def look(make: Callable[[], Generator]) -> None:
        generator = make()
        uniform, normal = noise(generator, 64)
        looks.append([np.asarray(f) for f in generator.reference(uniform, normal)])
        generator.encoding.inverse(looks[-1])
        torch.rand(5)

    def progress(report: Progress) -> None:
        epochs.append(report.step)

    watched = fit(name, heart, Hooks(progress=progress, watch=look))
    plain = fit(name, heart)
    assert len(looks) == len(set(epochs)) > 1
    features = [g.reference(*noise(g, 500)) for g in (watched, plain)]
    for a, b in zip(*features, strict=True):
        assert np.array_equal(a, b)
    if name != "tabddpm":  # whose looks do without the classes' biases
        last = watched.reference(*noise(watched, 64))
        equal = np.mean([np.array_equal(a, b) for a, b in zip(looks[-1], last, strict=True)])
        assert equal == 1.0


def test_a_watched_fit_goes_on_from_a_checkpoint_as_an_unwatched_one(
    fit: Any, heart: Table, noise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.checkpoint.EVERY_SECONDS", 0.0)

    class Lost(Exception):
        pass

    seen: list[int] = []

    def look(make: Callable[[], Generator]) -> None:
        make()
        seen.append(1)
        if len(seen) == 2:
            raise Lost

    with pytest.raises(Lost):
        fit("tvae", heart, Hooks(watch=look, checkpoints=tmp_path))
    resumed = fit("tvae", heart, Hooks(watch=look, checkpoints=tmp_path))
    plain = fit("tvae", heart)
    for a, b in zip(*(g.reference(*noise(g, 200)) for g in (resumed, plain)), strict=True):
        assert np.array_equal(a, b)
