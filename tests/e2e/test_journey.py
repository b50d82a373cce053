"""Every trainer of the registry, through the whole journey: train, sample, offline, CLI, cancel, resume."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kohort
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server
from trainers.registry import trainers

# Each brings something of its own: conditions, forests, delegation, no torch, an adversary, one from outside.
FIRST = ("argn", "arf", "auto", "copula", "ctgan", "dummy", "slow")
TRAINERS = [
    pytest.param(name, marks=[] if name in FIRST else pytest.mark.slow) for name in [*trainers(), "slow"]
]


def parameters(trainer: str, epochs: int, steps: int) -> dict[str, int]:
    """How long a trainer takes, for those that can be told; what the GANs begin with stays brief."""
    if trainer == "slow":
        return {"steps": steps}
    return {name: epochs for name in ("epochs", "pretrain_epochs") if name in known(trainer)}


def known(trainer: str) -> set[str]:
    """The names of a trainer's parameters."""
    if trainer == "slow":  # known to the server alone
        return {"steps"}
    return {parameter.name for parameter in trainers()[trainer].info.parameters}


class Models(dict[str, kohort.Model]):
    """Models by trainer, each trained when it is first asked for."""

    def __init__(self, server: Server, dataset: str) -> None:
        super().__init__()
        self._server, self._dataset = server, dataset

    def __missing__(self, trainer: str) -> kohort.Model:
        with self._server.client() as client:
            job = client.train(self._dataset, trainer=trainer, seed=1, **parameters(trainer, 3, 2))
            self[trainer] = job.result()
        return self[trainer]


def cli(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kohort.cli", "--server", server.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def dataset(shared: Server) -> str:
    with shared.client() as client:
        return client.upload(pd.read_csv(HEART), table="heart", display_name="heart").name


@pytest.fixture(scope="module")
def models(shared: Server, dataset: str) -> Models:
    return Models(shared, dataset)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_train_tells_its_story(shared: Server, models: Models, trainer: str) -> None:
    with shared.client() as client:
        job = client.job(models[trainer].info.job)
        events = list(job.events())
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    states = [e.detail.state for e in events if isinstance(e.detail, kohort.StateChanged)]
    assert states == ["queued", "running", "succeeded"]
    phases = [e.detail.phase for e in events if isinstance(e.detail, kohort.PhaseStarted)]
    assert phases[0] == "preparing"
    assert [p for p in phases if p in ("exporting", "verifying", "publishing")] == [
        "exporting",
        "verifying",
        "publishing",
    ]
    assert "NO_DIFFERENTIAL_PRIVACY" in {
        e.detail.reason for e in events if isinstance(e.detail, kohort.Finding)
    }
    assert any(isinstance(e.detail, kohort.Progress) for e in events)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_samples_look_like_the_table(shared: Server, models: Models, trainer: str) -> None:
    real = pd.read_csv(HEART)
    with shared.client() as client:
        frame = client.sample(models[trainer], 2000, seed=5)
    assert list(frame.columns) == list(real.columns)
    assert dict(frame.dtypes) == dict(real.dtypes)
    for column in real:
        low, high = real[column].min(), real[column].max()
        assert frame[column].dropna().between(low, high).all(), column
    assert (frame["oldpeak"] * 10).round(6).mod(1).eq(0).all()
    assert frame.duplicated().mean() < 0.5


@pytest.mark.parametrize("trainer", TRAINERS)
def test_any_part_from_anywhere_is_the_same(
    shared: Server, models: Models, trainer: str, tmp_path: Path
) -> None:
    with shared.client() as client:
        whole = client.sample(models[trainer], 3000, seed=9)
        again = client.sample(models[trainer], 3000, seed=9)
        parts = [
            client.sample(models[trainer], n, seed=9, start=s) for s, n in ((0, 1), (1, 1500), (1501, 1499))
        ]
        other = client.sample(models[trainer], 3000, seed=10)
        key = client.capabilities().signing_key
        bundle = client.download(models[trainer], tmp_path / "m.kohort")
    pd.testing.assert_frame_equal(whole, again)
    pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True))
    assert not whole.equals(other)
    with pytest.warns(UserWarning, match="unverified"):
        kohort.load(bundle)
    local = kohort.load(bundle, trusted_keys=[key])
    assert local.trust == "verified"
    pd.testing.assert_frame_equal(whole, local.sample(3000, seed=9))
    pd.testing.assert_frame_equal(
        whole.iloc[700:2700].reset_index(drop=True), local.sample(2000, seed=9, start=700)
    )


