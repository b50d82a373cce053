"""Networks and their optimisers at one moment: as arrays that a checkpoint can hold, or as a twin."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainers.checkpoint import State

Modules = Mapping[str, nn.Module]
Optimisers = Mapping[str, Optimizer]

_Learner = TypeVar("_Learner")


def twin(learner: _Learner, network: str) -> _Learner:
    """The same learner over the same rows, but for a copy of the attribute `network`: it can be finished."""
    other = copy.copy(learner)
    setattr(other, network, copy.deepcopy(getattr(learner, network)))
    return other


def capture(modules: Modules, optimisers: Optimisers) -> State:
    """A copy of all: ``module.{name}.{key}`` and ``optimiser.{name}.{index}.{slot}``, groups as values."""
    arrays = {f"module.{name}": as_array(value) for name, value in weights(modules).items()}
    groups: dict[str, Any] = {}
    for name, optimiser in optimisers.items():
        state = optimiser.state_dict()
        groups[name] = [{k: v for k, v in g.items() if k != "params"} for g in state["param_groups"]]
        for index, slots in state["state"].items():
            for slot, value in slots.items():
                arrays[f"optimiser.{name}.{index}.{slot}"] = as_array(torch.as_tensor(value))
    return State(arrays, {"groups": groups})


def restore(state: State, modules: Modules, optimisers: Optimisers) -> None:
    """The inverse of `capture`, for networks and optimisers of the same shapes."""
    arrays = {name: torch.from_numpy(np.array(array)) for name, array in state.arrays.items()}
    put(below(arrays, "module"), modules)
    for name, optimiser in optimisers.items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in below(arrays, f"optimiser.{name}").items():
            index, _, slot = key.partition(".")
            slots.setdefault(int(index), {})[slot] = value
        groups = optimiser.state_dict()["param_groups"]
        for group, kept in zip(groups, state.values["groups"][name], strict=True):
            group.update(kept)
        optimiser.load_state_dict({"state": slots, "param_groups": groups})


def weights(modules: Modules) -> dict[str, Tensor]:
    """Parameters and buffers of all modules, by ``{name}.{key}``; not copied."""
    return {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def put(values: Mapping[str, Tensor], modules: Modules) -> None:
    """The inverse of `weights`, from any device."""
    for name, module in modules.items():
        module.load_state_dict(below(values, name))


def below(values: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """What is under a name, by the rest of the keys."""
    return {key[len(name) + 1 :]: value for key, value in values.items() if key.startswith(f"{name}.")}


def as_array(value: Tensor) -> npt.NDArray[Any]:
    """A copy in the machine's memory."""
    array: npt.NDArray[Any] = value.detach().cpu().numpy().copy()
    return array
