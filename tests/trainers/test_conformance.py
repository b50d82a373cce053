"""What every trainer of the registry must do, whoever wrote it; nothing here names one.

A new trainer is tested by being registered. Parameters that cost time are set
small where the trainer has them (`conftest.QUICK`).
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
from exporters.publish import export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.programs import SampleSpec
from kohort.schema import Finding, Kind, Schema, Storage
from tables.tableset import Table
from trainers import registry
from trainers.base import Generator, Hooks, Progress, Stopped

NAMES = [*registry.trainers(), "dummy"]
DAY = 86_400_000_000
BRIEF = {
    "batch_size": 500,
    "epochs": 1,
    "pretrain_epochs": 1,
    "generator_dim": [32],
    "discriminator_dim": [32],
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def graph_of(generator: Generator, table: Table) -> bytes:
    return export(generator, table.schema).graph


class Watch:
    """Hooks that count, and ask to stop from the n-th question, or after the n-th report, on."""

    def __init__(
        self, stop_at: float = np.inf, stop_after: float = np.inf, checkpoints: Path | None = None
    ) -> None:
        self.asked = self.refused = 0
        self.phases: list[str] = []
        self.steps: list[Progress] = []
        self.findings: list[Finding] = []
        self._stop_at, self._stop_after = stop_at, stop_after
        self.hooks = Hooks(
            self.steps.append, self._should_stop, self.phases.append, self.findings.append, checkpoints
        )

    def _should_stop(self) -> bool:
        self.asked += 1
        stop = self.asked >= self._stop_at or len(self.steps) >= self._stop_after
        self.refused += stop
        return stop


# --- what it says of itself


def test_says_what_it_is(name: str) -> None:
    info = registry.trainer(name).info
    assert info.name == name
    assert info.display_name
    assert info.description.endswith(".")
    assert info.reference
    assert Kind.CATEGORY in info.kinds
    assert not info.kinds & {Kind.TEXT, Kind.ID, Kind.UNSPECIFIED}
    assert json.loads(json.dumps(info.resolve({}))) == info.resolve({})
    for parameter in info.parameters:
        assert parameter.description
        assert parameter.check(parameter.default) == info.resolve({})[parameter.name]


# --- hooks


def test_reports_every_step_to_the_last(fit: Any, heart: Table, name: str) -> None:
    watch = Watch()
    fit(name, heart, watch.hooks)
    told = [p.step for p in watch.steps]
    # A fit that ends early tells its last step again: then it is the last of all.
    again = told[-1:] == told[-2:-1] and watch.steps[-2].total_steps > watch.steps[-1].total_steps
    assert told[: len(told) - again] == list(range(1, watch.steps[-1].total_steps + 1))
    assert all(np.isfinite([*p.losses.values()]).all() for p in watch.steps)
    assert watch.phases
    assert watch.asked > len(watch.steps)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_stops_at_the_first_question_that_says_so(fit: Any, heart: Table, name: str, share: float) -> None:
    free = Watch()
    fit(name, heart, free.hooks)
    stopped = Watch(stop_at=max(1, round(share * free.asked)))
    with pytest.raises(Stopped):
        fit(name, heart, stopped.hooks)
    assert stopped.refused == 1


def test_trains_in_mixed_precision(
    fit: Any, heart: Table, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU computes in half precision, computed so here."""
    if not registry.trainer(name).info.gpu:
        pytest.skip(f"{name} uses no GPU")
    import torch

    # Whoever computes with it has imported it by name.
    fit(name, heart)
    used = [m for key, m in sys.modules.items() if key.startswith("trainers.") and hasattr(m, "autocast")]
    for module in used:
        monkeypatch.setattr(module, "autocast", lambda device: torch.autocast("cpu", dtype=torch.bfloat16))
    watch = Watch()
    generator = fit(name, heart, watch.hooks)
    assert all(np.isfinite([*p.losses.values()]).all() for p in watch.steps)
    check_parity(generator, export(generator, heart.schema))


def test_a_fit_that_goes_on_from_a_checkpoint_ends_the_same(
    fit: Any, heart: Table, name: str, tmp_path: Path
) -> None:
    if not registry.trainer(name).info.resumable:
        pytest.skip(f"{name} does not resume")
    free = Watch()
    whole = graph_of(fit(name, heart, free.hooks), heart)
    for epochs in (1, free.steps[-1].total_steps - 1):
        folder = tmp_path / str(epochs)
        with pytest.raises(Stopped):
            fit(name, heart, Watch(stop_after=epochs, checkpoints=folder).hooks)
        resumed = Watch(checkpoints=folder)
        assert graph_of(fit(name, heart, resumed.hooks), heart) == whole
        assert [p.step for p in resumed.steps] == [p.step for p in free.steps[epochs:]]
        assert [p.losses for p in resumed.steps] == [p.losses for p in free.steps[epochs:]]


