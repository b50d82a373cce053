"""Reads what an ONNX graph would do, without ONNX: a graph from outside is checked before it runs.

Walks the protobuf wire format of ModelProto (onnx.proto3) strictly: what a
protobuf parser would merge or skip in silence is refused, so that the runtime
cannot see another graph than the one that was checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kohort.problem import Problem

ALLOWED_OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv CumSum Div
    Elu Equal Erf Exp Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    MatMul MatMulInteger Max Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear DequantizeLinear
    DynamicQuantizeLinear Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Round Selu Shape Sigmoid Sign Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh
    TopK Transpose Trilu Unsqueeze Where Xor
    """.split()  # noqa: SIM905 (seventy lines otherwise)
)
"""What a graph may use: arithmetic on tensors. No random numbers (they are inputs), no
control flow (programs loop), no strings, nothing that makes a large tensor out of a small one by
a number alone, and no operators of other domains."""

MIN_OPSET, MAX_OPSET = 17, 24
MAX_NODES = 50_000
MAX_TENSORS = 50_000
_DOMAINS = (b"", b"ai.onnx")
_MAX_FIELD = (1 << 29) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class TensorType:
    """The element type (TensorProto.DataType) and shape of an input or output; None is any size."""

    element: int
    shape: tuple[int | None, ...] | None


@dataclass
class GraphInfo:
    """What a graph takes, gives and uses."""

    opset: int = 0
    nodes: int = 0
    tensors: int = 0
    operators: set[str] = field(default_factory=set)
    inputs: dict[str, TensorType] = field(default_factory=dict)
    outputs: dict[str, TensorType] = field(default_factory=dict)


def check_graph(graph: bytes) -> GraphInfo:
    """What the graph is, if it is harmless.

    Raises:
        Problem: OPERATOR_FORBIDDEN for an operator outside `ALLOWED_OPERATORS`,
            another domain, functions, training graphs, nested graphs or external
            data; BUNDLE_INVALID for bytes that are no model, an opset that is not
            supported, or too many nodes or tensors.
    """
    info = GraphInfo()
    graphs = 0
    for number, value in _fields(memoryview(graph), {7: _BYTES, 8: _BYTES, 20: _BYTES, 25: _BYTES}):
        match number:
            case 7:
                graphs += 1
                _graph(_bytes(value), info)
            case 8:
                _opset(_bytes(value), info)
            case 20 | 25:
                raise _forbidden("functions and training graphs are not allowed")
    if graphs != 1 or not info.nodes or not info.outputs:
        raise _malformed("holds no graph, or more than one")
    if not MIN_OPSET <= info.opset <= MAX_OPSET:
        raise _malformed(f"its opset is not between {MIN_OPSET} and {MAX_OPSET}")
    return info


def _graph(data: memoryview, info: GraphInfo) -> None:
    wires = {1: _BYTES, 5: _BYTES, 11: _BYTES, 12: _BYTES, 15: _BYTES}
    for number, value in _fields(data, wires):
        match number:
            case 1:
                _node(_bytes(value), info)
            case 5:
                _tensor(_bytes(value), info)
            case 11:
                _value_info(_bytes(value), info.inputs)
            case 12:
                _value_info(_bytes(value), info.outputs)
            case 15:
                raise _forbidden("sparse tensors are not allowed")


def _node(data: memoryview, info: GraphInfo) -> None:
    info.nodes += 1
    if info.nodes > MAX_NODES:
        raise _malformed(f"has more than {MAX_NODES} nodes")
    operators, domains = [], []
    for number, value in _fields(data, {4: _BYTES, 5: _BYTES, 7: _BYTES}):
        match number:
            case 4:
                operators.append(bytes(_bytes(value)))
            case 5:
                _attribute(_bytes(value), info)
            case 7:
                domains.append(bytes(_bytes(value)))
    if len(operators) != 1 or len(domains) > 1:
        raise _malformed("has a node without one operator")
    if domains and domains[0] not in _DOMAINS:
        raise _forbidden("operators of another domain are not allowed")
    operator = operators[0].decode("ascii", "replace")
    if operator not in ALLOWED_OPERATORS:
        shown = operator if operator.isalnum() and len(operator) <= 40 else "a node"
        raise _forbidden(f"{shown} is not among the allowed operators")
    info.operators.add(operator)


