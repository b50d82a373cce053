"""The ids by which a call's lines are found: the client's where they are valid, else new ones."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from kohort.v1 import capabilities_pb2, training_pb2
from server import logs
from server.settings import Settings
from server.tracing import TraceContext, TracingConfig, open_tracing
from tests.core.support import eventually
from tests.interpreter import python
from tests.server.conftest import Start, fails

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_a_valid_header_is_read(flags: str) -> None:
    found = TraceContext.read(f"00-{TRACE}-{SPAN}-{flags}")
    assert found == TraceContext(TRACE, SPAN, flags != "00")
    assert found.header() == f"00-{TRACE}-{SPAN}-{'00' if flags == '00' else '01'}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-zz",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{'٤' * 32}-{SPAN}-01",
    ],
)
def test_what_is_not_of_the_standard_is_ignored(header: str) -> None:
    assert TraceContext.read(header) is None


def test_a_later_version_may_say_more() -> None:
    assert TraceContext.read(f"cc-{TRACE}-{SPAN}-01-what-comes") == TraceContext(TRACE, SPAN, True)
    assert TraceContext.read(f"cc-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN, True)


def test_new_ones_are_valid_and_differ() -> None:
    made = {TraceContext.new().header() for _ in range(100)}
    assert len(made) == 100
    assert all(TraceContext.read(header) for header in made)


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ((("traceparent", f"00-{TRACE}-{SPAN}-01"),), True),
        ((("traceparent", f"00-{TRACE}-{SPAN}"),), False),
        ((), False),
    ],
)
async def test_every_line_of_a_call_says_its_ids(
    start: Start, metadata: tuple[tuple[str, str], ...], kept: bool
) -> None:
    _, stubs = await start()
    given = (*metadata, ("x-request-id", "mine-1"))
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        await stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest(), metadata=given)
        failed = await fails(stubs.training.GetJob(training_pb2.GetJobRequest(name=f"jobs/{'0' * 32}")))
        # The client has its status before the handler has left its layers.
        await eventually(lambda: [line["event"] for line in lines].count("call") == 2, "both to be logged")
    ours = [line for line in lines if line.get("request_id") == "mine-1"]
    assert [line["event"] for line in ours] == ["call"]
    assert (ours[0]["trace_id"] == TRACE) is kept
    assert "span_id" not in ours[0], "nobody records spans"
    other = next(line for line in lines if line["event"] == "call" and line not in ours)
    assert other["request_id"] == failed.request_id
    assert other["trace_id"] != ours[0]["trace_id"], "the ids of one call stuck to another"


def test_a_library_that_complains_says_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    try:
        logs.configure("info", "json")
        logs.tell_once("talkative")
        with structlog.contextvars.bound_contextvars(trace_id=TRACE):
            for _ in range(3):
                logging.getLogger("talkative.part").warning("cannot send %s", "MRN-4711")
    finally:
        structlog.configure(**before)
        logging.getLogger().handlers[:] = handlers
        talkative = logging.getLogger("talkative")
        talkative.handlers, talkative.propagate = [], True
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == [{"event": "library", "log": "talkative.part", "level": "warning", "trace_id": TRACE}]


WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
"""


def test_nothing_of_it_is_loaded_where_nobody_collects(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from server.app import Server
from server.settings import Settings
import kohort, server.worker
async def run():
    given = dict(port=0, metrics_port=-1, data_dir=Path(sys.argv[1]), devices="", log_level="error")
    server = Server(Settings(**given))
    await server.start()
    client = kohort.AsyncClient(f"127.0.0.1:{server.port}")
    await client.capabilities()
    await client.close()
    await server.stop()
asyncio.run(run())
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
"""
    assert python(code, str(tmp_path)).splitlines()[-1] == "[]"


def test_asked_for_without_the_extra_is_told_at_the_start(tmp_path: Path) -> None:
    code = (
        WITHOUT
        + """
import asyncio
from pathlib import Path
from server.app import Server, StartError
from server.settings import Settings
given = dict(port=0, metrics_port=-1, data_dir=Path(sys.argv[1]), devices="", log_level="error")
try:
    asyncio.run(Server(Settings(**given, otlp_endpoint="http://127.0.0.1:1")).start())
except StartError as error:
    print(error)
"""
    )
    assert "kohort-server[otel]" in python(code, str(tmp_path))


@pytest.mark.parametrize(
    "url",
    ["collector:4317", "grpc://collector:4317", "http://collector", "http://me:secret@collector:4317",
     "http://collector:4317/v1/traces"],
)  # fmt: skip
def test_an_endpoint_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="otlp_endpoint must look like"):
        Settings(otlp_endpoint=url)


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_tracing(TracingConfig("https://127.0.0.1:1", ca=str(tmp_path / "none")), "kohort", "1")
    headers = tmp_path / "headers"
    headers.write_text("no colon, but secret")
    headers.chmod(0o644)
    with pytest.raises(ValueError, match="otlp_headers_file must not be open"):
        open_tracing(TracingConfig("http://127.0.0.1:1", headers_file=str(headers)), "kohort", "1")
    headers.chmod(0o640)
    with pytest.raises(ValueError, match="name: value") as caught:
        open_tracing(TracingConfig("http://127.0.0.1:1", headers_file=str(headers)), "kohort", "1")
    assert "secret" not in str(caught.value)
