from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from kohort import sessions
from kohort.problem import Problem
from kohort.sessions import (
    BoundSession,
    check_installation,
    choose_providers,
    cpu_class,
    open_session,
    run_graph,
    runtime_fingerprint,
)
from tests.runtime import parts


def test_a_session_is_quiet_and_single_threaded(capfd):
    session = open_session(parts.graph_bytes())
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session.get_providers() == ["CPUExecutionProvider"]
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("graph", [b"", b"nonsense", parts.graph_bytes(score="NoSuchOperator")])
def test_a_graph_that_the_runtime_refuses_is_a_problem(graph, capfd):
    with pytest.raises(Problem) as caught:
        open_session(graph)
    assert caught.value.reason == "BUNDLE_INVALID"
    assert "NoSuchOperator" not in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "fine"),
    [
        ({"onnxruntime"}, True),
        ({"onnxruntime-gpu"}, True),
        (set(), True),
        ({"onnxruntime", "onnxruntime-gpu"}, False),
    ],
)
def test_two_builds_of_the_runtime_are_refused(monkeypatch, installed, fine):
    def distribution(name: str) -> object:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return object()

    monkeypatch.setattr(sessions.metadata, "distribution", distribution)
    if fine:
        check_installation()
    else:
        with pytest.raises(RuntimeError, match="both installed"):
            check_installation()


def test_providers_are_chosen_by_device(monkeypatch):
    import onnxruntime

    class Device:
        def __init__(self, name: str) -> None:
            self.ep_name = name

    assert choose_providers() == choose_providers("cpu:1") == ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [Device("CPUExecutionProvider")])
    with pytest.raises(RuntimeError, match="CUDA"):
        choose_providers("cuda:0")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [Device("CUDAExecutionProvider")])
    assert choose_providers("cuda:0") == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_fingerprints_name_what_decides_the_bytes(monkeypatch):
    session = open_session(parts.graph_bytes())
    first = runtime_fingerprint(bytes(32), session)
    assert first == runtime_fingerprint(bytes(32), session)
    assert first.endswith(cpu_class())
    others = {runtime_fingerprint(bytes([1]) * 32, session), runtime_fingerprint(bytes(32), session, "int8")}
    monkeypatch.setattr(sessions, "cpu_class", lambda: "another")
    others.add(runtime_fingerprint(bytes(32), session))
    monkeypatch.undo()
    monkeypatch.setattr(sessions, "_runtime_version", lambda: "0.0")
    others.add(runtime_fingerprint(bytes(32), session))
    assert len(others | {first}) == 5


def test_a_bound_session_gives_what_a_plain_one_gives_and_keeps_nothing_of_it():
    """As on CUDA, but for the place where tensors lie."""
    plain = open_session(parts.graph_bytes())
    bound = BoundSession(plain, "cpu")
    assert bound.get_providers() == plain.get_providers()
    rng = np.random.default_rng(0)
    fed = [
        {name: rng.random((parts.BLOCK, n), np.float32) for name, n in (("uniform", 3), ("normal", 2))}
        for _ in range(3)
    ]
    whole = [
        bound.run(None, {name: np.asfortranarray(array) for name, array in feeds.items()}) for feeds in fed
    ]
    for feeds, found in zip(fed, whole, strict=True):
        for a, b in zip(found, plain.run(None, feeds), strict=True):
            np.testing.assert_array_equal(a, b)
    (age,) = run_graph(bound, fed[0], ["c2"])
    np.testing.assert_array_equal(age, run_graph(plain, fed[0], ["c2"])[0])
    with pytest.raises(Problem):
        run_graph(bound, fed[0], ["nothing"])
    # What failed leaves it usable.
    np.testing.assert_array_equal(run_graph(bound, fed[1], ["c2"])[0], run_graph(plain, fed[1], ["c2"])[0])


def test_a_graph_cannot_use_up_the_memory():
    """Eight GiB out of a few bytes, refused before any of it is there."""
    pads = numpy_helper.from_array(np.array([0, 2 << 30], np.int64), "pads")
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["y"], keepdims=0),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", ["n"]), ("y", []))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [pads])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = open_session(model.SerializeToString())
    with pytest.raises(Problem) as refused:
        run_graph(session, {"x": np.zeros(8, np.float32)}, ["y"])
    assert refused.value.reason == "BUNDLE_INVALID"
