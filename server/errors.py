"""Every reason a call can fail for, its gRPC code, and the one place where errors become statuses."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from kohort.problem import Problem

DOMAIN = "kohort"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"

# Clients accept 8 KiB of trailers by default; a longer answer would reach them as RESOURCE_EXHAUSTED.
MAX_VIOLATIONS = 20
MAX_TEXT = 400
MAX_MESSAGE = 1000
MAX_DETAILS = 5000

_BY_CODE: Mapping[StatusCode, str] = {
    StatusCode.INVALID_ARGUMENT: """
        INVALID_REQUEST INVALID_SCHEMA UNKNOWN_TABLE UNKNOWN_COLUMN MISSING_COLUMN DUPLICATE_COLUMN
        EMPTY_COLUMN_NAME RAGGED_ROW BAD_ENCODING MIXED_TYPES VALUE_NOT_OF_KIND VALUE_OUT_OF_BOUNDS
        EMPTY_TABLE FILE_MALFORMED DIGEST_MISMATCH STREAM_OUT_OF_ORDER BATCH_INVALID UNKNOWN_TRAINER
        INVALID_PARAMETER UNKNOWN_DEVICE INVALID_PAGE_TOKEN BUNDLE_INVALID OPERATOR_FORBIDDEN
        PROGRAM_UNKNOWN FORMAT_UNSUPPORTED CONDITION_UNSUPPORTED""",
    StatusCode.OUT_OF_RANGE: "EVENTS_COMPACTED UNIT_OUT_OF_RANGE",
    StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
    StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
    StatusCode.NOT_FOUND: "DATASET_NOT_FOUND JOB_NOT_FOUND MODEL_NOT_FOUND REPORT_NOT_FOUND",
    StatusCode.ABORTED: "ETAG_MISMATCH",
    StatusCode.ALREADY_EXISTS: "REQUEST_ID_REUSED",
    StatusCode.FAILED_PRECONDITION: """
        DATASET_EXPIRED DATASET_IN_USE IDENTIFIER_UNACKNOWLEDGED TOO_FEW_PATIENTS NO_USABLE_COLUMNS
        COLUMN_UNSUPPORTED RUNTIME_CHANGED BUNDLE_UNTRUSTED
        CONDITION_UNSATISFIED COHORT_TOO_SMALL MODEL_LOCKED SCHEMAS_DIFFER EVALUATION_UNAVAILABLE""",
    StatusCode.UNIMPLEMENTED: "MULTI_TABLE_UNSUPPORTED",
    StatusCode.RESOURCE_EXHAUSTED: """
        QUEUE_FULL TOO_MANY_JOBS TOO_MANY_STREAMS LIMIT_EXCEEDED STORAGE_FULL TOO_MANY_EVALUATIONS""",
    StatusCode.UNAVAILABLE: "DRAINING STORE_UNAVAILABLE",
    StatusCode.DEADLINE_EXCEEDED: "DEADLINE_TOO_SHORT",
    StatusCode.INTERNAL: "INTERNAL",
}

REASONS: Mapping[str, StatusCode] = {
    reason: code for code, reasons in _BY_CODE.items() for reason in reasons.split()
}
"""Reason of a failed call → its code."""

JOB_REASONS = frozenset(
    {
        "TRAINING_FAILED",
        "TRAINING_DIVERGED",
        "PARITY_FAILED",
        "ATTEMPTS_EXHAUSTED",
        "MAX_RUNTIME_EXCEEDED",
        "OUT_OF_MEMORY",
        "ALERT_STOPPED_TRAINING",
        "EVALUATION_FAILED",
    }
)
"""Reasons that only `JobError` carries; a job also fails for any reason of `REASONS`."""

FINDING_REASONS = frozenset(
    {
        "DIRECT_IDENTIFIER",
        "FREE_TEXT",
        "ALL_NULL",
        "NEARLY_UNIQUE",
        "RARE_VALUES_PROTECTED",
        "LONGITUDINAL_STRUCTURE_LOST",
        "NO_DIFFERENTIAL_PRIVACY",
        "NO_SUBJECT_KEY",
        "UNVERIFIED_BUNDLE",
        "KEY_REGENERATED",
        "WORKER_LOST",
        "CONSTRAINT_VIOLATED",
        "IDENTIFIER_REGENERATED",
        "STOPPED_EARLY",
        "TRAINER_CHOSEN",
        "BATCH_HALVED",
        "QUASI_IDENTIFIER",
        "ALERT_RAISED",
        "EVALUATION_INCOMPLETE",
        "PRECISION_KEPT",
    }
)
"""Reasons that only `Finding` carries."""

RETRY_AFTER: Mapping[str, float] = {
    "QUEUE_FULL": 30.0,
    "TOO_MANY_JOBS": 30.0,
    "TOO_MANY_STREAMS": 1.0,
    "STORAGE_FULL": 60.0,
    "TOO_MANY_EVALUATIONS": 3600.0,
    "DRAINING": 2.0,
    "STORE_UNAVAILABLE": 2.0,
}
"""Reasons that trying again may cure, with the seconds to wait when nothing better is known."""


def code_of(reason: str) -> StatusCode:
    """The code of a reason; INTERNAL for one that no call should fail with."""
    return REASONS.get(reason, StatusCode.INTERNAL)


def retry_after(problem: Problem) -> float | None:
    """Seconds after which trying again makes sense, or None."""
    return problem.retry_after if problem.retry_after is not None else RETRY_AFTER.get(problem.reason)


def to_status(problem: Problem, request_id: str = "") -> status_pb2.Status:
    """The google.rpc.Status of a problem: ErrorInfo, BadRequest and RetryInfo, at most `MAX_DETAILS` long."""
    metadata = {k: v[:MAX_TEXT] for k, v in problem.metadata.items()}
    if request_id:
        metadata["request_id"] = request_id
    status = status_pb2.Status(
        code=code_of(problem.reason).value[0], message=_clip(problem.message, MAX_MESSAGE)
    )
    _attach(status, error_details_pb2.ErrorInfo(reason=problem.reason, domain=DOMAIN, metadata=metadata))
    wait = retry_after(problem)
    if wait is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(wait * 1000))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if problem.violations:
        bad = error_details_pb2.BadRequest()
        for violation in problem.violations[:MAX_VIOLATIONS]:
            bad.field_violations.add(
                field=_clip(violation.field, MAX_TEXT), description=_clip(violation.description, MAX_TEXT)
            )
        while status.ByteSize() + bad.ByteSize() > MAX_DETAILS:
            del bad.field_violations[-1]
        left = len(problem.violations) - len(bad.field_violations)
        if left:
            bad.field_violations.add(field="", description=f"and {left} more")
        _attach(status, bad)
    return status


def from_exception(error: Exception) -> Problem:
    """What a caller may know of an exception that is no Problem: never its text."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("STORAGE_FULL", "the server's disk is full")
    if type(error).__module__.startswith("sqlalchemy."):
        # The text is matched, never passed on.
        if "disk is full" in str(error):
            return Problem("STORAGE_FULL", "the server's disk is full")
        if type(error).__name__ in ("OperationalError", "TimeoutError", "InterfaceError"):
            return Problem("STORE_UNAVAILABLE", "the database does not answer")
    return Problem("INTERNAL", "a defect of the server; its log holds more under the request id")


def where(error: BaseException) -> list[str]:
    """Where an exception came from, for the log: its types and places, without any text or value."""
    places = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
    return [type(error).__name__, *places]


async def abort(
    context: grpc.aio.ServicerContext[message.Message, message.Message], problem: Problem, request_id: str
) -> NoReturn:
    """Ends the call with the status of a problem."""
    status = to_status(problem, request_id)
    # Metadata given here replaces what was set before, so the request id goes with it.
    await context.abort(
        code_of(problem.reason),
        status.message,
        ((DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, request_id)),
    )


def _attach(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
