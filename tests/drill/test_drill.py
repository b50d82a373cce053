"""The drill once, and that its own instruments can tell good from bad."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from examples.local_server import ROOT
from tests.core.support import alive, lives, unavailable, until
from tests.drill.journal import Journal
from tests.drill.network import Machine, Switch, cut, missing
from tests.drill.run import run


@pytest.fixture
def possible() -> None:
    if lacks := missing():
        unavailable(lacks)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("possible")
def test_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    outcome = run(seed=1, say=print, keep=tmp_path)
    print(outcome)
    assert outcome.wrongs == ()
    assert outcome.faults == 11
    # Four of them take a job from its worker, one takes a front end from its clients.
    assert outcome.lost >= 4
    assert outcome.resumes >= 2


@pytest.mark.usefixtures("possible")
def test_machines_talk_until_the_way_is_cut_and_again_when_it_is_mended() -> None:
    look = (
        "import socket\ntry:\n  socket.create_connection(('{}', 7000), 0.5).close()\n  print('open')\n"
        "except OSError:\n  print('shut')"
    )
    serve = "import socket, time\ns = socket.create_server(('', 7000))\ntime.sleep(600)"
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        one, other = (stack.enter_context(Machine(name, number)) for name, number in (("a", 1), ("b", 2)))
        for machine in (one, other):
            switch.join(machine)
        process = one.start([sys.executable, "-c", serve], subprocess.DEVNULL, {}, ROOT)

        def sees() -> bool:
            return other.do(sys.executable, "-c", look.format(one.address)) == "open\n"

        until(sees, "the machine to answer")
        with cut(one, other):
            assert not sees()
        until(sees, "the way to be mended")
        switch.unplug(one)
        assert not sees()
        switch.plug(one)
        until(sees, "the cable to carry again")
        (program,) = one.programs()
        assert program.cmdline()[1] == "-c"
    until(lambda: not alive(program), "the machine's programs to end with it")
    assert process.popen.wait(30) != 0


@pytest.mark.usefixtures("possible")
def test_machines_end_with_whoever_made_them() -> None:
    make = (
        "import os\nfrom tests.drill.network import Machine\n"
        "with Machine('a', 1) as machine:\n"
        "  print(machine._init, flush=True)\n  os.kill(os.getpid(), 9)"
    )
    made = subprocess.run([sys.executable, "-c", make], cwd=ROOT, capture_output=True, check=False)
    until(lambda: not lives(int(made.stdout)), "the machine to end")


def journal(folder: Path, *notes: dict[str, Any]) -> Journal:
    path = folder / "notes"
    path.write_text("".join(json.dumps(note) + "\n" for note in notes))
    return Journal(path)


def watched(*sequences: int, state: str = "succeeded") -> list[dict[str, Any]]:
    of = {"job": "jobs/1", "watcher": "w"}
    events = [{"what": "event", **of, "sequence": n} for n in sequences]
    return [{"what": "watching", **of}, *events, {"what": "over", **of, "state": state}]


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        ((1, 2, 3), ""),
        ((1, 3), "never [2]"),
        ((1, 2, 2, 3), "twice [2]"),
        ((2, 1, 3), "out of order"),
        ((1, 2), "never [3]"),
    ],
)
def test_a_watcher_must_see_every_event_once_and_in_order(
    tmp_path: Path, sequences: tuple[int, ...], said: str
) -> None:
    found = list(journal(tmp_path, *watched(*sequences)).wrongs({"jobs/1": "succeeded"}, {"jobs/1": 3}))
    assert bool(found) is bool(said)
    assert said in "".join(found)


def test_other_states_rows_jobs_and_failures_are_found(tmp_path: Path) -> None:
    sample = {"what": "sampled", "model": "m", "units": 10, "seed": 1, "rows": 10}
    notes = journal(
        tmp_path,
        *watched(1, state="failed"),
        {"what": "submitted", "key": 1, "job": "jobs/1"},
        {"what": "repeated", "key": 1, "job": "jobs/2"},
        {**sample, "digest": "a"},
        {**sample, "digest": "b"},
        {**sample, "seed": 2, "rows": 9, "digest": "c"},
        {"what": "failed", "command": {}, "error": "no"},
    )
    found = " ".join(notes.wrongs({"jobs/1": "succeeded"}, {"jobs/1": 1}))
    for said in ("saw it end", "another job", "samples differ", "9 rows", "work failed"):
        assert said in found
