"""The sampling rows of the design's table, as ratios in one run (`make bench`).

One thread everywhere. The rival is `ctgan.CTGAN.sample` on the same table, with
the same columns discrete and networks of the same shape; Kohort's side is a
real server in a process of its own, its CPU seconds counted together with the
client's.
"""

from __future__ import annotations

import argparse
import os

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_pool] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import io
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import psutil
import torch

import kohort
from benchmarks.measure import ROOT, Timing, interleave, machine, ratio
from benchmarks.serving import BenchServer
from kohort.bundle import Bundle
from kohort.noise import block_noise
from kohort.sessions import open_session

TABLE = ROOT / "benchmarks" / "data" / "encounters_20k.parquet"
FIT_ROWS = 5_000  # Speed of sampling does not depend on it; fitting the rival does.


def rival(table: pd.DataFrame, discrete: list[str]) -> object:
    """`ctgan.CTGAN`, fitted for one epoch."""
    from ctgan import CTGAN

    torch.manual_seed(0)
    np.random.seed(0)
    model = CTGAN(epochs=1, enable_gpu=False)
    model.fit(table, discrete_columns=discrete)
    return model


def gemm_macs(graph: bytes) -> int:
    """Multiply-adds per row that the graph's dense layers need, condition rows being gathered."""
    model = onnx.load(io.BytesIO(graph))
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    weights = [
        shapes[n.input[1]]
        for n in model.graph.node
        if n.op_type in ("Gemm", "MatMul") and n.input[1] in shapes
    ]
    return sum(int(np.prod(w)) for w in weights if len(w) == 2)


