"""The training loop of models that learn by epochs: one for all, so that all can be controlled alike.

A `Learner` is handed rows and takes one optimiser step on them. All else is
here: the order of the rows, random streams, early stopping on the validation
part, time limits, memory, progress, and checkpoints from which a fit goes on
as if it had never been interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kohort.problem import Problem
from kohort.schema import Finding
from trainers.base import Doubles, Generator, Hooks, Indices, Progress, Stopped
from trainers.checkpoint import Checkpoint, State
from trainers.compute import free_memory, own_random_state, ran_out_of_memory, streams
from trainers.snapshot import as_array, below, capture, put, restore, weights

GRADIENT_NORM = "gradient_norm"
"""The key under which a step tells its gradient norm, among its losses."""

SMALLEST_BATCH = 8
"""Batches are not halved below so many rows."""

_SNAPSHOT_SECONDS = 1.0
"""How often, at most, the state is kept that running out of memory goes back to."""

_VALIDATION = 2**32 - 1
"""The epoch whose random streams every validation uses: validation losses differ by the weights alone."""


class Learner(Protocol):
    """What a model gives the loop.

    Everything that changes from step to step must be in its modules (as
    parameters or buffers) or its optimisers: a checkpoint holds nothing else.

    It may have a method ``epoch_done(epoch: int, share: float)`` too, for
    learning rates and the like: told the epochs done and their share of all
    after each epoch, at the start (0, 0.0) and when a saved state is taken up.
    What it does may depend on nothing but its arguments.
    """

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        """One optimiser step on these training rows, int64 [b].

        numpy's random stream is handed over, torch's is already seeded for the
        step. Returns losses by name, each a mean over the rows, and the
        gradient norm as "gradient_norm" (see `trainers.compute.clipped`);
        tensors may stay on their device. Setting training mode is its own
        affair.
        """

    def validate(self) -> float:
        """The loss over the validation rows, lower is better; nan where there are none.

        torch's random stream is the same each time.
        """

    def modules(self) -> Mapping[str, nn.Module]:
        """Every network, by a name without a dot; averages of weights count as networks, too."""

    def optimisers(self) -> Mapping[str, Optimizer]:
        """Every optimiser, by a name without a dot."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How long to train, and on what.

    With `weights` [rows] every epoch draws its rows with replacement, each by
    its weight; without, it goes through all rows once, shuffled.
    """

    rows: int
    epochs: int
    batch_size: int
    seed: int
    patience: int = 0
    """Epochs without a better validation loss after which training ends; 0: never."""
    weights: Doubles | None = None
    minimum_epochs: int = 0
    """Epochs before which training does not end for lack of a better loss."""
    present: Callable[[], Generator] | None = None
    """Makes a generator of the present weights, without changing any (see `trainers.snapshot.twin`)."""


Ending = Literal["done", "early", "time"]
"""All epochs; no better validation loss; no time left."""


@dataclass(frozen=True)
class Outcome:
    """How training went: whole epochs done, after how many the kept weights were reached, why it ended."""

    epochs: int
    best_epoch: int
    stopped: Ending


def run(learner: Learner, plan: Plan, hooks: Hooks, checkpoint: Checkpoint) -> Outcome:
    """Trains, or takes up what a checkpoint holds and goes on. Then the modules hold the best weights.

    The same seed gives the same weights on the same kind of processor,
    interrupted or not. Without validation rows the last weights are the best.

    Raises:
        Stopped: within one step of being asked; the state is saved first.
        Problem: TRAINING_DIVERGED when losses leave the finite numbers,
            OUT_OF_MEMORY when the smallest batch is too large,
            MAX_RUNTIME_EXCEEDED when there was no time for a single step.
    """
    with own_random_state():
        return _Run(learner, plan, hooks, checkpoint).run()


class _Run:
    """One call of `run`: where it stands."""

    def __init__(self, learner: Learner, plan: Plan, hooks: Hooks, checkpoint: Checkpoint) -> None:
        self._learner, self._plan, self._hooks, self._checkpoint = learner, plan, hooks, checkpoint
        self._epoch, self._step = 0, 0
        self._batch = self._asked = max(1, min(plan.batch_size, plan.rows))
        self._best: dict[str, Tensor] = {}
        self._best_epoch, self._best_loss, self._waited = 0, math.inf, 0
        self._sums: dict[str, Tensor] = {}
        self._order: Indices = np.zeros(0, np.int64)
        self._means: dict[str, float] = {}
        self._learned, self._validating, self._began = 0, 0.0, time.perf_counter()

    def run(self) -> Outcome:
        saved = self._checkpoint.load()
        if saved is not None:
            self._restore(saved)
            if self._batch < self._asked:
                self._warn_of_batch()
        self._keep()
        self._tell()
        while (ending := self._ending()) is None:
            if self._advance():
                self._end_epoch()
        if ending == "time":
            self._run_out()
        if ending != "done":
            self._report(self._epoch)
        if self._best:
            put(self._best, self._learner.modules())
        return Outcome(self._epoch, self._best_epoch if self._best else self._epoch, ending)

    def _ending(self) -> Ending | None:
        try:
            self._hooks.check()
        except Stopped:
            self._checkpoint.save(self._capture())
            raise
        plan = self._plan
        if self._epoch >= plan.epochs:
            return "done"
        if plan.patience and self._epoch >= plan.minimum_epochs and self._waited >= plan.patience:
            return "early"
        return "time" if self._hooks.seconds_left() <= 0 else None

    def _advance(self) -> bool:
        """One step; whether it was the last of its epoch. Out of memory, it goes back instead."""
        rows, steps = self._plan.rows, -(-self._plan.rows // self._batch)
        if self._step == 0 and time.perf_counter() - self._kept_at >= _SNAPSHOT_SECONDS:
            self._keep()
        if not self._order.size:
            self._order = self._drawn()
        # Parts of equal size, give or take a row: no batch is a small rest.
        first, last = (rows * step // steps for step in (self._step, self._step + 1))
        rng = streams(self._plan.seed, self._epoch, self._step + 1)
        fits = True
        try:
            for name, value in self._learner.step(self._order[first:last], rng).items():
                total = torch.as_tensor(value).detach().double() * (last - first)
                self._sums[name] = self._sums[name] + total if name in self._sums else total
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            fits = False
        if not fits:  # here, where no exception holds on to the failed step's tensors
            self._halve()
            return False
        self._learned += last - first
        self._step += 1
        if self._step < steps and self._checkpoint.due and _finite(self._mean(last)):
            self._checkpoint.save(self._capture())
        return self._step == steps

    def _end_epoch(self) -> None:
        means = self._mean(self._plan.rows)
        self._epoch, self._step, self._sums, self._order = self._epoch + 1, 0, {}, np.zeros(0, np.int64)
        if not _finite(means):
            raise Problem(
                "TRAINING_DIVERGED",
                f"losses left the finite numbers by epoch {self._epoch}; lower the learning rate",
            )
        # Where there is no time for it, the weights validated before, or none, must do.
        timely = not self._validating or self._hooks.seconds_left() > self._validating
        loss = self._validate() if timely else math.nan
        if not math.isnan(loss):
            means["validation"] = loss
            if loss < self._best_loss:
                self._best_loss, self._best_epoch, self._waited = loss, self._epoch, 0
                self._best = {k: v.detach().clone() for k, v in weights(self._learner.modules()).items()}
            else:
                self._waited += 1
        self._means = means
        self._report(self._plan.epochs)
        self._tell()
        self._look()
        if self._checkpoint.due:
            self._checkpoint.save(self._capture())

    def _validate(self) -> float:
        began = time.perf_counter()
        streams(self._plan.seed, _VALIDATION, 1)
        try:
            loss = float(self._learner.validate())
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise Problem("OUT_OF_MEMORY", "validation needs more memory than there is") from None
        self._validating = time.perf_counter() - began
        return loss

    def _look(self) -> None:
        """Every step and every validation seeds its own random streams: nothing changes by it."""
        if self._plan.present is None:
            return
        try:
            self._hooks.watch(self._plan.present)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            free_memory()  # the model is looked at when it is done, at the latest

    def _tell(self) -> None:
        done = getattr(self._learner, "epoch_done", None)
        if done is not None:
            done(self._epoch, self._epoch / self._plan.epochs)

    def _report(self, total: int) -> None:
        """The latest means; a run that ends before its time has no more epochs than were done."""
        losses = {name: value for name, value in self._means.items() if name != GRADIENT_NORM}
        speed = self._learned / max(1e-9, time.perf_counter() - self._began)
        norm = self._means.get(GRADIENT_NORM, 0.0)
        self._hooks.progress(Progress(self._epoch, total, losses, speed, norm))

    def _halve(self) -> None:
        """Back to what was kept last, with half the rows per step."""
        free_memory()
        half = self._batch // 2
        if half < min(SMALLEST_BATCH, self._asked):
            said = f"a training step on {self._batch} rows needs more memory than there is"
            raise Problem("OUT_OF_MEMORY", said)
        self._restore(self._kept)
        self._batch, self._step, self._sums, self._order = half, 0, {}, np.zeros(0, np.int64)
        self._tell()
        self._warn_of_batch()

    def _warn_of_batch(self) -> None:
        said = f"memory ran out: training goes on with {self._batch} rows per step instead of {self._asked}"
        self._hooks.warn(Finding("BATCH_HALVED", said))

    def _run_out(self) -> None:
        if not self._epoch and not self._step:
            raise Problem("MAX_RUNTIME_EXCEEDED", "there was no time for a single step of training")
        # A worker that is lost before the model is published leaves no time to train again.
        self._checkpoint.save(self._capture())
        self._hooks.warn(stopped_early(self._epoch, self._plan.epochs))

    def _drawn(self) -> Indices:
        """The rows of this epoch, in order, int64 [rows]."""
        plan = self._plan
        rng = np.random.default_rng([plan.seed & (2**64 - 1), self._epoch])
        if plan.weights is None:
            return rng.permutation(plan.rows)
        ends = np.cumsum(plan.weights)
        drawn: Indices = np.searchsorted(ends, rng.random(plan.rows) * ends[-1], side="right")
        return np.minimum(drawn, plan.rows - 1)

    def _mean(self, rows: int) -> dict[str, float]:
        """Losses of the epoch so far, each the mean over its rows; waits for the device."""
        return {name: float(value) / rows for name, value in self._sums.items()}

    def _keep(self) -> None:
        self._kept, self._kept_at = self._capture(), time.perf_counter()

    def _capture(self) -> State:
        state = capture(self._learner.modules(), self._learner.optimisers())
        best = {f"best.{name}": as_array(value) for name, value in self._best.items()}
        place = {
            "epoch": self._epoch,
            "step": self._step,
            "batch": self._batch,
            "best_epoch": self._best_epoch,
            "best_loss": self._best_loss if self._best else None,
            "waited": self._waited,
            "sums": {name: float(value) for name, value in self._sums.items()},
            "means": self._means,
        }
        return State({**state.arrays, **best}, {**state.values, **place})

    def _restore(self, state: State) -> None:
        restore(state, self._learner.modules(), self._learner.optimisers())
        arrays = {name: torch.from_numpy(np.array(array)) for name, array in state.arrays.items()}
        self._best, place = below(arrays, "best"), state.values
        self._epoch, self._step, self._batch = place["epoch"], place["step"], place["batch"]
        self._best_epoch, self._waited = place["best_epoch"], place["waited"]
        self._best_loss = place["best_loss"] if self._best else math.inf
        self._sums = {k: torch.tensor(v, dtype=torch.float64) for k, v in place["sums"].items()}
        self._means = dict(place["means"])


def stopped_early(epoch: int, epochs: int) -> Finding:
    """What a person is told when time ran out after `epoch` whole epochs of `epochs`."""
    said = f"time ran out after {epoch} of {epochs} epochs: the best model so far is kept"
    return Finding("STOPPED_EARLY", said)


def _finite(means: Mapping[str, float]) -> bool:
    return all(math.isfinite(value) for name, value in means.items() if name != GRADIENT_NORM)
