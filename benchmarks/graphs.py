"""A bundle's graph by itself, and the fastest that its dense layers could be on this machine."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from kohort.bundle import Bundle
from kohort.noise import block_noise
from kohort.sessions import Session, open_session

DENSE = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "QGemm", "FusedGemm", "FusedMatMul"}
PASSING = {"Cast", "DequantizeLinear", "QuantizeLinear", "Identity", "Transpose", "Reshape"}
"""Operators through which a weight is followed back to where it is stored."""

LAYER = 512
"""Inputs and outputs of the layer whose speed is the limit."""


def gemm_macs(graph: bytes) -> int:
    """Multiply-adds per row that the graph's dense layers need, in any precision.

    The fewest that do it: rows and columns of zeros are padding; weights of
    zeros and ones are no layer of a network but sums in a matrix's clothes; a
    condition selects rows of its weights, which multiplies nothing. Every layer
    is taken to run once per row.
    """
    model = onnx.load(io.BytesIO(graph))
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}

    def weight(name: str) -> npt.NDArray[Any] | None:
        while name not in stored and name in made and made[name].op_type in PASSING:
            name = made[name].input[0]
        return stored.get(name)

    total = 0
    for node in model.graph.node:
        if node.op_type not in DENSE:
            continue
        factors = [value for name in node.input if (value := weight(name)) is not None and value.ndim >= 2]
        if factors:
            total += _needed(factors[0])
    return total


def _needed(weights: npt.NDArray[Any]) -> int:
    if weights.dtype.kind == "f" and np.isin(weights, (0, 1)).all():
        return 0
    sheets = weights.reshape(-1, *weights.shape[-2:]) != 0
    return sum(int(sheet.any(1).sum() * sheet.any(0).sum()) for sheet in sheets)


def gemm_kernels(rows: int, macs: int, work: int) -> dict[str, Callable[[], int]]:
    """Candidates that run a layer of the network's size: torch's kernel and ONNX Runtime's.

    Args:
        rows: of the layer's input, as many as a block has.
        macs: multiply-adds that a row of the graph needs.
        work: rows of the graph that a run stands for, about.

    Returns:
        Callables that return the rows of the graph whose multiply-adds they did.
    """
    import torch

    x, w = torch.randn(rows, LAYER), torch.randn(LAYER, LAYER)
    times = max(1, work * macs // (rows * LAYER * LAYER))
    done = max(1, times * rows * LAYER * LAYER // macs)
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "layer",
        [onnx.helper.make_tensor_value_info("x", real, [rows, LAYER])],
        [onnx.helper.make_tensor_value_info("y", real, [rows, LAYER])],
        [numpy_helper.from_array(w.numpy(), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session, feed = open_session(model.SerializeToString()), {"x": x.numpy()}

    def of_torch() -> int:
        for _ in range(times):
            torch.mm(x, w)
        return done

    def of_runtime() -> int:
        for _ in range(times):
            session.run(None, feed)
        return done

    return {"GEMM of torch": of_torch, "GEMM of ONNX Runtime": of_runtime}


def noise_of(bundle: Bundle, block: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """The graph's inputs for one block of units."""
    said = bundle.manifest.program["noise"]
    names = ("stream", "block", "uniforms", "normals", "scheme")
    stream, size, uniforms, normals, scheme = (int(said[name]) for name in names)
    drawn = block_noise(1, stream, block, size, uniforms, normals, scheme)
    return {name: value for name, value in zip(("uniform", "normal"), drawn, strict=True) if value.shape[1]}


def graph_alone(
    bundle: Bundle, rows: int, threads: int = 1, streams: int = 1
) -> tuple[Callable[[], int], Session]:
    """A callable that runs the bundle's graph on ready noise, and its session.

    Args:
        bundle: of the program `single_pass`.
        rows: per run, rounded up to whole blocks.
        threads: inside an operator.
        streams: blocks that run side by side.
    """
    session = open_session(bundle.graph(bundle.manifest.program["graph"]), threads)
    feed = noise_of(bundle)
    block = int(bundle.manifest.program["noise"]["block"])
    each = math.ceil(rows / block / streams)
    pool = ThreadPoolExecutor(streams) if streams > 1 else None

    def part(_: int = 0) -> None:
        for _ in range(each):
            session.run(None, feed)

    def run() -> int:
        if pool is None:
            part()
        else:
            list(pool.map(part, range(streams)))
        return each * block * streams

    return run, session
