"""Callers of a server in processes of their own, so that they share no interpreter with what is measured.

`Caller` starts one (``python -m benchmarks.callers``) and tells it what to do in
a line of JSON. It connects, says that it is ready, begins when it is told to,
and ends with its findings in a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import grpc
import psutil

import kohort
from benchmarks.measure import ROOT
from kohort.v1 import sampling_pb2, sampling_pb2_grpc, training_pb2, training_pb2_grpc

_BATCH = sampling_pb2.SampleResponse.BATCH_FIELD_NUMBER << 3 | 2
"""The first byte of a message that is a batch: no need to parse it."""
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 4 << 20)]
ENDLESS = 1_000_000_000
"""Units that nobody waits for."""


class Caller:
    """A process of callers: `go`, then `result`. Endless work ends with `result`, too.

    Args:
        what: a name of `WORK`.
        about: its keyword arguments.
    """

    def __init__(self, what: str, **about: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.callers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(json.dumps([what, about]))
        if self._heard() != "ready":
            raise RuntimeError(f"the callers of {what} did not start")

    def go(self) -> Self:
        """Begins."""
        self._say("go")
        return self

    def result(self) -> Any:
        """What it found, once it is done; what has no end is ended."""
        self._say("enough")
        found = json.loads(self._heard())
        self._process.wait(30)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class _Orders:
    """What the process that started this one says."""

    @staticmethod
    def ready() -> None:
        """Says that all is connected, and waits for the word."""
        print("ready", flush=True)
        sys.stdin.readline()

    @staticmethod
    def enough() -> threading.Event:
        """Set once that process wants the result."""
        event = threading.Event()

        def wait() -> None:
            sys.stdin.readline()
            event.set()

        threading.Thread(target=wait, daemon=True).start()
        return event


def streams(address: str, model: str, count: int, units: int, format: int = 0) -> dict[str, Any]:
    """So many Sample streams at once, each on a connection of its own; messages are counted, not read.

    Returns:
        Seconds to the first batch and to the end of each, and this process's CPU seconds.
    """

    async def one(channel: grpc.aio.Channel, seed: int, gone: Callable[[], bool]) -> tuple[float, float]:
        call = channel.unary_stream(
            "/kohort.v1.SamplingService/Sample",
            request_serializer=sampling_pb2.SampleRequest.SerializeToString,
            response_deserializer=None,
        )(sampling_pb2.SampleRequest(model=model, unit_count=units, seed=seed, format=format))
        began, first = time.perf_counter(), 0.0
        async for message in call:
            if not first and message[0] == _BATCH:
                first = time.perf_counter() - began
            if gone():
                call.cancel()
                break
        return first, time.perf_counter() - began

    async def run() -> dict[str, Any]:
        channels = [grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) for _ in range(count)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        _Orders.ready()
        used, enough = time.process_time(), _Orders.enough()
        gone = enough.is_set if units >= ENDLESS else lambda: False
        ends = await asyncio.gather(*(one(c, seed, gone) for seed, c in enumerate(channels)))
        used = time.process_time() - used
        await asyncio.gather(*(channel.close() for channel in channels))
        return {"first": [e[0] for e in ends], "total": [e[1] for e in ends], "cpu": used}

    return asyncio.run(run())


def first_batches(address: str, models: list[str], rows: int, each: int) -> list[float]:
    """Seconds from asking for rows to the first batch, decoded by the SDK; `each` times for every model."""
    found = []
    with kohort.Client(address) as client:
        client.capabilities()
        _Orders.ready()
        for i in range(each):
            for model in models:
                began = time.perf_counter()
                for _ in client.sample_batches(model, rows, seed=i):
                    found.append(time.perf_counter() - began)
                    break
    return found


def short_calls(address: str, model: str, job: str, each: int, pause: float) -> dict[str, list[float]]:
    """Seconds of each of some short calls, in turn, with a pause after each."""
    with grpc.insecure_channel(address) as channel:
        sampling = sampling_pb2_grpc.SamplingServiceStub(channel)
        training = training_pb2_grpc.TrainingServiceStub(channel)
        calls: dict[str, Callable[[], object]] = {
            "GetModel": lambda: sampling.GetModel(sampling_pb2.GetModelRequest(name=model)),
            "GetJob": lambda: training.GetJob(training_pb2.GetJobRequest(name=job)),
            "ListModels": lambda: sampling.ListModels(sampling_pb2.ListModelsRequest()),
        }
        for call in calls.values():
            call()
        _Orders.ready()
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(each):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - began)
                time.sleep(pause)
    return found


def watchers(address: str, jobs: list[str], count: int) -> dict[str, Any]:
    """So many Status streams, dealt over the jobs, each on a connection of its own.

    Returns:
        Seconds from every event (by the database's clock, which is this machine's)
        to every watcher of it, and this process's CPU seconds.
    """
    delays: list[float] = []
    listening = False

    async def one(channel: grpc.aio.Channel, job: str, joined: Callable[[], None]) -> None:
        stub: Any = training_pb2_grpc.TrainingServiceStub(channel)
        seen = False
        async for response in stub.Status(training_pb2.StatusRequest(job=job)):
            if not seen:
                seen = True
                joined()
            if listening and response.update.HasField("event"):
                at = response.update.event.time
                delays.append(time.time() - at.seconds - at.nanos / 1e9)

    async def run() -> dict[str, Any]:
        nonlocal listening
        channels = [grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) for _ in range(count)]
        missing, all_there = count, asyncio.Event()

        def joined() -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                all_there.set()

        tasks = [asyncio.create_task(one(c, jobs[i % len(jobs)], joined)) for i, c in enumerate(channels)]
        await all_there.wait()
        await asyncio.to_thread(_Orders.ready)
        listening, used, enough = True, time.process_time(), _Orders.enough()
        await asyncio.to_thread(enough.wait)
        listening, used = False, time.process_time() - used
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels))
        return {"delays": delays, "cpu": used}

    return asyncio.run(run())


def long_stream(address: str, model: str, rows: int, server: int) -> dict[str, float]:
    """One long stream, read by the SDK batch by batch.

    Returns:
        MiB by which the server (a process id) and this process grew after the first
        tenth, rows a second, and this process's CPU seconds.
    """
    processes = {"server": psutil.Process(server), "client": psutil.Process()}
    base, peak = dict.fromkeys(processes, 0), dict.fromkeys(processes, 0)
    with kohort.Client(address) as client:
        client.capabilities()
        _Orders.ready()
        began, used, seen = time.perf_counter(), time.process_time(), 0
        for frame in client.sample_batches(model, rows, seed=1):
            seen += len(frame)
            for name, process in processes.items():
                resident = process.memory_info().rss
                if seen <= rows / 10:
                    base[name] = max(base[name], resident)
                peak[name] = max(peak[name], resident)
        seconds, used = time.perf_counter() - began, time.process_time() - used
    growth = {name: (peak[name] - base[name]) / 2**20 for name in processes}
    return {**growth, "rows": rows, "rows_per_second": rows / seconds, "cpu": used}


WORK: dict[str, Callable[..., Any]] = {
    work.__name__: work for work in (streams, first_batches, short_calls, watchers, long_stream)
}
"""What can be asked for."""


def main() -> None:
    """Does what the first line of standard input says."""
    what, about = json.loads(sys.stdin.readline())
    print(json.dumps(WORK[what](**about)), flush=True)


if __name__ == "__main__":
    main()
