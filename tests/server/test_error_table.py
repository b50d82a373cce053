"""The table of reasons, the contract's enum and the page in docs say the same; statuses stay small."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2

from kohort.problem import Problem, Violation
from kohort.v1 import errors_pb2
from server import errors

ROOT = Path(__file__).resolve().parents[2]
PROTO = (ROOT / "protos/kohort/v1/errors.proto").read_text()


PROTO_NAMES = list(errors_pb2.ErrorReason.DESCRIPTOR.values_by_name)


def contract() -> dict[str, str]:
    """Reason → the first word of its comment: a code, "Jobs" or "Findings"."""
    found = {}
    comment: list[str] = []
    for line in map(str.strip, PROTO.splitlines()):
        if line.startswith("//"):
            comment.append(line[2:].strip())
        elif match := re.match(r"ERROR_REASON_([A-Z_]+) = \d+;", line):
            found[match[1]] = re.split(r"[: ]", comment[0])[0]
            comment = []
        else:
            comment = []
    del found["UNSPECIFIED"]
    return found


def test_table_is_the_enum() -> None:
    enum = {name.removeprefix("ERROR_REASON_") for name in PROTO_NAMES} - {"UNSPECIFIED"}
    assert set(errors.REASONS) | errors.JOB_REASONS | errors.FINDING_REASONS == enum
    assert not set(errors.REASONS) & (errors.JOB_REASONS | errors.FINDING_REASONS)


def test_codes_are_those_of_the_comments() -> None:
    for reason, said in contract().items():
        if reason in errors.REASONS:
            assert errors.REASONS[reason].name == said, reason
        else:
            assert reason in {"Jobs": errors.JOB_REASONS, "Findings": errors.FINDING_REASONS}[said]


def test_retry_info_is_where_the_comments_say() -> None:
    promised = set(re.findall(r"with RetryInfo.*?ERROR_REASON_([A-Z_]+) = ", PROTO, re.DOTALL))
    assert set(errors.RETRY_AFTER) == {r for r in promised if r in errors.REASONS}


def test_page_lists_every_reason() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+|job|finding) \|", page, re.MULTILINE))
    expected = {reason: code.name for reason, code in errors.REASONS.items()}
    expected |= dict.fromkeys(errors.JOB_REASONS, "job") | dict.fromkeys(errors.FINDING_REASONS, "finding")
    assert rows == expected


def test_status_is_bounded() -> None:
    violations = [Violation("ü" * 500, "ü" * 500) for _ in range(5000)]
    status = errors.to_status(Problem("INVALID_REQUEST", "x" * 5000, violations=violations), "r" * 64)
    assert len(status.message) == errors.MAX_MESSAGE
    assert status.ByteSize() < errors.MAX_DETAILS + 500
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert bad.field_violations[-1].description.endswith("more")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/secret/path"), "STORAGE_FULL"),
        (OSError(errno.EDQUOT, "quota"), "STORAGE_FULL"),
        (sa.exc.OperationalError("SELECT secret", {}, Exception("database or disk is full")), "STORAGE_FULL"),
        (sa.exc.OperationalError("SELECT secret", {}, Exception("gone")), "STORE_UNAVAILABLE"),
        (ValueError("MRN 1234567"), "INTERNAL"),
        (KeyError("MRN 1234567"), "INTERNAL"),
    ],
)
def test_exceptions_lose_their_text(error: Exception, reason: str) -> None:
    problem = errors.from_exception(error)
    assert problem.reason == reason
    assert "secret" not in problem.message
    assert "MRN" not in problem.message


def test_places_hold_no_text() -> None:
    try:
        raise ValueError("MRN 1234567")
    except ValueError as error:
        places = errors.where(error)
    assert places[0] == "ValueError"
    assert places[1].startswith("test_error_table.py:")
    assert "MRN" not in " ".join(places)
