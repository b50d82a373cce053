"""What went wrong, for people and for scripts.

====  ==========================================================================
code  meaning
====  ==========================================================================
0     done
1     a defect, or a file that cannot be read or written
2     the command was not understood
3     the request or the data was refused, too large included; a verdict is LOCKED
      (--fail-if-locked)
4     no such dataset, job, model or report
5     not signed in, or not allowed
6     the server cannot be reached or is too busy, or the timeout was over
7     the job failed
8     the job was cancelled
9     rows or bytes arrived incomplete or altered
130   interrupted
====  ==========================================================================
"""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from kohort import errors
from kohort.cli.state import STATE
from kohort.problem import Problem

FAILED, USAGE, REFUSED, NOT_FOUND, FORBIDDEN, UNREACHABLE, JOB_FAILED, JOB_CANCELLED, ALTERED = range(1, 10)
INTERRUPTED = 130

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.Unauthenticated, FORBIDDEN),
    (errors.PermissionDenied, FORBIDDEN),
    (errors.Unavailable, UNREACHABLE),
    (errors.Overloaded, UNREACHABLE),
    (errors.DeadlineExceeded, UNREACHABLE),
    (errors.ServerError, FAILED),
    (errors.RpcError, REFUSED),
    (errors.JobFailed, JOB_FAILED),
    (errors.JobCancelled, JOB_CANCELLED),
    (errors.IntegrityError, ALTERED),
    (Problem, REFUSED),
    (ValueError, USAGE),
    (TypeError, USAGE),
    (OSError, FAILED),
    (ImportError, FAILED),
)


def exit_code(error: BaseException) -> int:
    """Says on stderr what went wrong, and gives the code. Raises `error` again when it is a defect."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    # typer's own errors, whichever release: some inherit them from click, some bring their own.
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        if hasattr(error, "show"):
            error.show()
        return code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return interrupted()
    if isinstance(error, errors.Overloaded) and error.reason == "LIMIT_EXCEEDED":
        # Waiting does not help: a script that repeats on UNREACHABLE must not repeat this.
        _tell(error, REFUSED)
        return REFUSED
    for kind, meaning in _CODES:
        if isinstance(error, kind):
            _tell(error, meaning)
            return meaning
    raise error


def interrupted() -> int:
    """Says on stderr what Ctrl-C did and did not do, and gives the code."""
    sys.stderr.write("Interrupted. Jobs go on; see: kohort jobs\n")
    return INTERRUPTED


def _tell(error: BaseException, code: int) -> None:
    if STATE.json:
        sys.stderr.write(json.dumps({"error": _fields(error), "exit_code": code}) + "\n")
        return
    named = isinstance(error, OSError) and error.filename is not None and error.strerror
    sys.stderr.write(f"Error: {f'{error.filename}: {error.strerror}' if named else error}\n")  # type: ignore[attr-defined]
    if isinstance(error, errors.Overloaded) and error.retry_after:
        sys.stderr.write(f"The server says to try again in {error.retry_after:.0f} s.\n")
    if isinstance(error, errors.Unauthenticated):
        sys.stderr.write(
            "Give a token by KOHORT_TOKEN or --token-file, or a certificate by --cert and --key.\n"
        )
    if isinstance(error, errors.RpcError) and error.reason == "IDENTIFIER_UNACKNOWLEDGED":
        column = error.violations[0].field.rpartition(".")[2] if error.violations else "COLUMN"
        sys.stderr.write(
            f"Leave such a column out (--drop {column}), declare it a key (--kind {column}=id), "
            f"or state that it names nobody (--acknowledge {column}).\n"
        )
    if isinstance(error, errors.ModelLocked):
        sys.stderr.write("`kohort release` says why; a custodian may open it: --override open --reason ...\n")
    if getattr(error, "reason", "") == "BUNDLE_UNTRUSTED" and isinstance(error, Problem):
        sys.stderr.write("Give the server's key by --trusted-key; `kohort capabilities` shows it.\n")
    if isinstance(error, errors.RpcError) and error.request_id and code == FAILED:
        sys.stderr.write(f"The server's log holds more under request id {error.request_id}.\n")


def _fields(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = {"type": type(error).__name__, "message": getattr(error, "message", str(error))}
    for name in ("code", "reason", "hint", "request_id", "retry_after"):
        if getattr(error, name, None):
            found[name] = getattr(error, name)
    if getattr(error, "metadata", None):
        found["metadata"] = dict(error.metadata)  # type: ignore[attr-defined]
    violations = getattr(error, "violations", ())
    if violations:
        found["violations"] = [{"field": v.field, "description": v.description} for v in violations]
    return found
