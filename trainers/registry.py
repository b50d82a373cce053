"""The trainers of this installation by name.

Listing them imports no deep-learning framework: a trainer's module imports its
heavy libraries where it fits. A trainer whose libraries are not installed is
absent.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from importlib.util import find_spec

from kohort.problem import Problem
from trainers.base import Trainer

ENVIRONMENT = "KOHORT_TRAINERS"
"""More trainers, as ``name=module:Class,name=module:Class``; child processes inherit it."""

PREFERRED = "argn"
"""The default trainer, where it is installed."""


_EXPORT = ("onnx",)
"""What every trainer needs: nothing is published but as a graph."""


@dataclass(frozen=True)
class Spec:
    """Where a trainer is (`module:Class`) and which packages it cannot do without, besides `_EXPORT`."""

    target: str
    needs: tuple[str, ...] = ()

    def installed(self) -> bool:
        """Whether every needed package can be found; none is imported."""
        return all(_found(package) for package in (*_EXPORT, *self.needs))

    def load(self) -> type[Trainer]:
        """The class. Raises ValueError when there is none of that name."""
        module, _, name = self.target.partition(":")
        found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, type) or not hasattr(found, "info") or not hasattr(found, "fit"):
            raise ValueError(f"{self.target} is no trainer")
        return found


_SPECS: dict[str, Spec] = {
    "argn": Spec("trainers.argn:ArgnTrainer", needs=("safetensors", "torch")),
    "copula": Spec("trainers.copula:CopulaTrainer", needs=("scipy",)),
    "independent": Spec("trainers.independent:IndependentTrainer"),
    "arf": Spec("trainers.arf:ArfTrainer", needs=("scipy", "sklearn")),
    "bayesian-network": Spec("trainers.bayesian_network:BayesianNetworkTrainer", needs=("scipy",)),
    "ctgan": Spec("trainers.ctgan:CtganTrainer", needs=("ctgan", "safetensors", "sklearn", "torch")),
    "tvae": Spec("trainers.tvae:TvaeTrainer", needs=("safetensors", "sklearn", "torch")),
    "beta-vae": Spec("trainers.beta_vae:BetaVaeTrainer", needs=("safetensors", "sklearn", "torch")),
    "cvae": Spec("trainers.cvae:CvaeTrainer", needs=("safetensors", "sklearn", "torch")),
    "wae": Spec("trainers.wae:WaeTrainer", needs=("safetensors", "sklearn", "torch")),
    "wgan-gp": Spec("trainers.wgan_gp:WganGpTrainer", needs=("safetensors", "sklearn", "torch")),
    "medgan": Spec("trainers.medgan:MedganTrainer", needs=("safetensors", "sklearn", "torch")),
    "tabddpm": Spec("trainers.tabddpm:TabddpmTrainer", needs=("safetensors", "scipy", "torch")),
    "auto": Spec("trainers.auto:AutoTrainer", needs=("scipy",)),
}


def register(name: str, target: str, needs: tuple[str, ...] = ()) -> None:
    """Adds a trainer to this process; `target` is ``module:Class``."""
    _SPECS[name] = Spec(target, needs)


def trainers() -> dict[str, type[Trainer]]:
    """Every installed trainer by name.

    Raises ValueError when `KOHORT_TRAINERS` or a registration is malformed, or
    a trainer calls itself otherwise.
    """
    found = {}
    for name, spec in {**_SPECS, **_from_environment()}.items():
        if spec.installed():
            found[name] = spec.load()
            if found[name].info.name != name:
                raise ValueError(f"{spec.target} is not called {name}")
    return found


def installed(name: str) -> type[Trainer] | None:
    """The built-in trainer of that name; None where it, or what it needs, is not installed."""
    spec = _SPECS.get(name)
    return spec.load() if spec is not None and spec.installed() else None


def trainer(name: str) -> Trainer:
    """The trainer of that name. Raises Problem UNKNOWN_TRAINER."""
    known = trainers()
    if name not in known:
        raise Problem.at(
            "UNKNOWN_TRAINER", "trainer", f"must be one of {', '.join(known) or '(none installed)'}"
        )
    return known[name]()


def default_trainer() -> str:
    """The trainer of a request that names none; empty where none is installed."""
    known = trainers()
    return next((name for name in (PREFERRED, *known) if name in known), "")


def _from_environment() -> dict[str, Spec]:
    specs = {}
    for entry in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        name, equals, target = entry.strip().partition("=")
        if not name or not equals or ":" not in target:
            raise ValueError(f"{ENVIRONMENT} must read name=module:Class,...")
        specs[name] = Spec(target)
    return specs


def _found(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:
        return False
