"""The checkpoints of the training loop: a run that is taken up ends as if never interrupted."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from kohort.schema import Finding
from tests.trainers.regression import ROWS, Regression, kept, plan_of, train
from trainers import checkpoint as checkpoints
from trainers.base import Hooks, Progress, Stopped
from trainers.checkpoint import Checkpoint, State
from trainers.loop import Outcome


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
