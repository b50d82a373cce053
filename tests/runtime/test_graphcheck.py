from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from kohort.bundle import read_bundle
from kohort.graphcheck import ALLOWED_OPERATORS, TensorType, check_graph
from kohort.problem import Problem
from kohort.protobytes import encode_field, varint
from tests.runtime import parts


def reason(graph: bytes) -> str:
    with pytest.raises(Problem) as caught:
        check_graph(graph)
    return caught.value.reason


def edited(edit) -> bytes:
    model = parts.model()
    edit(model)
    return model.SerializeToString()


def test_a_harmless_graph_is_described():
    info = check_graph(parts.graph_bytes())
    assert (info.opset, info.nodes) == (20, len(parts.model().graph.node))
    assert info.inputs == {"uniform": TensorType(1, (64, 3)), "normal": TensorType(1, (64, 2))}
    assert info.outputs["c5"] == TensorType(TensorProto.INT32, (64,))
    assert info.operators == {node.op_type for node in parts.model().graph.node} <= ALLOWED_OPERATORS


def test_every_allowed_operator_exists_and_draws_nothing():
    domain = {schema.name: schema for schema in onnx.defs.get_all_schemas()}
    assert set(domain) >= ALLOWED_OPERATORS
    for name in ALLOWED_OPERATORS:
        assert "Random" not in name
        assert not any(str(a.type).endswith("GRAPH") for a in domain[name].attributes.values())


@pytest.mark.parametrize(
    "operator",
    ["RandomUniform", "RandomNormalLike", "Multinomial", "Bernoulli", "Loop", "If", "Scan", "Expand", "Tile"],
)
def test_operators_outside_the_list_are_refused_by_name(operator):
    with pytest.raises(Problem, match=operator) as caught:
        check_graph(parts.graph_bytes(score=operator))
    assert caught.value.reason == "OPERATOR_FORBIDDEN"


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_without_location(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def external_attribute(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["extra"], value=tensor))


def subgraph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", model.graph))


def function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Tanh", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "Tanh", ["x"], ["y"], [node], []))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(model.graph)


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(5)


def sparse_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="sparse_value").sparse_tensor.dims.append(5)


def own_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def odd_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Tanh\0secret"


@pytest.mark.parametrize(
    "edit",
    [
        external,
        external_without_location,
        external_attribute,
        subgraph,
        function,
        training,
        sparse,
        sparse_attribute,
        own_domain,
        odd_name,
    ],
)
def test_what_a_graph_may_not_hold_is_refused(edit):
    graph = edited(edit)
    assert reason(graph) == "OPERATOR_FORBIDDEN"
    with pytest.raises(Problem) as caught:
        read_bundle(parts.bundle_bytes(graph=graph))
    assert caught.value.reason == "OPERATOR_FORBIDDEN"
    assert "secret" not in str(caught.value)


def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def two_opsets(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 18))


def sequence_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def repeated_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


@pytest.mark.parametrize("edit", [no_graph, no_output, two_opsets, sequence_output, repeated_output])
def test_graphs_of_the_wrong_shape_are_refused(edit):
    assert reason(edited(edit)) == "BUNDLE_INVALID"


@pytest.mark.parametrize("opset", [9, 16, 25, 900])
def test_opsets_outside_the_range_are_refused(opset):
    assert reason(parts.graph_bytes(opset=opset)) == "BUNDLE_INVALID"


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr("kohort.graphcheck.MAX_NODES", 10)
    assert reason(parts.graph_bytes()) == "BUNDLE_INVALID"


def test_too_many_tensors_are_refused(monkeypatch):
    monkeypatch.setattr("kohort.graphcheck.MAX_TENSORS", 3)
    assert reason(parts.graph_bytes()) == "BUNDLE_INVALID"


def test_what_protobuf_would_merge_is_refused():
    """A second graph, or a second operator of a node, would replace what was checked."""
    graph = parts.graph_bytes()
    assert reason(graph + encode_field(7, b"")) == "BUNDLE_INVALID"
    node = encode_field(4, b"Loop") + encode_field(4, b"Tanh")
    assert reason(encode_field(7, encode_field(1, node))) == "BUNDLE_INVALID"
    domains = encode_field(4, b"Tanh") + encode_field(7, b"evil") + encode_field(7, b"")
    assert reason(encode_field(7, encode_field(1, domains))) == "BUNDLE_INVALID"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 20,
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3b\x3c",
        varint(7 << 3) + b"\x01",
        b"\x00\x00",
        parts.graph_bytes()[:-5],
    ],
)
def test_bytes_that_are_no_model_are_refused(data):
    assert reason(data) == "BUNDLE_INVALID"


@given(st.binary(max_size=300))
def test_any_bytes_give_a_problem(data):
    assert reason(data) in {"BUNDLE_INVALID", "OPERATOR_FORBIDDEN"}


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_damaged_graphs_give_a_problem_or_a_description(place, byte):
    graph = bytearray(parts.graph_bytes())
    graph[place % len(graph)] = byte
    try:
        info = check_graph(bytes(graph))
    except Problem:
        return
    assert info.operators <= ALLOWED_OPERATORS


def test_the_walker_and_onnx_agree_on_large_initializers():
    model = parts.model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((300, 400), np.float32), "large"))
    assert check_graph(model.SerializeToString()).tensors == len(model.graph.initializer)
