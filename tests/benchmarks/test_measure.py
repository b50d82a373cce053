"""What every benchmark shares: ratios, ranges, interleaving, and multiply-adds counted off a graph."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.graphs import gemm_macs
from benchmarks.measure import (
    Timing,
    Told,
    compared,
    cpu_seconds,
    interleave,
    ratio,
    reached,
    replaced,
    spread,
    summary,
)
from benchmarks.stages import STAGES, split
from benchmarks.transport import read, write


def test_a_ratio_is_of_medians_and_its_range_of_repeats() -> None:
    ours, theirs = Timing([10.0, 20.0, 30.0], [4.0, 4.0, 4.0]), Timing([5.0, 5.0, 5.0], [1.0, 2.0, 4.0])
    assert ratio(ours, theirs) == (4.0, 2.0)
    assert compared(ours, theirs) == {
        "cpu": {"median": 4.0, "low": 2.0, "high": 6.0},
        "wall": {"median": 2.0, "low": 1.0, "high": 4.0},
    }


def test_a_spread_tells_median_and_range() -> None:
    assert spread([3000.0, 1000.0, 2000.0]) == "2,000 (1,000–3,000)"
    assert summary([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def test_costs_are_microseconds_of_cpu_per_row() -> None:
    assert Timing([1e6, 2e5], [1.0, 1.0]).costs == [1.0, 5.0]


def test_candidates_take_turns_after_one_warm_up_each() -> None:
    calls: list[str] = []

    def candidate(name: str) -> int:
        calls.append(name)
        return 10

    found = interleave({"a": lambda: candidate("a"), "b": lambda: candidate("b")}, 2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [len(timing.per_cpu) for timing in found.values()] == [2, 2]


def test_what_another_process_tells_counts_in_place_of_our_clocks() -> None:
    found = interleave({"peer": lambda: Told(100, 2.0, 4.0)}, 1)
    assert found["peer"] == Timing([50.0], [25.0])


def test_the_clock_of_another_process_counts_too() -> None:
    own = cpu_seconds()
    both = cpu_seconds(psutil.Process(os.getpid()), None)
    assert both >= 2 * own > 0


@pytest.mark.parametrize(
    ("value", "lower", "word"),
    [
        (5.0, False, "aim"),
        (4.9, False, "floor"),
        (3.0, False, "floor"),
        (2.9, False, "BELOW FLOOR"),
    ],
)
def test_a_figure_meets_its_aim_its_floor_or_neither(value: float, lower: bool, word: str) -> None:
    assert reached(value, 3, 5, lower=lower) == word


def test_less_is_better_where_it_is_said() -> None:
    assert [reached(v, 50, 10, lower=True) for v in (10, 50, 51)] == ["aim", "floor", "BELOW FLOOR"]


def graph(*layers: tuple[str, list[str]], **weights: npt.NDArray[np.generic]) -> bytes:
    nodes = [helper.make_node(op, inputs, [f"y{i}"]) for i, (op, inputs) in enumerate(layers)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info(f"y{len(layers) - 1}", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_model(helper.make_graph(nodes, "g", [x], [y], stored))
    found: bytes = made.SerializeToString()
    return found


W = np.full((4, 6), 0.5, np.float32)


def test_multiply_adds_are_those_of_dense_layers() -> None:
    two = graph(
        ("MatMul", ["x", "w"]), ("Gemm", ["y0", "v", "b"]), w=W, v=W.T.copy(), b=np.ones(4, np.float32)
    )
    assert gemm_macs(two) == 48


def test_weights_before_their_input_count_too() -> None:
    assert gemm_macs(graph(("Gemm", ["w", "x", "b"]), w=W.T.copy(), b=np.ones((6, 1), np.float32))) == 24


def test_weights_that_were_split_count_as_the_whole() -> None:
    parts = graph(("MatMul", ["x", "w"]), ("Gemm", ["x", "v", "y0"]), w=W[:, :2].copy(), v=W[:, 2:].copy())
    assert gemm_macs(parts) == gemm_macs(graph(("MatMul", ["x", "w"]), w=W))


def test_weights_of_eight_bits_count_as_those_of_thirty_two() -> None:
    whole = graph(("MatMulInteger", ["x", "w"]), w=np.full((4, 6), 3, np.int8))
    back = graph(
        ("DequantizeLinear", ["w", "s"]),
        ("MatMul", ["x", "y0"]),
        w=np.full((4, 6), 1, np.int8),
        s=np.float32(0.1),
    )
    assert gemm_macs(whole) == gemm_macs(back) == 24


def test_padding_and_running_sums_are_no_multiply_adds() -> None:
    padded = np.pad(W, ((0, 0), (0, 10)))
    sums = np.triu(np.ones((16, 16), np.float32))
    assert gemm_macs(graph(("MatMul", ["x", "w"]), ("MatMul", ["y0", "t"]), w=padded, t=sums)) == 24


def test_a_product_of_two_computed_tensors_is_no_layer() -> None:
    assert gemm_macs(graph(("MatMul", ["x", "x"]))) == 0


def test_stages_are_differences_and_the_rest_is_told() -> None:
    cost = {
        "noise": 1.0,
        "graph": 5.0,
        "units": 7.0,
        "rebatch": 0.5,
        "encoder": 2.0,
        "server digests": 0.5,
        "transport": 1.0,
        "parse": 0.25,
        "decode": 0.25,
        "client digests": 0.5,
        "DataFrame": 1.0,
        "whole": 12.0,
        "whole to a DataFrame": 13.5,
    }
    found = split({name: Timing([1e6 / value], [1.0]) for name, value in cost.items()})
    assert found["stages"]["columns"]["median"] == pytest.approx(1.0)
    assert found["stages"]["encode"]["median"] == pytest.approx(1.5)
    assert found["sum"] == pytest.approx(sum(found["stages"][name]["median"] for name in STAGES))
    assert found["sum"] == pytest.approx(11.5)
    assert found["rest"] == pytest.approx(0.5)


def test_messages_come_back_from_their_file(tmp_path: Path) -> None:
    messages = [b"", b"a" * 70_000, b"\x00\xff"]
    write(tmp_path / "messages", messages)
    assert read(tmp_path / "messages") == messages


def test_only_what_stands_between_the_markers_changes() -> None:
    begin, end = "<!-- m -->", "<!-- /m -->"
    assert replaced(f"a\n{begin}\nold\n{end}\nb\n", "m", "new\n") == f"a\n{begin}\nnew\n{end}\nb\n"
    for page in ("a\n", f"{end}\n{begin}\n"):
        with pytest.raises(ValueError, match="the page has no <!-- m -->"):
            replaced(page, "m", "new")
