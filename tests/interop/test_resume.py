"""Broken streams go on where they broke: the same cells, the same events, one dataset."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import golden
import pytest
from drivers import Driver, Together
from fake import Fake
from real import ANSWER, HEART, Real, busy
from wires import Meter

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

UNITS, SEED = 20_000, 11
CUTS = 4


def test_a_sample_is_resumed_from_the_last_whole_unit(drive: Driver, fake: Fake) -> None:
    name = f"models/torn.{drive.language}"
    reading = drive("sample", fake.addresses["plain"], name, 0, golden.UNITS, -9).value
    assert reading["tables"] == golden.texts(0, golden.UNITS)
    assert (reading["streams"], reading["units"]) == (3, str(golden.UNITS))
    asked = [call.request for call in fake.calls.of(name)]
    step = golden.UNITS_PER_BATCH
    stretches = [(r.start_unit, r.start_unit + r.unit_count) for r in asked]
    assert stretches == [(0, golden.UNITS), (step, golden.UNITS), (2 * step, golden.UNITS)]
    assert [r.seed for r in asked] == [-9] * 3
    assert [r.runtime_fingerprint for r in asked] == ["", "golden/1", "golden/1"]
    assert len({call.request_id for call in fake.calls.of(name)}) == 1


def test_a_break_after_the_last_row_costs_nothing(drive: Driver, fake: Fake) -> None:
    name = f"models/untailed.{drive.language}"
    reading = drive("read", fake.addresses["plain"], name, 0, 100, 1, "batches").value
    assert (reading["streams"], reading["rows"]["patients"]) == (1, "100")
    assert len(fake.calls.of(name)) == 1


@pytest.mark.parametrize("transport", ["plain", "tls", "mtls"])
def test_a_sample_survives_cuts_anywhere(drive: Driver, real: Real, transport: str) -> None:
    draw = random.Random(f"{drive.language} {transport}")
    # As many bytes as the sample has: the model's rows take more than 60 each.
    cuts = sorted(draw.randrange(2_000, 60 * UNITS) for _ in range(CUTS))
    wire = Meter(real.address(transport), cuts=cuts)
    words = ("sample", wire.address, real.model, 0, UNITS, SEED)
    reading = drive(*words, **real.reach(transport)).value
    assert reading["tables"] == real.cells(0, UNITS, SEED), f"cut at {cuts}"
    assert wire.cuts >= 2
    assert reading["streams"] >= 2
    assert reading["next_unit"] == str(UNITS)
    wire.close()


def test_conditions_hold_across_cuts(drive: Driver, real: Real) -> None:
    wire = Meter(real.address("plain"), cuts=[100_000, 300_000])
    words = ("ward", "日本語", "age", "40", "70")
    reading = drive("sample", wire.address, real.model, 3, UNITS // 4, SEED, *words).value
    assert reading["tables"] == real.cells(3, UNITS // 4, SEED, ward="日本語", age=(40, 70))
    assert reading["streams"] >= 2
    wire.close()


def test_a_job_is_followed_through_cuts(fleet: dict[str, Driver], real: Real) -> None:
    wires = {language: Meter(real.address("plain")) for language in fleet}
    draw = random.Random(4)
    with real.servers["plain"].client() as client:
        dataset = client.upload(HEART, table="heart")

        def cut() -> bool:
            time.sleep(draw.uniform(0.3, 0.9))
            for wire in wires.values():
                if wire.received > ANSWER:  # else it may never get one
                    wire.cut()
            return all(wire.connections >= 3 for wire in wires.values())

        with busy(client):  # The job waits for the language that takes the longest to begin.
            job = client.train(dataset, "slow", seed=1, steps=50)
            running = Together(
                fleet, lambda drive: drive("follow", wires[drive.language].address, job.name, 0)
            )
            running.under_way(cut)
        while not job.refresh().state.terminal:
            cut()
        events = len(list(job.events()))
    for language, outcome in running.outcomes().items():
        reading = outcome.value
        # Contiguous: neither lost nor told twice.
        assert (reading["events"], reading["sequences"]) == (events, [1, events]), language
        assert reading["state"] == "SUCCEEDED"
        wires[language].close()


def table(file: Path) -> bytes:
    """Writes some megabytes of CSV; their digest."""
    file.write_text("id,size\n" + "".join(f"{i},{i % 251}\n" for i in range(400_000)))
    return hashlib.sha256(file.read_bytes()).digest()


def test_an_upload_whose_answer_is_lost_is_repeated_and_stored_once(
    drive: Driver, fake: Fake, tmp_path: Path
) -> None:
    digest = table(tmp_path / "visits.csv")
    name = f"lost.{drive.language}"
    reading = drive("upload", fake.addresses["plain"], tmp_path / "visits.csv", name).value
    assert (reading["rows"], reading["digest"]) == ("400000", digest.hex())
    first, second = fake.calls.of(name)
    assert first.request == second.request, "the same request id, digests and schema"
    assert first.request_id == second.request_id


def test_an_upload_through_a_cut_is_stored_once(drive: Driver, real: Real, tmp_path: Path) -> None:
    table(tmp_path / "visits.csv")
    wire = Meter(real.address("plain"), sent_cuts=[1_500_000, 4_000_000])
    name = f"visits_{drive.language}"
    reading = drive("upload", wire.address, tmp_path / "visits.csv", name).value
    assert wire.cuts == 2
    assert reading["rows"] == "400000"
    with real.servers["plain"].client() as client:
        (stored,) = [one for one in client.datasets() if name in one.info.row_counts]
    assert (stored.name, stored.info.digest) == (reading["dataset"], reading["digest"])
    wire.close()
