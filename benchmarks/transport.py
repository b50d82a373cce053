"""gRPC alone: a server that streams ready messages, for what transport costs without anything else.

    python -m benchmarks.transport FILE

FILE holds the messages of one stream, each after its length in four bytes. The
first line that is printed is the port.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil

from benchmarks.measure import ROOT

METHOD = "/kohort.bench/Stream"
LARGEST = [("grpc.max_send_message_length", 8 << 20), ("grpc.max_receive_message_length", 8 << 20)]


def write(path: Path, messages: Iterable[bytes]) -> None:
    """Writes the messages of a stream."""
    with path.open("wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)


def read(path: Path) -> list[bytes]:
    """The messages of a file."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


async def serve(path: Path) -> None:
    """Serves until it is ended."""
    messages = read(path)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
                for message in messages:
                    yield message

            return grpc.unary_stream_rpc_method_handler(stream)

    server = grpc.aio.server(options=LARGEST)
    server.add_generic_rpc_handlers((Handler(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


@contextmanager
def transport(path: Path, rows: int) -> Iterator[tuple[Callable[[], int], psutil.Process]]:
    """A candidate that receives the messages, `rows` rows in all, and the process that sends them."""
    command = [sys.executable, "-m", "benchmarks.transport", str(path)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=LARGEST) as channel:
            call = channel.unary_stream(METHOD)

            def run() -> int:
                for _ in call(b"", timeout=600, wait_for_ready=True):
                    pass
                return rows

            yield run, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