def _attribute(data: memoryview, info: GraphInfo) -> None:
    wires = {5: _BYTES, 6: _BYTES, 10: _BYTES, 11: _BYTES, 22: _BYTES, 23: _BYTES}
    for number, value in _fields(data, wires):
        match number:
            case 5 | 10:
                _tensor(_bytes(value), info)
            case 6 | 11:
                raise _forbidden("nested graphs are not allowed")
            case 22 | 23:
                raise _forbidden("sparse tensors are not allowed")


def _tensor(data: memoryview, info: GraphInfo) -> None:
    info.tensors += 1
    if info.tensors > MAX_TENSORS:
        raise _malformed(f"has more than {MAX_TENSORS} tensors")
    for number, value in _fields(data, {13: _BYTES, 14: _VARINT}):
        if number == 13 or (number == 14 and value != 0):
            raise _forbidden("external data is not allowed")


def _value_info(data: memoryview, into: dict[str, TensorType]) -> None:
    name, kinds = "", []
    for number, value in _fields(data, {1: _BYTES, 2: _BYTES}):
        if number == 1:
            name = bytes(_bytes(value)).decode("utf-8", "replace")
        elif number == 2:
            kinds.append(_type(_bytes(value)))
    if not name or name in into or len(kinds) != 1:
        raise _malformed("has an input or output without one name and type")
    into[name] = kinds[0]


def _type(data: memoryview) -> TensorType:
    tensors = [v for n, v in _fields(data, {1: _BYTES}) if n == 1]
    if len(tensors) != 1:
        raise _malformed("has an input or output that is no tensor")
    element, shapes = 0, []
    for number, value in _fields(_bytes(tensors[0]), {1: _VARINT, 2: _BYTES}):
        if number == 1 and isinstance(value, int):
            element = value
        elif number == 2:
            shapes.append(
                tuple(_dimension(_bytes(d)) for n, d in _fields(_bytes(value), {1: _BYTES}) if n == 1)
            )
    return TensorType(element, shapes[0] if len(shapes) == 1 else None)


def _dimension(data: memoryview) -> int | None:
    sizes = [v for n, v in _fields(data, {1: _VARINT}) if n == 1]
    return sizes[0] if len(sizes) == 1 and isinstance(sizes[0], int) else None


def _opset(data: memoryview, info: GraphInfo) -> None:
    domains: list[bytes] = []
    versions: list[int] = []
    for number, value in _fields(data, {1: _BYTES, 2: _VARINT}):
        if number == 1:
            domains.append(bytes(_bytes(value)))
        elif number == 2 and isinstance(value, int):
            versions.append(value)
    # An import of another domain is harmless as long as no node uses it.
    if not domains or domains[-1] in _DOMAINS:
        if info.opset or len(versions) != 1:
            raise _malformed("names its opset not once")
        info.opset = versions[0]


def _fields(data: memoryview, wires: dict[int, int]) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values; a number in `wires` must come with that wire type."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number <= _MAX_FIELD or wires.get(number, wire) != wire:
            raise _malformed("is no ONNX model")
        value: int | memoryview
        if wire == _VARINT:
            value, at = _read_varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
            if wire == _BYTES:
                size, at = _read_varint(data, at)
            if size < 0 or at + size > end:
                raise _malformed("is no ONNX model")
            value = data[at : at + size]
            at += size
        yield number, value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise _malformed("is no ONNX model")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _malformed("is no ONNX model")
    return value


def _malformed(what: str) -> Problem:
    return Problem.at("BUNDLE_INVALID", "graph", what)


def _forbidden(what: str) -> Problem:
    return Problem.at("OPERATOR_FORBIDDEN", "graph", what)
