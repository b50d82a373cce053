"""The training loop and its checkpoints, with a small regression as the model."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from kohort.problem import Problem
from kohort.schema import Finding
from trainers import checkpoint as checkpoints
from trainers import loop
from trainers.base import Hooks, Progress, Stopped
from trainers.checkpoint import Checkpoint, State
from trainers.compute import autocast, clipped, ran_out_of_memory, seeded
from trainers.loop import Outcome, Plan, run

ROWS = 96


class Regression:
    """Learns a line with noise from both random streams; `validation` are its losses, in turn."""

    def __init__(self, validation: list[float] | None = None) -> None:
        data = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
        self.x, self.y = torch.from_numpy(data), torch.from_numpy(data.sum(axis=1, keepdims=True))
        with seeded(5):
            self.net = nn.Sequential(
                nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)
            )
            self.average = nn.Linear(1, 1, bias=False)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-2)
        self.seen: list[np.ndarray] = []
        self.sizes: list[int] = []
        self.fails: Callable[[int], BaseException | None] = lambda rows: None
        self.validation = validation
        self.shares: list[tuple[int, float]] = []

    def step(self, rows: np.ndarray, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        self.net.train()
        x, y = self.x[rows], self.y[rows] + float(rng.normal())
        loss = (self.net(x) - y).square().mean()
        self.adam.zero_grad()
        loss.backward()
        norm = clipped(self.net, 5.0)
        self.adam.step()
        if error := self.fails(rows.size):  # the networks have changed by now
            raise error
        self.seen.append(rows)
        self.sizes.append(rows.size)
        return {"loss": loss, "gradient_norm": norm}

    def validate(self) -> float:
        self.net.eval()
        if self.validation is not None:
            return self.validation.pop(0) if self.validation else math.nan
        with torch.no_grad():
            noise = torch.randn_like(self.y)
            return float((self.net(self.x) - self.y - noise).square().mean())

    def modules(self) -> Mapping[str, nn.Module]:
        return {"net": self.net, "average": self.average}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self.adam}

    def epoch_done(self, epoch: int, share: float) -> None:
        self.shares.append((epoch, share))
        for group in self.adam.param_groups:
            group["lr"] = 1e-2 * (1 - 0.9 * share)

    def weights(self) -> bytes:
        return b"".join(value.numpy().tobytes() for value in self.net.state_dict().values())


def plan_of(**changes: Any) -> Plan:
    return Plan(**{"rows": ROWS, "epochs": 4, "batch_size": 20, "seed": 3, **changes})


def train(learner: Regression, plan: Plan, hooks: Hooks | None = None) -> Outcome:
    hooks = hooks or Hooks()
    return run(learner, plan, hooks, Checkpoint(hooks, "test", [plan.seed]))


def kept(folder: Path) -> State:
    hooks = Hooks(checkpoints=folder)
    state = Checkpoint(hooks, "test", [3]).load()
    assert state is not None
    return state


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


# --- checkpoints


@pytest.mark.parametrize("steps", [1, 5, 7, 10, 19])
def test_a_run_that_is_taken_up_ends_as_if_never_interrupted(tmp_path: Path, steps: int) -> None:
    whole = Regression()
    expected = train(whole, plan_of())
    reports: list[Progress] = []
    interrupted = Regression()
    stop = lambda: len(interrupted.seen) >= steps  # noqa: E731
    with pytest.raises(Stopped):
        train(interrupted, plan_of(), Hooks(reports.append, stop, checkpoints=tmp_path))
    resumed = Regression()
    assert train(resumed, plan_of(), Hooks(reports.append, checkpoints=tmp_path)) == expected
    assert len(resumed.seen) == 20 - steps
    assert resumed.weights() == whole.weights()
    assert [r.step for r in reports] == [1, 2, 3, 4]
    plain: list[Progress] = []
    train(Regression(), plan_of(), Hooks(plain.append))
    assert [r.losses for r in reports] == [r.losses for r in plain]


def test_what_was_best_and_how_long_ago_outlives_the_worker(tmp_path: Path) -> None:
    losses = [3.0, 1.0, 2.0, 2.0, 2.0, 0.5]
    whole = Regression(list(losses))
    expected = train(whole, plan_of(epochs=9, patience=3))
    assert expected == Outcome(5, 2, "early")
    first = Regression(losses[:3])
    stop = lambda: len(first.seen) >= 17  # noqa: E731
    with pytest.raises(Stopped):
        train(first, plan_of(epochs=9, patience=3), Hooks(should_stop=stop, checkpoints=tmp_path))
    second = Regression(losses[3:])
    assert train(second, plan_of(epochs=9, patience=3), Hooks(checkpoints=tmp_path)) == expected
    assert second.weights() == whole.weights()


def test_a_halved_batch_outlives_the_worker_and_is_said_again(tmp_path: Path) -> None:
    found: list[Finding] = []
    first = Regression()
    first.fails = lambda rows: MemoryError() if rows > 10 else None
    stop = lambda: len(first.seen) >= 4  # noqa: E731
    with pytest.raises(Stopped):
        train(first, plan_of(), Hooks(should_stop=stop, checkpoints=tmp_path))
    second = Regression()
    train(second, plan_of(), Hooks(warn=found.append, checkpoints=tmp_path))
    assert max(second.sizes) == 10
    assert [f.reason for f in found] == ["BATCH_HALVED"]


def test_a_run_out_of_time_is_not_trained_again(tmp_path: Path) -> None:
    clock = itertools.count(0)
    first, second = Regression(), Regression()
    hooks = Hooks(seconds_left=lambda: 13 - next(clock), checkpoints=tmp_path)
    train(first, plan_of(epochs=100), hooks)
    outcome = train(second, plan_of(epochs=100), Hooks(seconds_left=lambda: -1.0, checkpoints=tmp_path))
    assert outcome.stopped == "time"
    assert second.weights() == first.weights()
    assert not second.seen


def test_a_checkpoint_is_safetensors_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    train(Regression(), plan_of(), Hooks(checkpoints=tmp_path))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    told = json.loads((tmp_path / "test.json").read_bytes())
    arrays = load_file(tmp_path / told["arrays"])
    assert {name.split(".")[0] for name in arrays} == {"module", "optimiser", "best"}
    assert told["values"]["epoch"] == 4
    assert not any(ROWS in array.shape for array in arrays.values())


@pytest.mark.parametrize("file", ["test.json", "*.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "gone"])
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, file: str, damage: str) -> None:
    first, second = Regression(), Regression()
    with pytest.raises(Stopped):
        train(first, plan_of(), Hooks(should_stop=lambda: len(first.seen) > 6, checkpoints=tmp_path))
    kept(tmp_path)
    (path,) = tmp_path.glob(file)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "noise": b"\x80pickle" * 99, "empty": b""}[damage])
    train(second, plan_of(), Hooks(checkpoints=tmp_path))
    assert len(second.seen) == 20


def test_a_checkpoint_of_another_run_is_ignored(tmp_path: Path) -> None:
    hooks = Hooks(checkpoints=tmp_path)
    Checkpoint(hooks, "test", {"seed": 1}).save(State({"a": np.ones(3)}, {"epoch": 2}))
    assert Checkpoint(hooks, "test", {"seed": 2}).load() is None
    assert Checkpoint(hooks, "other", {"seed": 1}).load() is None
    found = Checkpoint(hooks, "test", {"seed": 1}).load()
    assert found is not None
    assert found.values == {"epoch": 2}


def test_a_save_that_fails_halfway_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[Finding] = []
    hooks = Hooks(warn=warned.append, checkpoints=tmp_path)
    point = Checkpoint(hooks, "test", 1)
    point.save(State({"a": np.ones(3)}, {"epoch": 1}))
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    point.save(State({"a": np.zeros(3)}, {"epoch": 2}))
    point.save(State({"a": np.zeros(3)}, {"epoch": 2}))
    found = point.load()
    assert found is not None
    assert found.values == {"epoch": 1}
    assert found.arrays["a"].tolist() == [1, 1, 1]
    assert [f.reason for f in warned] == ["STORAGE_FULL"]


def test_mixed_precision_is_for_cuda_alone() -> None:
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
