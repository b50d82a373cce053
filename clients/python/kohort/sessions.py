"""ONNX Runtime sessions as Kohort wants them: one thread, no spinning, no surprise."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from kohort.problem import Problem

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

MAX_MEMORY = 4 << 30
"""Bytes that all graphs of a process may use on the CPU while they run. A small graph can ask for any
number (it need only join a tensor with itself some forty times): this bounds what a hostile one gets."""

# The widest first: the runtime's kernels, and so the last bits, depend on it.
_CPU_CLASSES = ("AVX512F", "AVX2", "AVX", "SSE42", "SVE", "ASIMDHP", "ASIMD")


class Session(Protocol):
    """What a program needs of a session: ONNX Runtime's, or one that stands for it."""

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """The named outputs, or all."""

    def get_providers(self) -> list[str]:
        """The execution providers in use, the preferred one first."""


SessionFactory = Callable[[bytes], Session]


class BoundSession:
    """A session on a device, whose tensors have their places there.

    Inputs are copied to where the last ones lay; outputs stay there until the last node is done and
    come back then. One run at a time, whoever asks.

    Args:
        session: of ONNX Runtime.
        device: where tensors lie: "cuda", or "cpu".
    """

    def __init__(self, session: onnxruntime.InferenceSession, device: str = "cuda") -> None:
        self._session, self._device = session, device
        self._binding, self._inputs = session.io_binding(), dict[str, Any]()
        self._lock = Lock()

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """The named outputs, or all; arrays of the caller's own."""
        import onnxruntime

        names = [output.name for output in self._session.get_outputs()] if outputs is None else outputs
        with self._lock:
            for name, array in feeds.items():
                held = self._inputs.get(name)
                if held is not None and tuple(held.shape()) == array.shape:
                    held.update_inplace(np.ascontiguousarray(array))
                    continue
                held = onnxruntime.OrtValue.ortvalue_from_numpy(np.array(array, order="C"), self._device)
                self._inputs[name] = held
                self._binding.bind_ortvalue_input(name, held)
            self._binding.clear_binding_outputs()
            for name in names:
                self._binding.bind_output(name, self._device)
            self._session.run_with_iobinding(self._binding)
            return self._binding.copy_outputs_to_cpu()  # type: ignore[no-any-return]

    def get_providers(self) -> list[str]:
        """The execution providers in use, the preferred one first."""
        return self._session.get_providers()  # type: ignore[no-any-return]


def check_installation() -> None:
    """Refuses an environment where two builds of ONNX Runtime overwrite each other.

    Raises:
        RuntimeError: both `onnxruntime` and `onnxruntime-gpu` are installed.
    """
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) > 1:
        raise RuntimeError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "uninstall both, then install one of them"
        )


def choose_providers(device: str = "cpu") -> list[str]:
    """Execution providers for "cpu", or for "cuda" where this machine has a CUDA device.

    Asks for the devices that are there: the list of available providers only
    describes the build, and a provider that cannot load falls back with noise on
    stderr.

    Raises:
        RuntimeError: "cuda" was asked for and no device is there.
    """
    if device.partition(":")[0] != "cuda":
        return [CPU]
    import onnxruntime

    if not any(d.ep_name == CUDA for d in onnxruntime.get_ep_devices()):
        raise RuntimeError("ONNX Runtime finds no CUDA device")
    return [CUDA, CPU]


def open_session(graph: bytes, threads: int = 1, providers: Sequence[str] | None = None) -> Session:
    """A session over a graph.

    Args:
        graph: a serialised ONNX model; check it first with `kohort.graphcheck`.
        threads: threads inside one operator; the outputs are the same, bit for bit, for any number.
        providers: see `choose_providers`; None means the CPU, whose rows equal
            those of any server with the same runtime. With CUDA, tensors are bound (`BoundSession`);
            nodes that ONNX Runtime has no CUDA kernel for run on the CPU. Products of whole numbers
            (of int8 networks, and those that draws count classes with) may be such: not verified.

    Raises:
        Problem: BUNDLE_INVALID when the runtime refuses the graph.
        RuntimeError: see `check_installation`, or a provider did not load.
    """
    check_installation()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    # A spinning pool takes the processor away from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights are no larger than the file, and must not take from what graphs may use.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    wanted = list(providers or [CPU])
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=wanted)
    except Exception as error:  # the runtime's own classes share no base of their own
        raise Problem("BUNDLE_INVALID", "ONNX Runtime refuses the graph") from error
    if session.get_providers()[0] != wanted[0]:
        raise RuntimeError(f"{wanted[0]} did not load")
    return BoundSession(session) if wanted[0] == CUDA else session


def runtime_fingerprint(content_digest: bytes, session: Session | None = None, variant: str = "fp32") -> str:
    """What decides the bytes of a sample, besides model, seed and range.

    Equal fingerprints give equal bytes: content and variant of the graphs,
    execution provider, version of the runtime, class of processor. Without a
    session (a program of pure numpy) the runtime is left out.
    """
    parts = [content_digest.hex()[:16], variant]
    if session is not None:
        parts += [session.get_providers()[0], f"ort-{_runtime_version()}", cpu_class()]
    return "/".join(parts)


def cpu_class() -> str:
    """Architecture and widest vector unit of this processor, such as "x86_64-avx2"."""
    module = "numpy._core" if find_spec("numpy._core") else "numpy.core"  # numpy 2, numpy 1
    features = import_module(f"{module}._multiarray_umath").__cpu_features__
    widest = next((name for name in _CPU_CLASSES if features.get(name)), "BASE")
    return f"{platform.machine().lower()}-{widest.lower()}"


def run_graph(session: Session, feeds: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[Any]:
    """Runs a graph. Raises Problem BUNDLE_INVALID where it fails or emits other than arrays."""
    try:
        results = session.run(list(outputs), feeds)
    except Exception as error:
        raise Problem("BUNDLE_INVALID", "the graph failed to run") from error
    if not all(isinstance(result, np.ndarray) for result in results):
        raise Problem("BUNDLE_INVALID", "the graph emits something that is no tensor")
    return results


@cache
def _bound_memory() -> None:
    """Gives this process one bounded arena for tensors on the CPU, shared by its sessions."""
    import onnxruntime

    kind, default = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, default)
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY}))


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