# --- determinism


def test_one_seed_is_one_generator(fit: Any, heart: Table, name: str) -> None:
    first, second = (graph_of(fit(name, heart, seed=2**64 - 1), heart) for _ in range(2))
    assert first == second


# --- tables


def strings(rng: np.random.Generator, values: list[str], n: int, nulls: float = 0.0) -> Array:
    valid = rng.random(n) >= nulls
    return Array.make(Storage.STRING, rng.integers(0, len(values), n), valid, values)


def nulls_everywhere(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    n = 300
    holes = [rng.random(n) > share for share in (0.2, 0.5, 0.9)]
    return {
        "a": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=n), holes[0])),
        "b": (Kind.INTEGER, Array.make(Storage.INT64, rng.integers(0, 90, n), holes[1])),
        "c": (Kind.CATEGORY, strings(rng, ["x", "y", "z"], n, nulls=0.4)),
        "d": (Kind.BOOLEAN, Array.make(Storage.BOOL, rng.random(n) < 0.3, holes[2])),
        "e": (Kind.DATE, Array.make(Storage.DATE, rng.integers(0, 9_000, n), holes[2])),
    }


def constants(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    n = 80
    return {
        "category": (Kind.CATEGORY, strings(rng, ["only"], n)),
        "whole": (Kind.INTEGER, Array.make(Storage.INT64, np.full(n, 42))),
        "real": (Kind.DECIMAL, Array.make(Storage.DOUBLE, np.full(n, 0.1))),
        "varies": (Kind.CATEGORY, strings(rng, ["x", "y"], n)),
    }


def one_number(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    return {"only": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.gamma(2.0, size=200)))}


