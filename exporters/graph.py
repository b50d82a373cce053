"""Writes ONNX graphs: what trainers and decoders say with `Ops`, as nodes and initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from kohort.graphcheck import ALLOWED_OPERATORS
from trainers.base import Doubles, Floats
from trainers.numbers import slopes
from trainers.search import cast, gather, write_locate

OPSET = 20
IR_VERSION = 9
"""The format that came with opset 20: the oldest runtimes that know the opset read it."""


_DENSE = 64
"""Up to so many classes one triangular product is the fastest cumulative sum along a row."""

_ELEMENTWISE = frozenset(
    """Add Sub Mul Div Clip Relu Tanh Sigmoid LeakyRelu Softmax Where Cast Less LessOrEqual And""".split()  # noqa: SIM905
)
"""Operators whose result is as wide as the widest of their inputs."""

_BELOW = np.float32(1 - 2.0**-23)


class GraphBuilder:
    """One graph in the making; implements `trainers.base.Ops`."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        # How wide tensors [n, w] are, where it is known.
        self._widths: dict[str, int] = {}
        # Constants whose rows can be gathered.
        self._tables: set[str] = set()

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        """An initializer; equal arrays are stored once."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._tensors:
            self._tensors[key] = numpy_helper.from_array(array, f"k{len(self._tensors)}")
        if array.ndim == 2:
            self._tables.add(self._tensors[key].name)
        return self._wide(self._tensors[key].name, array.shape[-1] if array.ndim else 1)

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """An operator; one name, or a tuple for several outputs.

        Raises:
            ValueError: an operator that no bundle may hold.
        """
        if op not in ALLOWED_OPERATORS:
            raise ValueError(f"{op} is not among the operators that a bundle may hold")
        names = [
            f"n{len(self._nodes)}" if outputs == 1 else f"n{len(self._nodes)}.{i}" for i in range(outputs)
        ]
        self._nodes.append(helper.make_node(op, inputs, names, **attributes))
        if op in _ELEMENTWISE and all(x in self._widths for x in inputs):
            self._widths[names[0]] = max(self._widths[x] for x in inputs)
        elif op == "Gather" and inputs[0] in self._tables and not attributes:
            self._widths[names[0]] = self._widths[inputs[0]]
        return names[0] if outputs == 1 else tuple(names)

    def named(self, x: str, name: str) -> str:
        """x under a name of its own: an input's or output's of the graph, or of a part of it."""
        self._nodes.append(helper.make_node("Identity", [x], [name]))
        return name

    def linear(self, x: str, weight: Floats, added: Floats | str | None = None) -> str:
        """x [n, i] times weight [o, i], plus a bias [o] or a tensor [n, o] → [n, o]."""
        parts = [x, self.constant(weight, np.float32)]
        if added is not None:
            # A tensor costs a copy, where an addition would cost reading both and writing.
            parts.append(added if isinstance(added, str) else self.constant(added, np.float32))
        return self._wide(self.node("Gemm", *parts, transB=1), weight.shape[0])

    def linear_columns(self, x: str, weight: Floats, added: Floats | str) -> str:
        """`linear` with outputs as rows: x [n, i], weight [o, i], a bias [o] or a tensor [o, n] → [o, n]."""
        if not isinstance(added, str):
            added = self.constant(added[:, None], np.float32)
        return str(self.node("Gemm", self.constant(weight, np.float32), x, added, transB=1))

    def slice(self, x: str, start: int, stop: int) -> str:
        """Columns [start, stop) of x [n, m]."""
        return self._wide(self._cut(x, start, stop, axis=1), stop - start)

    def draw(self, logits: str, uniform: str) -> str:
        """Category by inverse CDF of softmax(logits [n, k]) at uniform [n, 1] → int64 [n].

        The uniform is scaled by the last cumulative sum instead of trusting that
        to be 1. A float32 uniform is at most 1 - 2^-24, so the product stays below
        the sum: the index is below k, and no class of probability 0 is drawn at the end.
        """
        shares = self.node("Softmax", logits, axis=-1)
        size = self._widths.get(logits)
        if size is None:
            # Nothing here has told how many classes there are: slower, and right for any number.
            sums = self.node("CumSum", shares, self.constant(1, np.int64))
            last = self._cut(sums, -1, np.iinfo(np.int64).max, axis=1)
            return self._count(sums, self.node("Mul", last, uniform))
        if size <= _DENSE:
            sums = self.node("MatMul", shares, self._upto(size))
            return self._count(sums, self.node("Mul", self.slice(sums, size - 1, size), uniform))
        return self._draw_blocked(shares, uniform, size)

    def draw_columns(self, logits: str, uniform: str, size: int) -> str:
        """`draw` with classes as rows: logits [size, n] and uniform [1, n] → int32 [1, n].

        Every operator runs along n: a softmax of a row's few classes, and what is broadcast along
        them, cost more by the call than by the class. For logits that are turned together or come so:
        hundreds of transpositions in a graph make its opening slow.
        """
        first = self.constant([0], np.int64)
        highest = self.node("ReduceMax", logits, first, keepdims=1)
        weights = self.node("Exp", self.node("Sub", logits, highest))
        sums = self.node("CumSum", weights, self.constant(0, np.int64))
        target = self.node("Mul", self._cut(sums, size - 1, size, axis=0), uniform)
        passed = cast(self, self.node("LessOrEqual", sums, target), TensorProto.UINT8)
        return str(self.node("MatMulInteger", self.constant(np.ones((1, size), np.uint8)), passed))

    def interpolate(self, u: str, knots: Doubles, values: Doubles) -> str:
        """Piecewise-linear map of u [n] (clamped to the knots) → float64 [n]; knots may repeat."""
        knots, values = np.asarray(knots, dtype=np.float64), np.asarray(values, dtype=np.float64)
        clamped = self.node(
            "Clip", cast(self, u, TensorProto.DOUBLE), self.constant(knots[0]), self.constant(knots[-1])
        )
        piece = write_locate(self, clamped, knots[1:-1])
        beyond = self.node("Sub", clamped, gather(self, knots[:-1], piece))
        rise = self.node("Mul", beyond, gather(self, slopes(knots, values), piece))
        return str(self.node("Add", gather(self, values[:-1], piece), rise))

    def model(
        self,
        inputs: Sequence[tuple[str, npt.DTypeLike, int | None]],
        outputs: Sequence[tuple[str, npt.DTypeLike]],
        first: int = 0,
    ) -> bytes:
        """The graph serialised, deterministically; nothing of the machine is in it.

        Args:
            inputs: name, element type and width ([batch, width]; None: [batch]).
            outputs: name and element type of tensors [batch].
            first: the first node that belongs to it (see `position`).
        """
        nodes = self._nodes[first:]
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "kohort",
            [_value(name, dtype, ["batch"] if w is None else ["batch", w]) for name, dtype, w in inputs],
            [_value(name, dtype, ["batch"]) for name, dtype in outputs],
            [tensor for tensor in self._tensors.values() if tensor.name in used],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="kohort",
        )
        return bytes(model.SerializeToString(deterministic=True))

    @property
    def position(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    def _wide(self, x: str, width: int) -> str:
        self._widths[x] = width
        return x

    def _draw_blocked(self, shares: str, uniform: str, size: int) -> str:
        """`draw` in two steps, block then class within it: √k work for each class where k are many."""
        width = 16 if size <= 512 else 32
        blocks = -(-size // width)
        padded = self.node("Pad", shares, self.constant([0, 0, 0, blocks * width - size], np.int64))
        cells = self.node("Reshape", padded, self.constant([-1, blocks, width], np.int64))
        within = self.node("MatMul", cells, self._upto(width))
        totals = self.node(
            "Squeeze", self._cut(within, width - 1, width, axis=2), self.constant([2], np.int64)
        )
        upto = self.node("MatMul", totals, self._upto(blocks))
        target = self.node("Mul", self.slice(upto, blocks - 1, blocks), uniform)
        block = self._count(upto, target, keep=1)
        row = self.node("GatherND", within, block, batch_dims=1)
        whole = self.slice(row, width - 1, width)
        before = self.node("Sub", self.node("GatherElements", upto, block, axis=1), whole)
        # Rounding must not lead past the block's last class with a share.
        most = self.node("Mul", whole, self.constant(_BELOW))
        rest = self.node("Min", self.node("Sub", target, before), most)
        inner = self._count(row, rest)
        start = self.node("Mul", self.node("Squeeze", block, self._axis), self.constant(width, np.int64))
        found = self.node("Add", start, inner)
        return str(self.node("Min", found, self.constant(size - 1, np.int64)))

    def _count(self, sums: str, target: str, keep: int = 0) -> str:
        """How many of sums [n, k] are at most target [n, 1], int64 [n] or [n, 1]."""
        passed = cast(self, self.node("LessOrEqual", sums, target), TensorProto.FLOAT)
        return cast(self, self.node("ReduceSum", passed, self._axis, keepdims=keep), TensorProto.INT64)

    def _upto(self, size: int) -> str:
        return self.constant(np.triu(np.ones((size, size), dtype=np.float32)))

    @property
    def _axis(self) -> str:
        return self.constant([1], np.int64)

    def _cut(self, x: str, start: int, stop: int, axis: int) -> str:
        bounds = (self.constant([edge], np.int64) for edge in (start, stop, axis))
        return str(self.node("Slice", x, *bounds))


def _value(name: str, dtype: npt.DTypeLike, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
