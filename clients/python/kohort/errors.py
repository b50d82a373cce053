"""What can go wrong, as exceptions.

A call that fails raises an `RpcError`; a job that fails is not a failed call
and raises `JobFailed` where its result is asked for. All are `KohortError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kohort.problem import Problem, Violation

if TYPE_CHECKING:
    from kohort.resources import JobInfo


class KohortError(Exception):
    """What this package raises on purpose, besides ValueError and TypeError for wrong arguments."""


class RpcError(KohortError):
    """A call failed.

    Attributes:
        code: the gRPC code, such as ``NOT_FOUND``.
        reason: a stable reason of the contract, such as ``DATASET_EXPIRED``; empty
            when the error does not come from a Kohort server.
        message: for people.
        metadata: short facts for programs.
        violations: the fields or columns at fault.
        retry_after: seconds after which the server says that a repeat makes sense.
        request_id: finds the call in the server's log.
        hint: what to check, where the cause is likely outside of the request.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
        request_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.reason or self.code}: {self.message}"]
        each = [f"{v.field}: {v.description}" for v in self.violations]
        lines += [f"  {said}" for said in each if said not in self.message]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class InvalidRequest(RpcError):
    """The request or the data breaks a documented rule; found here or by the server."""


class NotFound(RpcError):
    """No such dataset, job, model or report for this caller."""


class AlreadyExists(RpcError):
    """The request id was used before with other content."""


class PermissionDenied(RpcError):
    """The caller lacks the role."""


class Unauthenticated(RpcError):
    """No identity, or one that does not hold."""


class FailedPrecondition(RpcError):
    """The request is well-formed, but something else stands against it now."""


class ConditionUnsupported(InvalidRequest):
    """The model cannot honour what was asked of a sample; nothing was sent."""


class CohortTooSmall(FailedPrecondition):
    """Too few training patients met the conditions for an answer to be given."""


class ConditionUnsatisfied(FailedPrecondition):
    """A unit met the conditions in none of its attempts; the rows before it were sent."""

    @property
    def units_reached(self) -> int:
        """How many units of this request were sent before it."""
        return int(self.metadata.get("units_reached", 0))


class ModelLocked(FailedPrecondition):
    """The release policy, or a custodian, keeps what the model makes in the house.

    `Client.model(...).info.release` says why, `Client.override_release` opens it.
    """

    @property
    def rules(self) -> tuple[str, ...]:
        """The metrics of the broken rules; empty where a custodian locked it."""
        return tuple(filter(None, self.metadata.get("rules", "").split(",")))


class Conflict(RpcError):
    """Somebody else changed it since it was read; read it again and repeat."""


class Overloaded(RpcError):
    """A queue, a limit or the disk is full; `retry_after` says when to come back, where that helps."""


class Unavailable(RpcError):
    """The server could not be reached, or is shutting down."""


class DeadlineExceeded(RpcError):
    """The timeout was over, all tries together."""


class Unimplemented(RpcError):
    """The server does not know this call, or does not do this yet."""


class ServerError(RpcError):
    """A defect of the server; its log holds more under `request_id`."""


class CallCancelled(RpcError):
    """The call was cancelled on this side, by closing the client for example."""


class IntegrityError(KohortError):
    """A stream brought rows or bytes that are incomplete or do not have their digest."""


class ReplicasDiffer(KohortError):
    """Servers that were to draw one sample together would not give the same rows.

    Attributes:
        fact: ``content_digest``: their models differ; ``runtime_fingerprint``: they compute
            the same model in different ways (processor class, version of the runtime).
        values: by target, what each said.
    """

    def __init__(self, fact: str, values: Mapping[str, str]) -> None:
        self.fact = fact
        self.values = dict(values)
        said = ", ".join(f"{target}: {value}" for target, value in self.values.items())
        super().__init__(f"the replicas differ in their {fact} ({said})")


class JobError(KohortError):
    """A job ended without a model or report. `job` is the job as it ended."""

    def __init__(self, message: str, job: JobInfo) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(JobError):
    """A job failed.

    Attributes:
        reason: a stable reason of the contract, such as ``TRAINING_DIVERGED``.
        column: the column at fault, if one is.
    """

    def __init__(self, job: JobInfo) -> None:
        error = job.error
        self.reason = error.reason if error else ""
        self.column = error.column if error else ""
        super().__init__(f"{job.name}: {self.reason}: {error.message if error else ''}", job)


class JobCancelled(JobError):
    """A job was cancelled."""

    def __init__(self, job: JobInfo) -> None:
        super().__init__(f"{job.name} was cancelled", job)


BY_CODE: Mapping[str, type[RpcError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
    "FAILED_PRECONDITION": FailedPrecondition,
    "ABORTED": Conflict,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unimplemented,
    "CANCELLED": CallCancelled,
    "INTERNAL": ServerError,
    "UNKNOWN": ServerError,
    "DATA_LOSS": ServerError,
}
"""The exception of each gRPC code; of any other code it is `RpcError` itself."""


BY_REASON: Mapping[str, type[RpcError]] = {
    "CONDITION_UNSUPPORTED": ConditionUnsupported,
    "COHORT_TOO_SMALL": CohortTooSmall,
    "CONDITION_UNSATISFIED": ConditionUnsatisfied,
    "MODEL_LOCKED": ModelLocked,
}
"""The exception of a reason that has one of its own; of any other it is that of the code."""


def from_problem(problem: Problem) -> InvalidRequest:
    """What this side found wrong with the caller's data, as if the server had."""
    kind = BY_REASON.get(problem.reason, InvalidRequest)
    return (kind if issubclass(kind, InvalidRequest) else InvalidRequest)(
        "INVALID_ARGUMENT",
        problem.message,
        reason=problem.reason,
        metadata=problem.metadata,
        violations=problem.violations,
    )
