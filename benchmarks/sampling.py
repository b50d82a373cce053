"""Sampling over gRPC beside what users would pick instead, and beside the machine's limit.

Kohort's side is a real server in a process of its own; its CPU seconds count
together with the client's, a peer's with those of its process. With one thread
every pool has one; with two, rivals may use two threads inside an operator, and
Kohort streams the two halves of the units side by side, as a client would.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import psutil

from benchmarks.graphs import gemm_kernels, gemm_macs, graph_alone
from benchmarks.measure import Timing, Told, compared, interleave
from benchmarks.serving import BenchServer, sampled
from benchmarks.stand import DEFAULT, Options, Stand
from kohort.v1 import sampling_pb2

PAIRS = {
    "ctgan.CTGAN": "ctgan",
    "ctgan.TVAE": "tvae",
    "SDV CTGANSynthesizer": "ctgan",
    "SDV TVAESynthesizer": "tvae",
    "mostlyai-engine": DEFAULT,
}
"""Rival → our model of the same kind of network."""

BATCH_ROWS = (256, 1_024, 4_096, 0)
"""`max_batch_rows`; 0 leaves it to the server."""


def measure(stand: Stand, options: Options) -> dict[str, Any]:
    """All figures of this module, as plain numbers; see the functions."""
    return {
        "rows": options.rows,
        "repeats": options.repeats,
        "columns": stand.columns,
        "discrete": stand.discrete,
        "rivals": {str(n): rivals(stand, options, n) for n in (1, 2)},
        "graph": {str(n): graph(stand, options, n) for n in (1, 2)},
        "formats": formats(stand, options),
        "batches": batches(stand, options),
        "missing": stand.missing,
    }


def over_grpc(stand: Stand, name: str, rows: int, streams: int = 1) -> Callable[[], int]:
    """A candidate: the rows as typed columns in the client, digests checked."""
    each = rows // streams

    def part(stream: int = 0) -> int:
        return sampled(stand.client, stand.models[name], each, start=stream * each)

    def several() -> int:
        with ThreadPoolExecutor(streams) as pool:
            return sum(pool.map(part, range(streams)))

    return part if streams == 1 else several


def to_frame(stand: Stand, name: str, rows: int) -> Callable[[], int]:
    """A candidate: the same as one DataFrame, which is what rivals give."""
    return lambda: len(stand.client.sample(stand.models[name], rows, seed=1))


def rivals(stand: Stand, options: Options, threads: int) -> dict[str, Any]:
    """Rates of rivals and of ours with so many threads, and the ratios of each pair."""
    candidates: dict[str, Callable[[], int | Told]] = {
        name: make(options.rows, threads) for name, make in stand.rivals.items()
    }
    for name in stand.models:
        if name != "copula":
            candidates[f"Kohort {name}"] = over_grpc(stand, name, options.rows, threads)
    if threads == 1:
        for name in ("ctgan", DEFAULT):
            if name in stand.models:
                candidates[f"Kohort {name}, DataFrame"] = to_frame(stand, name, options.rows)
    found = interleave(candidates, options.repeats, stand.server.process)
    ratios = {}
    for rival, ours in PAIRS.items():
        for name in (ours, f"{ours} int8", f"{ours}, DataFrame"):
            if rival in found and f"Kohort {name}" in found:
                ratios[f"Kohort {name} ÷ {rival}"] = compared(found[f"Kohort {name}"], found[rival])
    return {"rates": {name: timing.plain() for name, timing in found.items()}, "ratios": ratios}


def graph(stand: Stand, options: Options, threads: int) -> dict[str, Any]:
    """Sample over gRPC ÷ the graph alone, for every model; that of ctgan ÷ the GEMM limit, on one thread.

    With two threads the graph runs once with two threads inside an operator, and
    once as two runs side by side; and so does Sample: as one stream of a server
    whose graphs have two threads, and as two streams.
    """
    rows, server = options.rows, stand.server.process
    candidates: dict[str, Callable[[], int]] = {}
    for name, bundle in stand.bundles.items():
        candidates[f"gRPC {name}"] = over_grpc(stand, name, rows, threads)
        candidates[f"graph {name}"] = graph_alone(bundle, rows, 1, threads)[0]
    with ExitStack() as stack:
        servers = [server]
        if threads > 1:
            wide = stack.enter_context(_wide(stand, threads))
            client = stack.enter_context(wide.client())
            servers.append(wide.process)
            for name, bundle in stand.bundles.items():
                model, within = client.import_model(stand.paths[name]), f"{threads} threads in an operator"
                candidates[f"gRPC {name}, {within}"] = partial(sampled, client, model, rows)
                candidates[f"graph {name}, {within}"] = graph_alone(bundle, rows, threads)[0]
        return _graph(stand, options, threads, candidates, servers)


def _graph(
    stand: Stand,
    options: Options,
    threads: int,
    candidates: dict[str, Callable[[], int]],
    servers: list[psutil.Process],
) -> dict[str, Any]:
    macs, limits = {}, {}
    for name in ("ctgan", "ctgan int8"):
        if name in stand.bundles:
            program = stand.bundles[name].manifest.program
            macs[name] = gemm_macs(stand.bundles[name].graph(program["graph"]))
    if threads == 1 and "ctgan" in macs:
        block = int(stand.bundles["ctgan"].manifest.program["noise"]["block"])
        limits = gemm_kernels(block, macs["ctgan"], options.rows)
    found = interleave({**candidates, **limits}, options.repeats, *servers)
    ratios = {
        f"gRPC ÷ graph, {name}": compared(found[f"gRPC {name}"], found[f"graph {name}"])
        for name in stand.bundles
    }
    if limits:
        best = max((found[name] for name in limits), key=lambda t: sorted(t.per_cpu)[len(t.per_cpu) // 2])
        for name in macs:
            ratios[f"graph ÷ GEMM limit, {name}"] = compared(found[f"graph {name}"], best)
    return {"macs": macs, "rates": {n: t.plain() for n, t in found.items()}, "ratios": ratios}


def _wide(stand: Stand, threads: int) -> BenchServer:
    folder = stand.server.folder / "wide"
    folder.mkdir(exist_ok=True)
    flags = ("--evaluation-profile", "none", "--import-unverified", "--graph-threads", str(threads))
    return BenchServer(folder, *flags)


def formats(stand: Stand, options: Options) -> dict[str, Any]:
    """The ctgan model in every format, received as bytes, and read into what a program wants of it."""
    import pyarrow as pa

    model, rows = stand.models["ctgan"], options.rows
    with grpc.insecure_channel(stand.server.address) as channel:
        receive = partial(_receive, channel, model.name, rows)

        def arrow() -> int:
            data = b"".join(message.chunk.data for message in receive("ARROW"))
            return int(pa.ipc.open_stream(io.BytesIO(data)).read_all().num_rows)

        def csv() -> int:
            return sum(message.chunk.data.count(b"\r\n") for message in receive("CSV")) - 1

        candidates = {
            "columns, messages parsed": lambda: sum(m.batch.row_count for m in receive("COLUMNS")),
            "columns, typed arrays, digests checked": over_grpc(stand, "ctgan", rows),
            "columns, DataFrame": to_frame(stand, "ctgan", rows),
            "Arrow, pyarrow.Table": arrow,
            "CSV, text": csv,
        }
        found = interleave(candidates, options.repeats, stand.server.process)
    return _beside(found, "columns, typed arrays, digests checked")


def batches(stand: Stand, options: Options) -> dict[str, Any]:
    """What the size of batches costs."""
    run = partial(sampled, stand.client, stand.models["ctgan"], options.rows)
    names = {f"{most:,} rows" if most else "the server's choice": most for most in BATCH_ROWS}
    found = interleave(
        {name: partial(run, most=most) for name, most in names.items()}, options.repeats, stand.server.process
    )
    return _beside(found, "the server's choice")


def _receive(channel: grpc.Channel, model: str, rows: int, form: str) -> Any:
    call = channel.unary_stream(
        "/kohort.v1.SamplingService/Sample",
        response_deserializer=sampling_pb2.SampleResponse.FromString,
    )
    value = sampling_pb2.SampleFormat.Value(f"SAMPLE_FORMAT_{form}")
    request = sampling_pb2.SampleRequest(model=model, unit_count=rows, seed=1, format=value)
    return call(request.SerializeToString(), timeout=600)


def _beside(found: dict[str, Timing], base: str) -> dict[str, Any]:
    return {
        "rates": {name: timing.plain() for name, timing in found.items()},
        "ratios": {
            f"{name} ÷ {base}": compared(timing, found[base])
            for name, timing in found.items()
            if name != base
        },
    }