@pytest.mark.parametrize("trainer", TRAINERS)
def test_command_line(shared: Server, models: Models, trainer: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    run = cli(shared, "sample", models[trainer].name, "500", "--seed", "3", "-o", str(out))
    assert run.returncode == 0, run.stderr
    with shared.client() as client:
        expected = client.sample(models[trainer], 500, seed=3)
    read = pd.read_csv(out)
    assert list(read.columns) == list(expected.columns)
    for column in read:
        np.testing.assert_allclose(
            read[column].to_numpy(float), expected[column].to_numpy(float), equal_nan=True
        )
    listed = json.loads(cli(shared, "--json", "capabilities").stdout)
    assert trainer in {t["name"] for t in listed["trainers"]}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_cancel(shared: Server, dataset: str, trainer: str) -> None:
    long = parameters(trainer, 10_000, 5_000)
    if "patience" in known(trainer):
        long["patience"] = 0  # or it may end before the cancel comes
    with shared.client() as client:
        job = client.train(dataset, trainer=trainer, seed=2, **long)
        if long:
            next(e for e in job.events() if isinstance(e.detail, kohort.Progress))
        job.cancel()
        if not long:  # Too quick to be caught for sure: it ends either way, once.
            with contextlib.suppress(kohort.JobCancelled):
                job.result()
            assert job.refresh().state in ("cancelled", "succeeded")
            return
        with pytest.raises(kohort.JobCancelled):
            job.result()
        assert job.refresh().state == "cancelled"
        job.cancel()  # Safe to repeat.
        assert client.job(job.name).state == "cancelled"


def test_same_seed_same_model(shared: Server, dataset: str, models: Models) -> None:
    with shared.client() as client:
        again = client.train(dataset, trainer="copula", seed=1).result()
        other = client.train(dataset, trainer="copula", seed=2).result()
    assert again.info.content_digest == models["copula"].info.content_digest
    assert again.name != models["copula"].name
    assert other.info.content_digest != again.info.content_digest


def test_a_frame_comes_back_as_it_went(shared: Server) -> None:
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(n // 2), 2),
            "born": pd.to_datetime(rng.integers(-1_500_000_000, 900_000_000, n), unit="s").normalize(),
            "seen": (rng.integers(26_000_000_000, 27_000_000_000, n) * 1_000_000).astype("datetime64[us]"),
            "smoker": pd.array(rng.choice([True, False, None], n), dtype="boolean"),
            "weight": np.round(rng.normal(70, 12, n), 2).astype("float32"),
            "parity": pd.array(rng.choice([0, 1, 2, 3, None], n), dtype="Int16"),
            "ward": pd.Categorical(rng.choice(["A", "B", "Ç"], n)),
            "stay": pd.to_timedelta(rng.integers(1, 30, n), unit="D"),
        }
    )
    with shared.client() as client:
        dataset = client.upload(frame, table="stays", subject_key="patient")
        job = client.train(dataset, trainer="copula", seed=1)
        model = job.result()
        reasons = {e.detail.reason for e in job.events() if isinstance(e.detail, kohort.Finding)}
        sample = client.sample(model, 1000, seed=1)
    assert "LONGITUDINAL_STRUCTURE_LOST" in reasons
    assert dict(sample.dtypes) == dict(frame.dtypes)
    assert sample["patient"].is_unique
    assert set(sample["ward"].unique()) <= set(frame["ward"].unique())
    assert sample["seen"].between(frame["seen"].min(), frame["seen"].max()).all()
    assert 0 < sample["smoker"].isna().mean() < 1
