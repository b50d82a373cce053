"""What models that learn with torch share: random streams, devices, precision, memory."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


@contextlib.contextmanager
def own_random_state() -> Iterator[None]:
    """Within, torch's random state may be set at will: without, it is the caller's."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's random numbers follow from the seed; for what precedes training, such as weights."""
    with own_random_state():
        _seed_torch(np.random.SeedSequence(seed & (2**64 - 1)))
        yield


def streams(seed: int, *place: int) -> np.random.Generator:
    """The random streams of one place in a run, such as (epoch, step): numpy's is returned, torch's is set.

    Places of one run must have equal lengths, and trailing zeros count for nothing.
    """
    entropy = np.random.SeedSequence([seed & (2**64 - 1), *place])
    _seed_torch(entropy)
    return np.random.default_rng(entropy)


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision where it pays: bfloat16 on CUDA, nothing elsewhere; no loss scaling is needed."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def moved(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """The array as a tensor on the device; to CUDA through pinned memory, without waiting."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def clipped(module: nn.Module, most: float = math.inf) -> Tensor:
    """The norm of the module's gradients, a scalar; they are scaled down to `most` where they exceed it."""
    if math.isfinite(most):
        return nn.utils.clip_grad_norm_(module.parameters(), most)
    return nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether that is how numpy or torch say that memory ran out, the machine's or a GPU's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def free_memory() -> None:
    """Gives back what nothing holds any more. To be called where no failed step's exception is at hand."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _seed_torch(entropy: np.random.SeedSequence) -> None:
    torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))
