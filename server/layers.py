"""The layers of every call: request id, trace, metrics, log, errors. Auth and admission stand apart."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from kohort.problem import Problem
from server import errors
from server.context import Call
from server.interceptors import Layer
from server.rpcmetrics import SPELLING, RpcMetrics
from server.tracing import KEY, TraceContext, Tracing

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that are this side's fault (OpenTelemetry, semantic conventions for gRPC, server spans)."""
_TRAVEL_SECONDS = 0.1
"""The client's deadline comes before this side's by what its request travelled, and it cancels at its own."""
_log = structlog.get_logger(log="access")


class RequestIds(Layer):
    """Takes the client's request id over, or makes one, and returns it in the trailers."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Sets `call.request_id`."""
        given = call.metadata.get(errors.REQUEST_ID_KEY, "")
        if _REQUEST_ID.fullmatch(given):
            call.request_id = given
        call.context.set_trailing_metadata(((errors.REQUEST_ID_KEY, call.request_id),))
        # A call has a task, and so a context, of its own: every line of it carries this.
        structlog.contextvars.bind_contextvars(request_id=call.request_id)
        yield


class Traces(Layer):
    """Continues the client's trace, or begins one, and records the call in it."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Sets `call.span`; health checks and reflection have none."""
        if call.is_infrastructure:
            yield
            return
        span = call.span = self._tracing.begin(
            call.method[1:],
            TraceContext.read(call.metadata.get(KEY, "")),
            "server",
            {
                "rpc.system": "grpc",
                "rpc.service": call.service,
                "rpc.method": call.name,
                "kohort.request_id": call.request_id,
            },
        )
        structlog.contextvars.bind_contextvars(**span.log_fields)
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            code = _code(call, failure)
            span.note(
                {
                    "rpc.grpc.status_code": code.value[0],
                    "kohort.received": call.received,
                    "kohort.sent": call.sent,
                }
            )
            if code in _FAULTS:
                span.failed(call.reason or code.name)
            elif code is not grpc.StatusCode.OK:
                span.note({"error.type": call.reason or code.name})
            span.end()


class RpcMetricsLayer(Layer):
    """Counts calls, messages and seconds under the names of go-grpc-prometheus."""

    def __init__(self, metrics: RpcMetrics) -> None:
        self._metrics = metrics

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Counts the call when it starts and when it ends, with its code."""
        series = self._metrics.of(call.method)
        series.started.inc()
        code = "UNKNOWN"
        try:
            yield
            code = code_name(call, None)
        except BaseException as error:
            code = code_name(call, error)
            raise
        finally:
            series.handled(code).inc()
            series.seconds.observe(time.perf_counter() - call.started)

    def received(self, call: Call, message: Any) -> None:
        """Counts a message of the client."""
        self._metrics.of(call.method).received.inc()

    def sent(self, call: Call, message: Any) -> None:
        """Counts a message of the server."""
        self._metrics.of(call.method).sent.inc()


class AccessLog(Layer):
    """One line per call: what, who, how long, how it ended. Never a payload."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Writes the line when the call ends."""
        code = "UNKNOWN"
        try:
            yield
            code = code_name(call, None)
        except BaseException as error:
            code = code_name(call, error)
            raise
        finally:
            line = _log.debug if call.is_infrastructure else _log.info
            line(
                "call",
                method=call.method,
                code=code,
                reason=call.reason or None,
                seconds=round(time.perf_counter() - call.started, 6),
                received=call.received,
                sent=call.sent,
                tenant=call.principal.tenant if call.principal else None,
                principal=call.principal.name if call.principal else None,
            )


class Errors(Layer):
    """Turns every exception into a status that leaks nothing."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Aborts the call with the status of what was raised."""
        try:
            yield
        except Problem as problem:
            await self._end(call, problem)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            known = errors.from_exception(error)
            _log.error("defect", method=call.method, error=errors.where(error))
            await self._end(call, known)

    async def _end(self, call: Call, problem: Problem) -> None:
        if errors.code_of(problem.reason) is grpc.StatusCode.INTERNAL and problem.reason != "INTERNAL":
            _log.error("reason without a code", method=call.method, reason=problem.reason)
        call.reason = problem.reason
        await errors.abort(call.context, problem, call.request_id)


def code_name(call: Call, error: BaseException | None) -> str:
    """The gRPC code with which a call ended, such as "OK", in the spelling of go-grpc-prometheus."""
    return SPELLING[_code(call, error)]


def _code(call: Call, error: BaseException | None) -> grpc.StatusCode:
    code: Any = call.context.code()
    if isinstance(error, asyncio.CancelledError):
        remaining = call.context.time_remaining()
        code = grpc.StatusCode.CANCELLED
        if remaining is not None and remaining <= _TRAVEL_SECONDS:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
    elif error is not None and not isinstance(error, grpc.aio.AbortError):
        code = grpc.StatusCode.UNKNOWN
    elif isinstance(code, int):
        code = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    return code or grpc.StatusCode.OK


_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
