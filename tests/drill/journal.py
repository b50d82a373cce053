"""What clients noted, read back while they go on, and what must be true of it in the end."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Note = dict[str, Any]


class Journal:
    """The notes of one client, see `tests.drill.client`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._notes: list[Note] = []
        self._lock = threading.Lock()

    def notes(self, what: str = "", **facts: Any) -> list[Note]:
        """Those so far of that kind and with these facts."""
        self._catch_up()
        return [
            note
            for note in self._notes
            if what in ("", note["what"]) and all(note.get(k) == v for k, v in facts.items())
        ]

    def __len__(self) -> int:
        self._catch_up()
        return len(self._notes)

    def since(self, place: int, what: str) -> list[Note]:
        """Those of that kind after a place, which `len` gives."""
        self._catch_up()
        return [note for note in self._notes[place:] if note["what"] == what]

    def _catch_up(self) -> None:
        with self._lock:
            if not self._path.exists():
                return
            with self._path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]  # the last line may be half written
            self._read += len(whole)
            self._notes += [json.loads(line) for line in whole.splitlines()]

    # What must be true

    def wrongs(self, states: dict[str, str], last: dict[str, int]) -> Iterator[str]:
        """What is not as it must be, given each job's state and last sequence by the database."""
        for note in self.notes("failed"):
            yield f"a client's work failed: {note['command']}: {note['error']}"
        seen: dict[tuple[str, str], list[int]] = defaultdict(list)
        for note in self.notes("event"):
            seen[note["job"], note["watcher"]].append(note["sequence"])
        for note in self.notes("watching"):
            job, watcher = note["job"], note["watcher"]
            if seen[job, watcher] != list(range(1, last[job] + 1)):
                yield f"a watcher of {job} saw {_odd(seen[job, watcher], last[job])}"
            over = self.notes("over", job=job, watcher=watcher)
            if [o["state"] for o in over] != [states[job]]:
                yield f"a watcher of {job} saw it end as {over}"
        for note in self.notes("repeated"):
            if [n["job"] for n in self.notes("submitted", key=note["key"])] != [note["job"]]:
                yield f"the repeat of request {note['key']} made another job"
        digests: dict[tuple[str, int, int], set[str]] = defaultdict(set)
        for note in self.notes("sampled"):
            digests[note["model"], note["units"], note["seed"]].add(note["digest"])
            if note["rows"] != note["units"]:
                yield f"a sample of {note['units']} units had {note['rows']} rows"
        yield from (f"samples differ: {key}" for key, found in digests.items() if len(found) != 1)

    def digests(self) -> dict[tuple[str, int, int], str]:
        """Of samples, by model, units and seed."""
        return {(n["model"], n["units"], n["seed"]): n["digest"] for n in self.notes("sampled")}

    def resumes(self) -> int:
        """Streams that were opened again, beyond the first of each call."""
        opened = Counter(note["call"] for note in self.notes("opened"))
        return sum(opened.values()) - len(opened)


def _odd(seen: list[int], last: int) -> str:
    counts = Counter(seen)
    twice = sorted(n for n, times in counts.items() if times > 1)
    never = sorted(set(range(1, last + 1)) - set(seen))
    order = "in order" if seen == sorted(seen) else "out of order"
    return f"{len(seen)} of {last} events {order}, twice {twice[:5]}, never {never[:5]}"
