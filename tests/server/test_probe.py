"""`python -m server health` against real servers, with and without TLS and client certificates."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from server import probe
from server.__main__ import main
from server.app import Server
from server.settings import Settings
from tests.authority import LOOPBACK, Authority
from tests.server.conftest import settings

ROOT = Path(__file__).resolve().parents[2]
SAMPLING, TRAINING = "kohort.v1.SamplingService", "kohort.v1.TrainingService"
Ask = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KOHORT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs the command as the container does; its exit status and its word."""

    def run(*flags: str) -> tuple[int, str]:
        status = main(["health", "--timeout", "20", *flags])
        return status, capsys.readouterr().out.splitlines()[-1]

    return run


def files(folder: Path, authority: Authority, *names: x509.GeneralName) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    found = {"tls_key": folder / "server.key", "tls_certificate": folder / "server.crt"}
    for path, data in zip(found.values(), authority.issue("server", *names), strict=True):
        path.write_bytes(data)
    return found


def flags_of(**paths: Path) -> list[str]:
    return [f"--{name.replace('_', '-')}={path}" for name, path in paths.items()]


async def test_says_what_the_server_says(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(settings(tmp_path))
    await server.start()
    try:
        address = f"127.0.0.1:{server.port}"
        assert await asyncio.to_thread(ask, "--address", address) == (0, "SERVING")
        assert await asyncio.to_thread(ask, "--address", address, "--service", SAMPLING) == (0, "SERVING")
        # It has no worker.
        asked = ("--address", address, "--service", TRAINING)
        assert await asyncio.to_thread(ask, *asked) == (1, "NOT_SERVING")
        asked = ("--address", address, "--service", "kohort.v1.NoService")
        assert await asyncio.to_thread(ask, *asked) == (1, "SERVICE_UNKNOWN")
        monkeypatch.setenv("KOHORT_PORT", str(server.port))
        assert await asyncio.to_thread(ask) == (0, "SERVING"), "its settings are the server's"
        told = tmp_path / "address"
        told.write_text(address)
        assert await asyncio.to_thread(ask, "--port=0", f"--address-file={told}") == (0, "SERVING")
    finally:
        await server.stop()
    status, word = await asyncio.to_thread(ask)
    assert (status, word.split(":")[0]) == (1, "UNAVAILABLE"), "nobody listens"


@pytest.mark.parametrize(
    "names", [(x509.DNSName("kohort.hospital"),), (x509.DNSName("*.hospital"),), (LOOPBACK,)]
)
async def test_knows_the_server_by_its_own_certificate(
    tmp_path: Path, ask: Ask, names: tuple[x509.GeneralName, ...]
) -> None:
    authority = Authority("hospital")
    mine = files(tmp_path / "mine", authority, *names)
    other = files(tmp_path / "other", authority, *names)
    server = Server(settings(tmp_path, **mine))
    await server.start()
    try:
        port = f"--port={server.port}"
        assert await asyncio.to_thread(ask, port, *flags_of(**mine)) == (0, "SERVING")
        status, word = await asyncio.to_thread(ask, port, *flags_of(**other))
        assert (status, word.split(":")[0]) == (1, "UNAVAILABLE"), "another of the same authority is not it"
        status, _ = await asyncio.to_thread(ask, port)
        assert status == 1, "plaintext is not what it speaks"
    finally:
        await server.stop()


async def test_shows_a_certificate_where_one_is_demanded(tmp_path: Path, ask: Ask) -> None:
    authority, stranger = Authority("hospital"), Authority("stranger")
    ca, identity = tmp_path / "ca.pem", tmp_path / "who.json"
    ca.write_bytes(authority.pem)
    identity.write_text('{"certificates": {}}')
    mine = files(tmp_path / "mine", authority, LOOPBACK)
    theirs = files(tmp_path / "theirs", stranger, LOOPBACK)
    server = Server(settings(tmp_path, tls_client_ca=ca, identities_file=identity, **mine))
    await server.start()
    try:
        asked = [f"--address=127.0.0.1:{server.port}", f"--ca={ca}"]
        assert (await asyncio.to_thread(ask, *asked))[0] == 1, "none shown"
        shown = [f"--cert={theirs['tls_certificate']}", f"--key={theirs['tls_key']}"]
        assert (await asyncio.to_thread(ask, *asked, *shown))[0] == 1, "a stranger's shown"
        shown = [f"--cert={mine['tls_certificate']}", f"--key={mine['tls_key']}"]
        assert await asyncio.to_thread(ask, *asked, *shown) == (0, "SERVING")
        beside = flags_of(tls_client_ca=ca, **mine)
        assert await asyncio.to_thread(ask, asked[0], *beside) == (0, "SERVING"), "shows the server's own"
    finally:
        await server.stop()


def test_called_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["health", "--cert", "only.pem"])
    assert caught.value.code == 2
    monkeypatch.setenv("KOHORT_PORT", "many")
    assert main(["health"]) == 2
    monkeypatch.delenv("KOHORT_PORT")
    nameless = files(tmp_path / "nameless", Authority("a"))
    assert main(["health", *flags_of(**nameless)]) == 1
    assert "names no host" in capsys.readouterr().err
    assert main(["health", "--ca", str(tmp_path / "none.pem")]) == 1
    assert "none.pem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "127.0.0.1:5"), ("::", "[::1]:5"), ("::1", "[::1]:5"), ("10.0.0.7", "10.0.0.7:5")],
)
def test_asks_where_the_server_listens(tmp_path: Path, host: str, asked: str) -> None:
    mine = files(tmp_path / "mine", Authority("a"), LOOPBACK)
    tokens = tmp_path / "tokens"
    flags = ["--port=5", f"--host={host}", *flags_of(tokens_file=tokens, **mine)]
    assert Settings(_cli_parse_args=flags).host == host  # type: ignore[call-arg]
    assert probe.question(flags).address == asked


def test_costs_little_to_start() -> None:
    """A container asks every few seconds."""
    code = (
        "import sys; from server.__main__ import main\n"
        "assert main(['health', '--address', '127.0.0.1:1', '--timeout', '1']) == 1\n"
        "print(sorted({'onnxruntime', 'sqlalchemy', 'pyarrow', 'alembic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
