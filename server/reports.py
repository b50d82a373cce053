"""Reports on the server: read from their blobs, given out, deleted."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import structlog
from google.protobuf import json_format

from kohort import wire
from kohort.problem import Problem
from kohort.v1 import evaluation_pb2
from server.blobs import BlobMissingError, BlobStore
from server.records import ReportRecord
from server.store import Store

MAX_MESSAGE_BYTES = 7 << 19
"""A report that is longer (3.5 MiB) leaves out its largest figures when it travels as one message."""
MEDIA_TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}
_NOT_IN_LISTS = ("definitions", "metrics", "figures")
_log = structlog.get_logger(log="reports")


class Reports:
    """The files behind the reports; every method blocks."""

    chunk_bytes = 1 << 20
    """Bytes of one message of a download."""

    def __init__(self, store: Store, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    def read(self, record: ReportRecord) -> evaluation_pb2.Report:
        """A report as one message. Raises Problem STORE_UNAVAILABLE; INTERNAL when its file is damaged."""
        with self.open(record, "json") as file:
            data = file.read()
        try:
            report = _parse(json.loads(data))
        except (ValueError, json_format.ParseError) as error:
            _log.error("stored report damaged", report=record.id)
            raise Problem("INTERNAL", "the stored report is damaged") from error
        return _fitting(_told(report, record))

    def open(self, record: ReportRecord, kind: str) -> BinaryIO:
        """The file of a report, "html" or "json". Raises Problem STORE_UNAVAILABLE when it is not there."""
        try:
            return self._blobs.open(record.html_key if kind == "html" else record.json_key)
        except BlobMissingError as error:
            _log.error("stored report missing", report=record.id, file=kind)
            raise Problem("STORE_UNAVAILABLE", "the report cannot be read") from error

    def delete(self, tenant: str, report: str) -> None:
        """Deletes a report, then its files. Raises Problem REPORT_NOT_FOUND."""
        record = self._store.reports.delete(tenant, report)
        for key in (record.json_key, record.html_key):
            self._blobs.delete(key)


def entry(record: ReportRecord) -> evaluation_pb2.Report:
    """A report as lists show it."""
    report = _parse({k: v for k, v in record.overview.items() if k not in _NOT_IN_LISTS})
    return _told(report, record)


def _parse(value: dict[str, Any]) -> evaluation_pb2.Report:
    # What a newer version wrote is read by an older one, too.
    return json_format.ParseDict(value, evaluation_pb2.Report(), ignore_unknown_fields=True)


def _told(report: evaluation_pb2.Report, record: ReportRecord) -> evaluation_pb2.Report:
    """The record has the last word on what both say."""
    report.name = f"reports/{record.id}"
    report.model = f"models/{record.model}" if record.model else ""
    for field in ("synthetic_dataset", "dataset", "holdout_dataset"):
        dataset = getattr(record, field)
        setattr(report, field, f"datasets/{dataset}" if dataset else "")
    report.job = f"jobs/{record.job}" if record.job else ""
    report.display_name = record.display_name
    report.labels.clear()
    report.labels.update(record.labels)
    report.create_time.CopyFrom(wire.timestamp_to_proto(record.create_time))
    return report


def _fitting(report: evaluation_pb2.Report) -> evaluation_pb2.Report:
    """The report without the figures that make it longer than a message may be."""
    size = report.ByteSize()
    if size <= MAX_MESSAGE_BYTES:
        return report
    by_size = sorted(report.figures, key=lambda figure: figure.ByteSize(), reverse=True)
    dropped = set()
    for figure in by_size:
        if size <= MAX_MESSAGE_BYTES:
            break
        size -= figure.ByteSize() + 8
        dropped.add(figure.name)
    kept = [figure for figure in report.figures if figure.name not in dropped]
    del report.figures[:]
    report.figures.extend(kept)
    said = f"{len(dropped)} figures do not fit in a message; DownloadReport gives all of them"
    report.left_out.add(part="figures", reason=said)
    if report.ByteSize() > MAX_MESSAGE_BYTES:
        raise Problem("LIMIT_EXCEEDED", "the report does not fit in a message; use DownloadReport")
    return report
