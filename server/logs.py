"""Logging: one JSON object a line on standard error, never a payload, a cell or an exception's text."""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal

import structlog


def configure(level: str, style: Literal["json", "console"]) -> None:
    """Sets up logging for this process. Libraries are heard from warnings on, by name and level only."""
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_unset,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terse())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _Terse(logging.Formatter):
    """Where a library complained, and the type of the exception: its own words may quote data."""

    def format(self, record: logging.LogRecord) -> str:
        kind = record.exc_info[0] if record.exc_info else None
        line = {"event": "library", "log": record.name, "level": record.levelname.lower()}
        return json.dumps(line | ({"error": kind.__name__} if kind else {}))


def _drop_unset(
    logger: structlog.types.WrappedLogger, method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return {k: v for k, v in event.items() if v is not None}
