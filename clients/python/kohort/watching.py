"""Following a job: what has been read of its history, and from where to go on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kohort import messages
from kohort.calls import METHODS
from kohort.effects import Emit, Operation
from kohort.errors import IntegrityError, RpcError
from kohort.resources import JobEvent, JobInfo, JobState, PhaseStarted, Progress, StateChanged
from kohort.v1 import training_pb2


@dataclass(frozen=True)
class JobUpdate:
    """The job as it is now, and the event that brought it there, if one did."""

    job: JobInfo
    event: JobEvent | None = None


class WatchState:
    """A `Status` stream (see `kohort.calls.Resumable`). Emits `JobUpdate`.

    Args:
        name: the job.
        after_sequence: events up to this one are known.
    """

    method = METHODS["Status"]

    def __init__(self, name: str, after_sequence: int = 0) -> None:
        self._name = name
        self.sequence = after_sequence
        self.job: JobInfo | None = None

    def request(self) -> training_pb2.StatusRequest:
        """Asks for what comes after the last sequence that was read."""
        return training_pb2.StatusRequest(job=self._name, after_sequence=self.sequence)

    def receive(self, message: training_pb2.StatusResponse) -> Operation[None]:
        """Takes an update; a heartbeat emits nothing."""
        update = message.update
        event = None
        match update.WhichOneof("update"):
            case "job":
                self.job = messages.job(update.job)
            case "event":
                event = messages.event(update.event)
                # A resumed stream may begin with what is known.
                if event.sequence <= self.sequence:
                    return
                if self.job is None:
                    raise IntegrityError(f"{self._name}: the stream did not begin with the job")
                self.job = _moved(self.job, event)
        self.sequence = max(self.sequence, update.sequence, event.sequence if event else 0)
        if self.job is not None and update.WhichOneof("update") in ("job", "event"):
            yield Emit(JobUpdate(self.job, event))

    def ended(self) -> bool:
        """Whether the job is over."""
        return self.job is not None and self.job.state.terminal

    def broken(self, error: RpcError) -> bool:
        """Events that the server no longer keeps are skipped; the job itself says where it stands."""
        if error.reason != "EVENTS_COMPACTED":
            return False
        oldest = error.metadata.get("oldest", "")
        if not oldest.isdigit() or int(oldest) - 1 <= self.sequence:
            return False
        self.sequence = int(oldest) - 1
        return True

    def complete(self) -> bool:
        """Never before the server says so: the last events may be missing."""
        return False


def _moved(job: JobInfo, event: JobEvent) -> JobInfo:
    """The job after an event; the server sends the whole job only when its state changes."""
    match event.detail:
        case Progress():
            return replace(job, progress=event.detail, attempt=event.attempt)
        case PhaseStarted(phase):
            return replace(job, phase=phase, attempt=event.attempt)
        case StateChanged(state):
            moved = replace(job, state=state, attempt=event.attempt)
            if state in (JobState.QUEUED, JobState.RUNNING):
                # Told again from the start, an attempt has not the steps that the job has reached since.
                return replace(moved, phase="", progress=None)
            return moved
        case _:
            return job
