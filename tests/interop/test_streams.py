"""Long streams and long silences: memory stays flat, connections live, a drain loses nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from drivers import Driver, Outcome, Together
from real import ANSWER, HEART, Real, busy
from wires import Meter

import kohort

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

MEBIBYTE = 1 << 20
FEW, MANY = 20_000, 800_000
GROWTH = 48 * MEBIBYTE
SLOW = 100_000
"""Bytes a second: the samples that a drain meets would take a minute."""
LONG = 240
IDLE = 100
"""Seconds: three intervals of the default keepalive and some more."""


@dataclass(frozen=True)
class Silence:
    """Drivers that say nothing, each on a wire of its own."""

    running: Together
    wires: dict[str, Meter]
    early: dict[str, int]
    """By language the pings of its first seconds, before the silence."""


@pytest.mark.parametrize("how", ["batches", "rows", "csv"])
def test_a_hundred_megabytes_pass_in_bounded_memory(
    drive: Driver, real: Real, how: str, tmp_path: Path
) -> None:
    wire = Meter(real.address("plain"))
    rows = MANY if how == "batches" else MANY // 4
    read = ("read", wire.address, real.model, 0)
    small, base = drive.peak(tmp_path / "few", *read, FEW, 1, how)
    before = wire.received
    large, peak = drive.peak(tmp_path / "many", *read, rows, 1, how, timeout=LONG)
    assert (small["rows"], large["rows"]) == ({"heart": str(FEW)}, {"heart": str(rows)})
    assert large["streams"] == 1
    assert wire.received - before > 100 * MEBIBYTE * rows / MANY
    assert peak - base < GROWTH, f"{base >> 20} MiB for a few rows, {peak >> 20} MiB for many"
    wire.close()


@pytest.fixture(scope="module")
def silence(fleet: dict[str, Driver], real: Real) -> Silence:
    """All languages between two calls, `IDLE` seconds apart; other tests pass the time."""
    wires = {language: Meter(real.address("plain")) for language in fleet}
    running = Together(fleet, lambda drive: drive("idle", wires[drive.language].address, real.model, IDLE))
    running.under_way(lambda: all(wire.received for wire in wires.values()))
    time.sleep(5)
    return Silence(running, wires, {language: wire.pings for language, wire in wires.items()})


def test_a_drain_loses_no_row_and_no_event(
    fleet: dict[str, Driver], real: Real, silence: Silence, tmp_path: Path
) -> None:
    units, seed = 40_000, 3
    lease = ("--lease-seconds", "4", "--heartbeat-seconds", "0.5")
    server = real.another(tmp_path, "--drain-grace-seconds", "0.5", *lease)
    with server:
        with server.client() as client:
            dataset = client.upload(HEART, table="heart")
        address = server.address
        wires = {language: Meter(address, pace=SLOW) for language in fleet}
        others = {language: Meter(address) for language in fleet}

        def sample(drive: Driver) -> Outcome:
            return drive("sample", wires[drive.language].address, real.model, 0, units, seed, timeout=LONG)

        def follow(drive: Driver) -> Outcome:
            return drive("follow", others[drive.language].address, job, 0, timeout=LONG)

        # The job waits for the language that takes the longest to begin, and is under way at the drain.
        with server.client() as client:
            with busy(client):
                job = client.train(dataset, "slow", seed=1, steps=80).name
                paced = Together(fleet, sample)
                follows = Together(fleet, follow)
                paced.under_way(lambda: all(wire.received > 2 * SLOW for wire in wires.values()))
                follows.under_way(lambda: all(wire.received > ANSWER for wire in others.values()))
            next(e for e in client.job(job).events() if isinstance(e.detail, kohort.Progress))
        assert server.stop() == 0, server.log()
        server.start()
        assert server.address == address
        for wire in wires.values():
            wire.pace = None
        expected = real.cells(0, units, seed)
        for language, outcome in paced.outcomes().items():
            assert outcome.value["tables"] == expected, language
            assert outcome.value["streams"] >= 2, f"{language} had read all before the drain"
        with server.client() as client:
            client.job(job).wait()
            events = len(list(client.job(job).events()))
        for language, outcome in follows.outcomes().items():
            reading = outcome.value
            assert (reading["events"], reading["sequences"]) == (events, [1, events]), language
            assert reading["state"] == "SUCCEEDED"


def test_a_connection_outlives_silence(silence: Silence, real: Real) -> None:
    for language, outcome in silence.running.outcomes().items():
        wire = silence.wires[language]
        assert outcome.value == {"model": real.model}
        assert wire.connections == 1, f"{language} had to connect again"
        assert wire.pings - silence.early[language] >= 2, f"{language} sends no pings"
        wire.close()
    assert "too_many_pings" not in real.servers["plain"].log()
