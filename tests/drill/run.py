"""`python -m tests.drill.run --times 10`: the drill again and again, each time in another order."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.drill import checks
from tests.drill.cluster import Cluster
from tests.drill.faults import Drill
from tests.drill.network import missing


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    seed: int
    seconds: float
    faults: int
    lost: int
    """Attempts whose worker was lost, or lost its lease."""
    fetched: int
    """Later attempts that began with a checkpoint which another machine had sent."""
    resumes: int
    """Streams that clients opened again where they broke."""
    insisted: int
    """Calls that clients made again after the SDK's own tries, under the same request id."""
    events: int
    """That watchers saw."""
    orphans: int
    """Blobs of attempts that lost, which the janitor removed."""
    wrongs: tuple[str, ...]

    def __str__(self) -> str:
        told = "ok" if not self.wrongs else f"{len(self.wrongs)} WRONG"
        return (
            f"seed {self.seed:3}: {told}, {self.seconds:5.1f} s, {self.faults} faults, "
            f"{self.lost} attempts lost, {self.fetched} checkpoints fetched, "
            f"{self.resumes} streams resumed, {self.insisted} calls repeated, "
            f"{self.events} events watched, {self.orphans} orphaned blobs swept"
        )


def run(seed: int, say: Callable[[str], None] = lambda _: None, keep: Path | None = None) -> Outcome:
    """One drill.

    Args:
        seed: of the order of faults and what they hit.
        say: takes lines that tell what happens.
        keep: where to put logs and notes.
    """
    begun = time.monotonic()

    def told(line: str) -> None:
        say(f"{time.monotonic() - begun:6.1f} s  {line}")

    with Cluster() as cluster:
        drill = Drill(cluster, seed, told)
        wrongs: list[str] = []
        found: dict[str, list[str]] = {"before": [], "after": []}
        try:
            told("everything runs")
            drill.submit_next(held=3, quick=1)
            drill.await_submissions()
            _both(drill, *drill.lanes())
            for key in list(drill.held):
                drill.release(key)
            drill.await_ends()
            told("every job is over")
            for client in cluster.clients:
                cluster.stop(client)
            found = checks.swept(cluster)
            wrongs += checks.wrongs_of_records(cluster, drill)
            wrongs += checks.wrongs_of_clients(cluster, drill)
            wrongs += checks.wrongs_of_blobs(cluster, found)
            wrongs += checks.wrongs_of_fronts(cluster, drill)
            wrongs += checks.wrongs_of_processes(cluster)
            wrongs += checks.wrongs_of_logs(cluster)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            wrongs.append(f"{type(error).__name__}: {error}")
        finally:
            if keep is not None:
                _keep(cluster, keep / f"seed-{seed}", wrongs)
        journals = drill.journals.values()
        lost = [max(attempt - 1, 0) for (attempt,) in cluster.rows("SELECT attempt FROM jobs")]
        return Outcome(
            seed,
            time.monotonic() - begun,
            drill.faults,
            sum(lost),
            sum(cluster.said(worker).count('"checkpoint fetched"') for worker in cluster.workers),
            sum(journal.resumes() for journal in journals),
            sum(len(journal.notes("insisted")) for journal in journals),
            sum(len(journal.notes("event")) for journal in journals),
            len(found["before"]) - len(found["after"]),
            tuple(wrongs),
        )


def _both(drill: Drill, workers: Iterable[Callable[[], None]], others: Iterable[Callable[[], None]]) -> None:
    """Both lanes; the first that fails ends the other."""
    failed: list[BaseException] = []  # the first is why, what follows only gave up

    def beside() -> None:
        try:
            drill.go_through(workers)
        except BaseException as error:
            failed.append(error)
            drill.give_up()

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        # On the main thread: the object store ends with the thread that starts it.
        drill.go_through(others)
    except BaseException as error:
        failed.append(error)
        drill.give_up()
    thread.join()
    if failed:
        raise failed[0]


def _keep(cluster: Cluster, folder: Path, wrongs: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("log", "notes"):
        shutil.copytree(cluster.folder / name, folder / name)
    shutil.copyfile(cluster.folder / "db" / "log", folder / "log" / "database.log")
    (folder / "wrong").write_text("\n".join(wrongs) + "\n", encoding="utf-8")


def _print(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill.run", description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="how many runs")
    parser.add_argument("--seed", type=int, default=1, help="of the first; each further one has the next")
    parser.add_argument("--verbose", action="store_true", help="tell what happens")
    parser.add_argument("--keep", type=Path, default=None, help="where logs and notes go")
    flags = parser.parse_args()
    if lacks := missing():
        sys.stderr.write(f"{lacks}\n")
        return 2
    # As Ctrl-C does: nothing of a run that is ended is left.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    outcomes = []
    for seed in range(flags.seed, flags.seed + flags.times):
        outcome = run(seed, _print if flags.verbose else lambda _: None, flags.keep)
        print(outcome, flush=True)
        for wrong in outcome.wrongs:
            print(f"  {wrong}", flush=True)
        outcomes.append(outcome)
    well = sum(not outcome.wrongs for outcome in outcomes)
    print(
        f"{well} of {len(outcomes)} runs in a row ended as they must: "
        f"{sum(o.faults for o in outcomes)} faults, {sum(o.lost for o in outcomes)} attempts lost, "
        f"{sum(o.fetched for o in outcomes)} checkpoints fetched, "
        f"{sum(o.resumes for o in outcomes)} streams resumed, {sum(o.seconds for o in outcomes):.0f} s"
    )
    return 0 if well == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
