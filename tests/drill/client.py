"""A client's program in the drill: does what lines on its standard input say and notes all it sees.

Commands are JSON lines: ``{"do": "submit", …}``, ``{"do": "watch", …}``, ``{"do": "sample", …}``. The end of
the input ends it, once everything begun is done; the exit status is 0 when nothing failed. What it noted
is a file of JSON lines, read by `tests.drill.journal`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc

import kohort
from kohort.columns import ContentDigest

T = TypeVar("T")

_PATIENCE_SECONDS = 90.0
_AGAIN = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})


class Notes:
    """The file of what was seen; lines of several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def say(self, what: str, **facts: Any) -> None:
        """Notes one thing."""
        with self._lock:
            self._file.write(json.dumps({"what": what, "at": time.time(), **facts}) + "\n")


class Program:
    """What a hospital's script would do, with notes."""

    def __init__(self, client: kohort.Client, notes: Notes, data: Path) -> None:
        self._client, self._notes, self._data = client, notes, data
        self._threads: list[threading.Thread] = []
        self._failed = False
        transport = client._transport
        transport._channel = grpc.intercept_channel(transport._channel, Opened(notes))

    def serve(self) -> bool:
        """Does what standard input says until it ends; whether all of it went well."""
        for line in sys.stdin:
            command = json.loads(line)
            work = getattr(self, command.pop("do"))
            thread = threading.Thread(target=self._guarded, args=(work, command))
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join()
        self._notes.say("ended")
        return not self._failed

    def submit(self, key: int, **request: Any) -> None:
        """Starts a job, asks for the very same again, follows it, and draws from its model."""
        job = self._train(key, **request)
        self._notes.say("submitted", key=key, job=job.name)
        self.repeat(key, **request)
        self.watch(job.name)
        model = self._insisting(job.result)
        self._notes.say("result", key=key, job=job.name, model=model.name)
        self.sample(model.name, units=2000, seed=key)

    def repeat(self, key: int, **request: Any) -> None:
        """Makes a request that was made before."""
        self._notes.say("repeated", key=key, job=self._train(key, **request).name)

    def _train(
        self, key: int, trainer: str, dataset_id: str, request_id: str, parameters: dict[str, Any]
    ) -> kohort.Job:
        """Hands data in and starts a job, both under ids that make every repeat safe."""

        def train() -> kohort.Job:
            data = self._client.upload(self._data, table="heart", request_id=dataset_id)
            return self._client.train(data, trainer, seed=key, request_id=request_id, parameters=parameters)

        return self._insisting(train)

    def watch(self, job: str) -> None:
        """Follows a job from its first event to its last. Once begun the SDK alone mends what breaks."""
        handle = self._insisting(lambda: self._client.job(job))
        watcher = f"{threading.get_ident()}-{time.monotonic_ns()}"
        self._notes.say("watching", job=job, watcher=watcher)
        begun = False

        def follow() -> None:
            nonlocal begun
            for event in handle.events():
                begun = True
                facts = {"sequence": event.sequence, "attempt": event.attempt}
                self._notes.say("event", job=job, watcher=watcher, **facts)

        self._insisting(follow, lambda: not begun)
        self._notes.say("over", job=job, watcher=watcher, state=str(handle.state))

    def sample(self, model: str, units: int, seed: int, pause: float = 0.0) -> None:
        """Draws units, at a reader's pace, and notes the digest of all. Once begun the SDK alone mends it."""
        digest: ContentDigest | None = None
        seen = 0

        def draw() -> None:
            nonlocal digest, seen
            for batch in self._client.sample_batches(model, units, seed=seed):
                digest = digest or ContentDigest(batch.tables)
                digest.add(batch.batch)
                seen += len(batch)
                self._notes.say("batch", model=model, units=seen, of=units, seed=seed)
                time.sleep(pause)

        self._insisting(draw, lambda: not seen)
        assert digest is not None
        facts = {"rows": seen, "digest": digest.digest().hex()}
        self._notes.say("sampled", model=model, units=units, seed=seed, **facts)

    def _guarded(self, work: Callable[..., None], command: dict[str, Any]) -> None:
        try:
            work(**command)
        except BaseException as error:
            self._failed = True
            text = "".join(traceback.format_exception(error))
            self._notes.say("failed", command=command, error=f"{error!r}\n{text}")

    def _insisting(self, work: Callable[[], T], may: Callable[[], bool] = lambda: True) -> T:
        """What a script does when a service is away for longer than the SDK's own tries: the same again."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return work()
            except kohort.RpcError as error:
                if error.code not in _AGAIN or not may() or time.monotonic() > end:
                    raise
                facts = {"code": error.code, "reason": error.reason, "message": error.message}
                self._notes.say("insisted", work=work.__qualname__, **facts)
                time.sleep(0.5)


class Opened(grpc.UnaryStreamClientInterceptor):
    """Notes every stream that is opened, under the id of its call: one that broke is opened again."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """Lets it through."""
        call = dict(details.metadata)["x-request-id"]
        self._notes.say("opened", method=details.method.rpartition("/")[2], call=call)
        return continuation(details, request)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--token", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    flags = parser.parse_args()
    client = kohort.Client(
        flags.target,
        tls=kohort.TLS(root_certificates=flags.ca, server_name="kohort.hospital"),
        token=flags.token.read_text(encoding="ascii"),
        # As often as servers allow, so that a cut is noticed after 15 seconds.
        keepalive=kohort.KeepAlive(interval=10, timeout=5),
    )
    with client:
        return 0 if Program(client, Notes(flags.notes), flags.data).serve() else 1


if __name__ == "__main__":
    sys.exit(main())
