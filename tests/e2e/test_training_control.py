"""What a running job can be told and what it keeps: time, memory, crashes, the choice of a trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kohort
from tests.core.support import until
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server, training_child
from tests.e2e.loop_trainer import GATE

LOOP = {"KOHORT_TRAINERS": "loop=tests.e2e.loop_trainer:LoopTrainer"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("control")
    env = {**LOOP, GATE: str(folder / "gate")}
    found = Server(folder, "--devices", "cpu:2", "--heartbeat-seconds", "0.5", env=env).start()
    yield found
    assert found.stop() == 0, found.log()


@pytest.fixture
def client(server: Server) -> Iterator[kohort.Client]:
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def heart(server: Server) -> Any:
    with server.client() as client:
        return client.upload(HEART, table="heart")


@pytest.fixture
def gate(server: Server) -> Iterator[Path]:
    """The file that makes trainings wait, closed after 24 steps: six epochs of the table."""
    path = server.data / "gate"
    path.write_text("24")
    yield path
    path.unlink(missing_ok=True)


def warnings(job: kohort.Job) -> dict[str, str]:
    return {e.detail.reason: e.detail.message for e in job.events() if isinstance(e.detail, kohort.Finding)}


def epochs_of(job: kohort.Job) -> int:
    made = job.refresh().progress
    return made.step if made else 0


def seconds_of(job: kohort.Job) -> float:
    info = job.refresh()
    assert info.start_time is not None
    assert info.end_time is not None
    return (info.end_time - info.start_time).total_seconds()


def reports(job: kohort.Job) -> list[kohort.Progress]:
    return [e.detail for e in job.events() if isinstance(e.detail, kohort.Progress)]


@pytest.mark.slow
def test_a_child_killed_in_training_gives_the_model_of_an_uninterrupted_run(
    server: Server, client: kohort.Client, heart: Any, gate: Path
) -> None:
    job = client.train(heart, trainer="loop", seed=7, epochs=40)
    until(lambda: epochs_of(job) > 2, "some epochs", 120)
    training_child(server).kill()
    gate.unlink()
    model = job.result()
    assert job.refresh().attempt == 2
    events = [event for event in job.events() if isinstance(event.detail, kohort.Progress)]
    again = [event.detail.step for event in events if event.attempt == 2]
    assert again == sorted(again)
    assert again[0] > 1, "the second attempt began anew"
    whole = client.train(heart, trainer="loop", seed=7, epochs=40).result()
    assert model.info.content_digest == whole.info.content_digest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_when_max_runtime_is_over_the_best_model_so_far_is_published(
    client: kohort.Client, heart: Any
) -> None:
    # What all but training takes on this machine now must fit in the tenth that is kept for it.
    brief = client.train(heart, trainer="loop", seed=1, epochs=1)
    brief.result()
    limit = max(20.0, 6 * seconds_of(brief))
    job = client.train(heart, trainer="loop", seed=1, epochs=1_000_000, max_runtime=limit)
    model = job.result()
    assert "STOPPED_EARLY" in {finding.reason for finding in model.info.findings}
    assert "of 1000000 epochs" in warnings(job)["STOPPED_EARLY"]
    assert limit / 2 < seconds_of(job) < 3 * limit
    info = job.refresh()
    assert info.progress is not None
    assert info.progress.step == info.progress.total_steps, "no more epochs are planned"
    assert len(client.sample(model, 50, seed=1)) == 50


@pytest.mark.slow
def test_a_job_that_got_nowhere_in_its_time_fails(client: kohort.Client, heart: Any) -> None:
    job = client.train(heart, trainer="loop", seed=1, epochs=10, pause=10, max_runtime=4)
    with pytest.raises(kohort.JobFailed) as failure:
        job.result()
    assert failure.value.reason == "MAX_RUNTIME_EXCEEDED"


def test_reports_tell_losses_gradients_speed_and_that_the_batch_was_halved(
    client: kohort.Client, heart: Any
) -> None:
    job = client.train(heart, trainer="loop", seed=1, epochs=5, fits=20)
    model = job.result()
    last = reports(job)[-1]
    assert (last.step, last.total_steps) == (5, 5)
    assert set(last.losses) == {"loss"}
    assert last.gradient_norm > 0
    assert last.rows_per_second > 0
    assert "BATCH_HALVED" in {finding.reason for finding in model.info.findings}
    assert warnings(job)["BATCH_HALVED"].endswith("16 rows per step instead of 64")


def test_auto_says_what_it_chose_and_the_model_is_that_trainers(client: kohort.Client, heart: Any) -> None:
    job = client.train(heart, trainer="auto", seed=1)
    model = job.result()
    said = warnings(job)["TRAINER_CHOSEN"]
    assert model.info.trainer == said.partition(":")[0] != "auto"
    assert "rows to learn from, 14 columns" in said
    assert model.info.parameters == _defaults(client, model.info.trainer)
    assert "TRAINER_CHOSEN" in {finding.reason for finding in model.info.findings}
    assert job.refresh().trainer == "auto"


def _defaults(client: kohort.Client, name: str) -> dict[str, Any]:
    (info,) = [trainer for trainer in client.capabilities().trainers if trainer.name == name]
    return {parameter.name: parameter.default for parameter in info.parameters}


@pytest.mark.slow
def test_two_slots_train_side_by_side(client: kohort.Client, heart: Any, gate: Path) -> None:
    jobs = [client.train(heart, trainer="loop", seed=seed, epochs=10) for seed in (1, 2)]
    until(lambda: all(epochs_of(job) for job in jobs), "both to have begun", 120)
    now = [job.refresh() for job in jobs]
    assert {info.state for info in now} == {"running"}
    assert {info.device for info in now} == {"cpu:0", "cpu:1"}
    gate.unlink()
    for job in jobs:
        job.result()