def one_category(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    return {"only": (Kind.CATEGORY, strings(rng, ["a", "b", "c"], 200, nulls=0.1))}


def one_constant(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    return {"only": (Kind.CATEGORY, strings(rng, ["a"], 50))}


def twelve_rows(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    return {
        "a": (Kind.INTEGER, Array.make(Storage.INT64, rng.integers(20, 90, 12))),
        "b": (Kind.CATEGORY, Array.make(Storage.STRING, np.arange(12) % 2, None, ["no", "yes"])),
    }


def many_columns(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    base = rng.normal(size=60)
    cells = {
        f"n{i}": (Kind.DECIMAL, Array.make(Storage.DOUBLE, base + rng.normal(size=60))) for i in range(40)
    }
    return {**cells, **{f"c{i}": (Kind.CATEGORY, strings(rng, ["x", "y"], 60)) for i in range(40)}}


def every_storage(rng: np.random.Generator) -> dict[str, tuple[Kind, Array]]:
    n = 400
    year = 366 * DAY
    return {
        "date": (Kind.DATE, Array.make(Storage.DATE, rng.integers(-200_000, 200_000, n))),
        "past": (Kind.DATETIME, Array.make(Storage.DATETIME, -900 * year + rng.integers(0, year, n))),
        "future": (Kind.DATETIME, Array.make(Storage.DATETIME, 5_000 * year + rng.integers(0, DAY, n))),
        "stay": (Kind.DURATION, Array.make(Storage.DURATION, rng.integers(0, 90 * DAY, n) // 1000 * 1000)),
        "cents": (Kind.DECIMAL, Array.make(Storage.DECIMAL, rng.integers(-(10**12), 10**12, n))),
        "large": (Kind.INTEGER, Array.make(Storage.INT64, 2**62 + rng.integers(0, 10**6, n))),
        "tiny": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=n) * 1e-12)),
        "heavy": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.standard_cauchy(n) * 1e6)),
        "flag": (Kind.BOOLEAN, Array.make(Storage.BOOL, rng.random(n) < 0.1)),
        "level": (Kind.ORDINAL, Array.make(Storage.INT64, rng.integers(1, 6, n))),
        "code": (Kind.CODE, strings(rng, [f"I{i}" for i in range(9)], n, nulls=0.2)),
        "score": (Kind.CATEGORY, Array.make(Storage.DOUBLE, rng.integers(0, 3, n) / 2)),
    }


TABLES: dict[str, Callable[[np.random.Generator], dict[str, tuple[Kind, Array]]]] = {
    table.__name__: table
    for table in (
        nulls_everywhere,
        constants,
        one_number,
        one_category,
        one_constant,
        twelve_rows,
        many_columns,
        every_storage,
    )
}


def check_cells(table: Table, drawn: dict[str, Array]) -> None:
    """Drawn columns have the table's names, storages and ranges, and nulls only where it has some."""
    assert list(drawn) == list(table.arrays)
    for key, array in drawn.items():
        real = table.arrays[key]
        assert array.storage is real.storage
        assert array.valid is None or real.valid is not None
        if real.storage is Storage.STRING:
            assert {*array.strings()} <= {*real.strings()}
        else:
            seen = array.values[array.is_valid()]
            assert np.isfinite(seen).all()
            known = real.values[real.is_valid()]
            assert known.min() <= seen.min()
            assert seen.max() <= known.max()


@pytest.mark.parametrize("kind", TABLES)
def test_models_any_table_and_its_graph_agrees(fit: Any, build: Any, draw: Any, name: str, kind: str) -> None:
    table = build(TABLES[kind](np.random.default_rng(3)))
    generator = fit(name, table)
    check_parity(generator, export(generator, table.schema), rows=2048)
    check_cells(table, draw(generator, 500))


def test_nulls_come_back_at_their_share(fit: Any, build: Any, draw: Any, name: str) -> None:
    table = build(nulls_everywhere(np.random.default_rng(3)))
    drawn = draw(fit(name, table), 4_000)
    for key, array in drawn.items():
        share = 1 - table.arrays[key].is_valid().mean()
        assert abs((1 - array.is_valid().mean()) - share) < 0.08, key


def test_ten_thousand_categories_stay_small(fit: Any, build: Any, draw: Any, name: str) -> None:
    rng = np.random.default_rng(5)
    codes = np.concatenate([np.repeat(np.arange(10_000), 2), np.zeros(2_000, np.int64)])
    dictionary = [f"C{i:05}" for i in range(10_000)]
    table = build(
        {
            "code": (Kind.CODE, Array.make(Storage.STRING, codes, None, dictionary)),
            "flag": (Kind.BOOLEAN, Array.make(Storage.BOOL, rng.random(codes.size) < 0.5)),
        }
    )
    pytest.importorskip("torch", reason="needs torch")  # whose own memory is not meant
    before = peak_memory()
    generator = fit(name, table, min_patients=2, quick=BRIEF)
    exported = export(generator, table.schema)
    assert peak_memory() - before < 600 << 20
    assert len(exported.graph) < 16 << 20
    check_parity(generator, exported, rows=1024)
    drawn = draw(generator, 20_000)["code"].values
    assert np.unique(drawn).size > 5_000
    assert abs(np.mean(drawn == 0) - 2_002 / 22_000) < 0.03


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- privacy and publication


def test_what_one_patient_holds_is_nowhere(
    fit: Any, build: Any, draw: Any, name: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(9)
    n = 400
    number = np.append(rng.normal(100, 5, n - 1), 31_415.926_535)
    codes = np.append(rng.integers(0, 3, n - 1), 3)
    table = build(
        {
            "value": (Kind.DECIMAL, Array.make(Storage.DOUBLE, number)),
            "code": (Kind.CODE, Array.make(Storage.STRING, codes, None, ["A", "B", "C", "PLANTED"])),
        }
    )
    watch = Watch()
    generator = fit(name, table, watch.hooks)
    path = publish(name, generator, table, tmp_path)
    data = path.read_bytes()
    assert b"PLANTED" not in data
    assert number[-1:].astype("<f8").tobytes() not in data
    assert number[-1:].astype("<f4").tobytes() not in data
    drawn = draw(generator, 20_000)
    assert "PLANTED" not in drawn["code"].strings()
    assert drawn["value"].values.max() < 150


def publish(name: str, generator: Generator, table: Table, folder: Path) -> Path:
    info = registry.trainer(name).info
    path = folder / "model.kohort"
    statement = "Trained without differential privacy."
    privacy = {
        "differentially_private": False,
        "epsilon": None,
        "delta": None,
        "min_patients_per_value": 5,
        "statement": statement,
    }
    export_bundle(generator, Schema((table.schema,)), info, info.resolve({}), 1, privacy, [], {}, path)
    return path


def test_published_and_sampled_offline(fit: Any, heart: Table, name: str, tmp_path: Path) -> None:
    path = publish(name, fit(name, heart), heart, tmp_path)
    program = read_bundle(path).program()
    batches = list(program.units(SampleSpec(seed=11), 1_000, 1_500))
    drawn = {key: Array.concat([batch.arrays[key] for batch in batches]) for key in heart.arrays}
    check_cells(heart, drawn)
    assert len(drawn["age"]) == 1_500
    again = list(program.units(SampleSpec(seed=11), 2_000, 100))
    ages = np.concatenate([batch.arrays["age"].values for batch in again])
    assert ages.tolist() == drawn["age"].values[1_000:1_100].tolist()
