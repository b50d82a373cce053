"""One claimed job on a worker: the child's attempt, and what is made of how it ends."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from kohort.problem import Problem
from kohort.schema import Finding
from server.attempt import Attempt, Ended, Grace, Why
from server.blobs import BlobExistsError, BlobMissingError, BlobStore, bundle_key, report_key
from server.checkpointing import Checkpoints
from server.childspec import child_spec, model_record, report_record
from server.jobspans import JobSpans
from server.journal import Journal
from server.layout import DataDir
from server.lease import Heart, Lease
from server.logs import Trouble
from server.processes import is_full
from server.protocol import REPORT_HTML, REPORT_JSON, ChildSpec
from server.records import JobKind, JobRecord, JobSpec, JobState, LeaseLost
from server.store import Store

if TYPE_CHECKING:
    from server.worker import WorkerConfig

log = structlog.get_logger(log="worker")

_RETRY_SECONDS = 0.5
_ROOM_SECONDS, _ANSWER_SECONDS = 30.0, 900.0
"""How long a finished bundle waits for room in the blob store, and for its answer."""
_SENDING_SECONDS = 3.0
"""How long a worker that leaves sends the last checkpoint."""
_EXPORT_SHARE, _EXPORT_MOST = 0.1, 120.0
"""How much of `max_runtime`, and how many seconds at most, fitting leaves to the export."""
_OVERTIME_LEAST = 10.0
"""Seconds by which a job that is fitted may at least exceed `max_runtime`, rather than be lost."""
_EVALUATION_SHARE = 0.2
"""How much of `max_runtime` fitting leaves to the evaluation, at most."""
_EVALUATION_MOST = 120.0
"""Seconds it leaves where nobody said how long the evaluation may take."""
_FITTED = frozenset({"exporting", "verifying", "evaluating"})
_GONE = frozenset({"MODEL_NOT_FOUND", "DATASET_NOT_FOUND"})
_RAISED = {
    JobKind.TRAIN: ("training", "TRAINING_FAILED"),
    JobKind.EVALUATE: ("evaluation", "EVALUATION_FAILED"),
}
_TRANSIENT = frozenset({"STORE_UNAVAILABLE", "STORAGE_FULL"})


class JobRun:
    """Runs one attempt and writes its outcome under the lease, or nothing at all."""

    def __init__(
        self,
        config: WorkerConfig,
        worker: str,
        store: Store,
        blobs: BlobStore,
        folders: DataDir,
        checkpoints: Checkpoints,
        heart: Heart,
        lease: Lease,
        spans: JobSpans,
    ) -> None:
        self._config, self._worker = config, worker
        self._store, self._blobs, self._folders = store, blobs, folders
        self._checkpoints = checkpoints
        self._heart, self._lease = heart, lease
        self._spans = spans
        self._fence = (lease.job, lease.attempt, worker)
        self._journal = Journal(store, *self._fence)
        self._made: Mapping[str, Any] | None = None
        """What the child had made before it went on to evaluate it."""

    def run(self, job: JobRecord, leaving: Callable[[], bool]) -> None:
        """To the end of the attempt. A lost lease and a mute store end it without a word."""
        try:
            self._run(job, leaving)
        except LeaseLost:
            self._spans.outcome("LEASE_LOST", "WORKER_LOST")
            log.warning("lease lost", job=job.id, attempt=job.attempt)
        except Problem as problem:
            self._spans.outcome("ABANDONED", problem.reason)
            log.warning("attempt abandoned", job=job.id, attempt=job.attempt, reason=problem.reason)
        finally:
            self._folders.close_scratch(job.id, job.attempt)

    def _run(self, job: JobRecord, leaving: Callable[[], bool]) -> None:
        deadline = time.monotonic() + job.spec.max_runtime_s - job.run_seconds
        reserve = min(_EXPORT_SHARE * job.spec.max_runtime_s, _EXPORT_MOST) + _for_evaluation(job.spec)
        fitted = False

        def hear(message: Mapping[str, Any]) -> None:
            nonlocal fitted
            kind = message["type"]
            if kind == "made":
                self._made = message
                return
            if kind == "phase":
                self._spans.phase(message["phase"])
                fitted |= message["phase"] in _FITTED
            # It kept its word, and now wants to publish the best model so far.
            fitted |= kind == "warning" and message["finding"]["reason"] == "STOPPED_EARLY"
            self._journal.take(message)

        def should_stop() -> Why | None:
            if self._heart.is_lost(self._lease):
                return Why.LOST
            if self._lease.cancel:
                return Why.CANCEL
            if time.monotonic() >= deadline + (max(_OVERTIME_LEAST, reserve) if fitted else 0.0):
                return Why.RUNTIME
            return Why.LEAVING if leaving() else None

        try:
            spec = self._prepare(job, deadline - reserve, deadline, should_stop)
        except Problem as problem:
            if problem.reason not in _GONE:
                raise
            reason, message = problem.reason, problem.message
            self._insist(lambda: self._fail(reason, message))
            return
        except BlobMissingError:
            self._insist(lambda: self._fail("DATASET_EXPIRED", "the bytes of the dataset are gone"))
            return
        except OSError as error:
            reason = "STORAGE_FULL" if is_full(error) else "INTERNAL"
            self._insist(lambda: self._fail(reason, "the worker's disk cannot be written"))
            return
        if isinstance(spec, Why):
            if self._stopped(spec):
                self._checkpoints.close(job.id)
            return
        grace = Grace(self._config.cancel_grace_s, self._config.terminate_grace_s)
        with self._checkpoints.keeping(job.id, job.attempt) as keeper:
            ended = Attempt(spec, hear, should_stop, grace, self._config.silence_s).run()
            if keeper is not None and _goes_on(ended):
                keeper.finish(_SENDING_SECONDS)
        if ended.why is Why.LOST:
            raise LeaseLost
        self._insist(self._journal.finish)
        self._conclude(job, spec, ended)

    def _prepare(
        self, job: JobRecord, fit_until: float, run_until: float, should_stop: Callable[[], Why | None]
    ) -> ChildSpec | Why:
        """What the child is to do. A store that does not answer is asked until there is a reason to stop."""
        trouble = Trouble(log, "job waits")
        while True:
            try:
                return child_spec(
                    self._config,
                    self._store,
                    self._blobs,
                    self._folders,
                    self._checkpoints,
                    job,
                    fit_until,
                    run_until,
                )
            except Problem as problem:
                if problem.reason not in _TRANSIENT:
                    raise
                trouble.failed(problem.reason, job=job.id)
            why = should_stop()
            if why is not None:
                return why
            time.sleep(_RETRY_SECONDS)

    def _conclude(self, job: JobRecord, spec: ChildSpec, ended: Ended) -> None:
        kind = ended.result["type"] if ended.result is not None else None
        log.info(
            "child ended", job=job.id, attempt=job.attempt, result=kind, status=ended.status, why=ended.why
        )
        if ended.result is not None and kind == "done":
            # A stop that came too late changes nothing: the work is done.
            self._publish(job, spec, ended.result)
        elif ended.why is Why.CANCEL:
            self._stopped(ended.why)
        elif self._made is not None and (ended.why is Why.RUNTIME or ended.out_of_memory):
            why = "there was too little " + ("time" if ended.why is Why.RUNTIME else "memory")
            finding = Finding("EVALUATION_INCOMPLETE", f"the model was not evaluated: {why}")
            self._journal.take({"type": "warning", "finding": finding.to_json()})
            self._publish(job, spec, self._made)
        elif ended.why is not None:
            if not self._stopped(ended.why):
                return
        elif ended.result is not None and kind == "problem":
            problem = ended.result
            self._insist(lambda: self._fail(problem["reason"], problem["message"], problem["column"]))
        elif ended.result is not None and kind == "crash":
            log.error(
                "child raised", job=job.id, exception=ended.result["exception"], at=ended.result["frames"]
            )
            what, reason = _RAISED[job.spec.kind]
            message = f"{what} raised {ended.result['exception']}"
            self._insist(lambda: self._fail(reason, message))
        elif ended.out_of_memory:
            self._insist(lambda: self._fail("OUT_OF_MEMORY", "training needs more memory than there is"))
        else:
            self._give_back(lost=True, message=f"its training process died ({_status(ended.status)})")
            return
        self._checkpoints.close(job.id)

    def _stopped(self, why: Why) -> bool:
        """Tells how a job ended that was asked to stop; whether it is over. Raises LeaseLost."""
        match why:
            case Why.LOST:
                raise LeaseLost
            case Why.CANCEL:
                self._insist(lambda: self._store.leases.cancelled(*self._fence))
                self._spans.outcome(JobState.CANCELLED.value)
            case Why.RUNTIME:
                self._insist(lambda: self._fail("MAX_RUNTIME_EXCEEDED", "the job ran longer than it may"))
            case Why.LEAVING:
                self._give_back(lost=False, message="its worker went away")
                return False
        return True

    def _publish(self, job: JobRecord, spec: ChildSpec, result: Mapping[str, Any]) -> None:
        self._journal.take({"type": "phase", "phase": "publishing"})
        self._spans.phase("publishing")
        self._insist(self._journal.finish)
        made = result.get("report")
        keys = {
            name: report_key(job.tenant, spec.report, job.attempt, name)
            for name in (REPORT_JSON, REPORT_HTML)
        }
        bundle = bundle_key(job.tenant, spec.model, job.attempt)
        files = {key: Path(spec.report_folder) / name for name, key in keys.items()} if made else {}
        if spec.model:
            files[bundle] = Path(spec.bundle)
        try:
            with self._spans.part("blobs.put", {"kohort.blobs": len(files)}):
                for key, path in files.items():
                    self._insist(partial(self._put, key, path), _ROOM_SECONDS, _ANSWER_SECONDS)
        except Problem as problem:
            reason, message = problem.reason, problem.message
            self._insist(lambda: self._fail(reason, message))
            return
        model = model_record(job, spec, bundle, result) if spec.model else None
        report = report_record(job, spec, keys, made) if made else None

        def publish() -> None:
            state = self._store.leases.publish(*self._fence, model, report)
            self._spans.outcome(state.value, "" if state is JobState.SUCCEEDED else "MODEL_NOT_FOUND")

        with self._spans.part("store.publish"):
            self._insist(publish)

    def _put(self, key: str, bundle: Path) -> None:
        try:
            self._blobs.put(key, bundle)
        except BlobExistsError:
            return  # nobody else has this key: a try before this one came through after all

    def _fail(self, reason: str, message: str, column: str = "") -> None:
        self._store.leases.fail(*self._fence, reason, message, column)
        self._spans.outcome(JobState.FAILED.value, reason)

    def _give_back(self, *, lost: bool, message: str) -> None:
        def give_back() -> None:
            state = self._store.leases.give_back(*self._fence, lost=lost, message=message)
            self._spans.outcome(state.value, "WORKER_LOST" if lost else "")
            log.warning("job given back", job=self._fence[0], attempt=self._fence[1], state=state.value)
            if state.terminal:
                self._checkpoints.close(self._fence[0])

        self._insist(give_back)

    def _insist(
        self, write: Callable[[], None], room_s: float = math.inf, answer_s: float = math.inf
    ) -> None:
        """Writes again and again: so long without room, so long without answer, while the lease holds."""
        began = time.monotonic()
        trouble = Trouble(log, "outcome waits")
        while True:
            try:
                write()
                trouble.worked()
                return
            except Problem as problem:
                patience_s = room_s if problem.reason == "STORAGE_FULL" else answer_s
                over = time.monotonic() - began >= patience_s or self._heart.is_lost(self._lease)
                if over or problem.reason not in _TRANSIENT:
                    raise
                trouble.failed(problem.reason, job=self._fence[0])
                time.sleep(_RETRY_SECONDS)


def _for_evaluation(spec: JobSpec) -> float:
    """Seconds that fitting leaves to the evaluation."""
    if spec.kind is not JobKind.TRAIN or spec.evaluation.profile == "NONE":
        return 0.0
    asked = spec.evaluation.seconds
    return min(_EVALUATION_SHARE * spec.max_runtime_s, _EVALUATION_MOST if asked is None else asked)


def _goes_on(ended: Ended) -> bool:
    """Whether the next attempt will want what this one kept."""
    if ended.why is Why.LEAVING:
        return ended.result is None or ended.result["type"] != "done"
    return ended.why is None and ended.result is None


def _status(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
