"""Logging: one JSON object a line on standard error, never a payload, a cell or an exception's text."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any, Literal, TextIO, cast

import structlog


class Trouble:
    """Something that is tried again and again: its failing is told once, and once more when it is over."""

    def __init__(self, log: Any, event: str) -> None:
        self._log, self._event = log, event
        self._reason: str | None = None

    def failed(self, reason: str, **facts: Any) -> None:
        """It failed; told where it did not before, or for another reason."""
        if reason != self._reason:
            self._log.warning(self._event, reason=reason, **facts)
        self._reason = reason

    def worked(self) -> None:
        """It worked; told where it had failed before."""
        if self._reason is not None:
            self._log.info("works again", after=self._event)
        self._reason = None


class _StandardError(io.TextIOBase):
    """Standard error. A full disk or a closed pipe costs lines of the log, and no call."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def configure(level: str, style: Literal["json", "console"]) -> None:
    """Sets up logging for this process. Libraries are heard from warnings on, by name and level only."""
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            # The ids of the call or job at hand: `request_id`, `trace_id`, `span_id`.
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_unset,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # A line and its end in one write: several processes share the stream.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _StandardError())),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terse())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _Terse(logging.Formatter):
    """Where a library complained, and the type of the exception: its own words may quote data."""

    def format(self, record: logging.LogRecord) -> str:
        kind = record.exc_info[0] if record.exc_info else None
        line = {"event": "library", "log": record.name, "level": record.levelname.lower()}
        ids = structlog.contextvars.get_contextvars()
        return json.dumps(line | ({"error": kind.__name__} if kind else {}) | ids)


class _Once(logging.Filter):
    """Passes each complaint, told by its place in the code, a single time."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.name, record.lineno)
        new = place not in self._told
        self._told.add(place)
        return new


def tell_once(library: str) -> None:
    """Has a library tell each of its complaints once, from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terse())
    handler.addFilter(_Once())
    logger = logging.getLogger(library)
    logger.handlers, logger.propagate = [handler], False


def _drop_unset(
    logger: structlog.types.WrappedLogger, method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return {k: v for k, v in event.items() if v is not None}
