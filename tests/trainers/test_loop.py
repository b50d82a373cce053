"""The training loop, with a small regression as the model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from kohort.problem import Problem
from kohort.schema import Finding
from tests.trainers.regression import ROWS, Regression, plan_of, train
from trainers import loop
from trainers.base import Hooks, Progress
from trainers.compute import autocast, ran_out_of_memory
from trainers.loop import Outcome


def test_an_epoch_meets_every_row_once_in_an_order_of_its_own() -> None:
    learner = Regression()
    assert train(learner, plan_of(epochs=2)) == Outcome(2, 2, "done")
    first, second = (np.concatenate(learner.seen[i : i + 5]) for i in (0, 5))
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert list(first) != list(second)
    assert set(learner.sizes) == {19, 20}


def test_weights_say_how_often_a_row_is_met() -> None:
    learner = Regression()
    weights = np.ones(ROWS)
    weights[:2] = [0.0, 20.0]
    train(learner, plan_of(epochs=40, weights=weights))
    met = np.bincount(np.concatenate(learner.seen), minlength=ROWS)
    assert met[0] == 0
    assert met[1] / met[2:].mean() == pytest.approx(20, rel=0.15)
    assert met.sum() == 40 * ROWS


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = Regression(), Regression(), Regression()
    train(first, plan_of())
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    train(second, plan_of())
    train(other, plan_of(seed=4))
    assert first.weights() == second.weights() != other.weights()


def test_reports_hold_losses_gradient_norm_and_speed() -> None:
    reports: list[Progress] = []
    learner = Regression([0.5, 0.25])
    train(learner, plan_of(epochs=2), Hooks(reports.append))
    assert [(r.step, r.total_steps) for r in reports] == [(1, 2), (2, 2)]
    assert [r.losses["validation"] for r in reports] == [0.5, 0.25]
    assert set(reports[0].losses) == {"loss", "validation"}
    assert reports[0].losses["loss"] > 0
    assert 0 < reports[0].gradient_norm < 100
    assert reports[0].rows_per_second > 0
    assert learner.shares == [(0, 0.0), (1, 0.5), (2, 1.0)]


# --- early stopping


def test_training_stops_when_validation_gets_no_better() -> None:
    reports: list[Progress] = []
    learner = Regression([3.0, 2.0, 2.5, 2.0, 1.0])
    outcome = train(learner, plan_of(epochs=9, patience=2), Hooks(reports.append))
    assert outcome == Outcome(4, 2, "early")
    assert [(r.step, r.total_steps) for r in reports] == [(1, 9), (2, 9), (3, 9), (4, 9), (4, 4)]


def test_the_best_weights_are_those_of_the_best_epoch() -> None:
    weights: list[bytes] = []
    learner = Regression([3.0, 1.0, 2.0])
    hooks = Hooks(progress=lambda _: weights.append(learner.weights()))
    assert train(learner, plan_of(epochs=3), hooks) == Outcome(3, 2, "done")
    assert learner.weights() == weights[1] != weights[2]


def test_there_is_a_least_number_of_epochs() -> None:
    learner = Regression([1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert train(learner, plan_of(epochs=6, patience=1, minimum_epochs=4)) == Outcome(4, 1, "early")


def test_without_validation_rows_the_last_weights_stay() -> None:
    learner = Regression([])
    assert train(learner, plan_of(patience=1)) == Outcome(4, 4, "done")


def test_validation_meets_the_same_noise_each_time() -> None:
    reports: list[Progress] = []
    learner = Regression()
    learner.adam.param_groups[0]["lr"] = 0.0
    learner.epoch_done = lambda epoch, share: None  # type: ignore[method-assign]
    learner.net.eval()
    learner.net.train = lambda mode=True: learner.net  # type: ignore[method-assign]
    train(learner, plan_of(epochs=3), Hooks(reports.append))
    assert len({r.losses["validation"] for r in reports}) == 1


# --- time


def test_when_time_runs_out_the_best_so_far_is_kept_and_said() -> None:
    clock = itertools.count(0)
    found: list[Finding] = []
    reports: list[Progress] = []
    hooks = Hooks(reports.append, warn=found.append, seconds_left=lambda: 13 - next(clock))
    outcome = train(Regression([2.0, 1.0, 3.0]), plan_of(epochs=100), hooks)
    assert outcome.stopped == "time"
    assert outcome.epochs == outcome.best_epoch == 2
    assert [f.reason for f in found] == ["STOPPED_EARLY"]
    assert "2 of 100 epochs" in found[0].message
    assert reports[-1].step == reports[-1].total_steps == 2
    assert reports[-1].losses["validation"] == 1.0


def test_time_that_runs_out_in_the_first_epoch_keeps_what_there_is() -> None:
    clock = itertools.count(0)
    outcome = train(Regression(), plan_of(), Hooks(seconds_left=lambda: 3 - next(clock)))
    assert outcome == Outcome(0, 0, "time")


def test_no_time_at_all_is_a_failure() -> None:
    with pytest.raises(Problem) as caught:
        train(Regression(), plan_of(), Hooks(seconds_left=lambda: 0.0))
    assert caught.value.reason == "MAX_RUNTIME_EXCEEDED"


# --- memory

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_out_of_memory_halves_the_batch(error: BaseException) -> None:
    found: list[Finding] = []
    learner = Regression()
    learner.fails = lambda rows: error if rows > 10 else None
    assert train(learner, plan_of(batch_size=40), Hooks(warn=found.append)).epochs == 4
    assert set(learner.sizes) == {9, 10}
    assert [f.reason for f in found] == ["BATCH_HALVED"] * 2
    assert "10 rows per step instead of 40" in found[-1].message
    # What the failed steps did to the networks is undone.
    plain = Regression()
    train(plain, plan_of(batch_size=10))
    assert learner.weights() == plain.weights()


def test_out_of_memory_late_goes_back_to_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SNAPSHOT_SECONDS", 0.0)
    learner = Regression()
    learner.fails = lambda rows: MemoryError() if rows > 10 and len(learner.sizes) == 12 else None
    assert train(learner, plan_of()).epochs == 4
    # Two whole epochs, two steps of the third, which begins anew with half the rows.
    assert learner.sizes[:12] == [19, 19, 19, 19, 20] * 2 + [19, 19]
    assert sum(learner.sizes[12:]) == 2 * ROWS
    assert max(learner.sizes[12:]) <= 10


def test_a_floor_below_which_batches_are_not_halved() -> None:
    learner = Regression()
    learner.fails = lambda rows: MemoryError()
    with pytest.raises(Problem) as caught:
        train(learner, plan_of(batch_size=40))
    assert caught.value.reason == "OUT_OF_MEMORY"


def test_other_errors_come_through() -> None:
    learner = Regression()
    learner.fails = lambda rows: RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes"):
        train(learner, plan_of())
    assert not ran_out_of_memory(ValueError("out of memory"))


def test_losses_that_leave_the_numbers_end_training() -> None:
    learner = Regression()
    with torch.no_grad():
        learner.net[0].weight[0, 0] = math.inf
    with pytest.raises(Problem) as caught:
        train(learner, plan_of())
    assert caught.value.reason == "TRAINING_DIVERGED"


def test_mixed_precision_is_for_cuda_alone() -> None:
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