def gemm_rate(rows: int, seconds: float = 1.5) -> float:
    """Multiply-adds per CPU second that one thread reaches on a layer of the network's size.

    The better of torch's kernel and ONNX Runtime's, each at its best.
    """
    torch.set_num_threads(1)
    x, w = torch.randn(rows, 512), torch.randn(512, 512)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [onnx.helper.make_tensor_value_info("x", real, [rows, 512])],
        [onnx.helper.make_tensor_value_info("y", real, [rows, 512])],
        [onnx.numpy_helper.from_array(w.numpy(), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    session = open_session(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    )
    feed = {"x": x.numpy()}
    best = 0.0
    for kernel in (lambda: torch.mm(x, w), lambda: session.run(None, feed)):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.process_time()
            for _ in range(20):
                kernel()
            best = max(best, 20 * rows * 512 * 512 / (time.process_time() - start))
    return best


def graph_alone(bundle: Bundle, blocks: int) -> object:
    """A callable that runs the bundle's graph on ready noise."""
    program = bundle.manifest.program
    noise = program["noise"]
    session = open_session(bundle.graph(program["graph"]))
    uniform, normal = block_noise(1, 0, 0, noise["block"], noise["uniforms"], noise["normals"])
    feed = {name: value for name, value in (("uniform", uniform), ("normal", normal)) if value.shape[1]}

    def run() -> int:
        for _ in range(blocks):
            session.run(None, feed)
        return blocks * int(noise["block"])

    return run


def first_batch(client: kohort.Client, model: kohort.Model) -> float:
    """Seconds until the first batch of a sample has arrived."""
    start = time.perf_counter()
    for _ in client.sample_batches(model, 100, seed=1):
        return time.perf_counter() - start
    raise RuntimeError("the sample was empty")


def memory_growth(
    client: kohort.Client, model: kohort.Model, rows: int, server: psutil.Process
) -> tuple[float, float]:
    """(MiB the server grew by after the first tenth, rows/s) over one long stream."""
    seen, start, base, peak = 0, time.perf_counter(), 0, 0
    for frame in client.sample_batches(model, rows, seed=1):
        seen += len(frame)
        resident = server.memory_info().rss
        if seen < rows / 10:
            base = max(base, resident)
        peak = max(peak, resident)
    return (peak - base) / 2**20, rows / (time.perf_counter() - start)


def verdict(value: float, floor: float, aim: float, *, lower: bool = False) -> str:
    """Whether a figure meets its floor and aim."""
    better = (lambda a, b: a <= b) if lower else (lambda a, b: a >= b)
    return "aim" if better(value, aim) else "floor" if better(value, floor) else "BELOW FLOOR"


def main() -> None:
    """Measures and writes RESULTS.md."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--stream-rows", type=int, default=10_000_000, help="rows of the memory measurement")
    options.add_argument("--rows", type=int, default=61_440, help="rows per timed run of Kohort")
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "RESULTS.md")
    chosen = options.parse_args()
    lines: list[str] = []

    def say(line: str = "") -> None:
        print(line, flush=True)
        lines.append(line)

    table = pd.read_parquet(TABLE)
    with (
        tempfile.TemporaryDirectory(prefix="kohort-bench-") as directory,
        BenchServer(Path(directory), "--evaluation-profile", "none") as server,
    ):
        with server.client() as client:
            dataset = client.upload(table.head(FIT_ROWS), table="encounters")
            model = client.train(dataset, trainer="ctgan", epochs=1, seed=1).result()
            copula = client.train(dataset, trainer="copula", seed=1).result()
            key = client.capabilities().signing_key
            bundle = kohort.load(model.download(Path(directory) / "model.kohort"), trusted_keys=[key])
            kinds = {c.name: c.kind for c in model.info.schema.tables[0].columns}
        discrete = [
            name for name, kind in kinds.items() if kind in ("category", "ordinal", "code", "boolean")
        ]
        theirs = rival(table.head(FIT_ROWS).astype(dict.fromkeys(discrete, object)), discrete)

        server.restart()  # Cold: nothing is in the session cache.
        with server.client() as client:
            client.capabilities()
            cold = first_batch(client, model)
            cached = statistics.median(first_batch(client, model) for _ in range(15))

            def grpc() -> int:
                return sum(len(batch) for batch in client.sample_batches(model, chosen.rows, seed=1))

            found = interleave(
                {
                    "ctgan.CTGAN.sample": lambda: len(theirs.sample(10_000)),
                    "Kohort over gRPC": grpc,
                    "ONNX graph alone": graph_alone(bundle, chosen.rows // 1024),
                },
                chosen.repeats,
                server.process,
            )
            block = int(bundle.manifest.program["noise"]["block"])
            macs = gemm_macs(bundle.graph(bundle.manifest.program["graph"]))
            limit = Timing([rate := gemm_rate(block) / macs], [rate])
            growth, stream_rate = memory_growth(client, copula, chosen.stream_rows, server.process)

    say("# Results")
    say()
    say(
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. One thread, {chosen.repeats} interleaved"
    )
    say(
        f"repeats, ratios of medians. {TABLE.name}: {len(kinds)} columns, {len(discrete)} discrete; the graph needs"
    )
    say(
        f"{macs / 1e3:.0f}k multiply-adds per row. The rest of the design's table belongs to training and is not measured here."
    )
    say()
    say("| what | per CPU second | wall | floor | aim | reached |")
    say("|---|---|---|---|---|---|")
    rows = {
        "Sample over gRPC ÷ `ctgan.CTGAN.sample`": (
            ratio(found["Kohort over gRPC"], found["ctgan.CTGAN.sample"]),
            3,
            5,
        ),
        "Sample over gRPC ÷ ONNX graph alone": (
            ratio(found["Kohort over gRPC"], found["ONNX graph alone"]),
            0.85,
            0.92,
        ),
        "graph ÷ GEMM limit at minimum multiply-adds": (ratio(found["ONNX graph alone"], limit), 0.5, 0.7),
    }
    for name, ((cpu, wall), floor, aim) in rows.items():
        say(f"| {name} | {cpu:.2f} | {wall:.2f} | {floor} | {aim} | {verdict(cpu, floor, aim)} |")
    say(
        f"| first batch, model cached (ms) | | {cached * 1e3:.0f} | 50 | 10 | {verdict(cached, 0.05, 0.01, lower=True)} |"
    )
    say(
        f"| first batch, model cold (ms) | | {cold * 1e3:.0f} | 500 | 200 | {verdict(cold, 0.5, 0.2, lower=True)} |"
    )
    say(
        f"| server memory growth over {chosen.stream_rows:,} rows (MiB) | | {growth:.1f} | 64 | 1 |"
        f" {verdict(growth, 64, 1, lower=True)} |"
    )
    say()
    say("Rates behind the ratios, median (range):")
    say()
    for name, timing in found.items():
        say(f"- {name}: {timing.text()}")
    say(f"- GEMM limit: {limit.per_cpu[0]:,.0f} rows/cpu-s")
    say(f"- the long stream (copula, DataFrames decoded in the client): {stream_rate:,.0f} rows/s")
    chosen.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
