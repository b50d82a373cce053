"""A real Kohort server, watched by Debian's Prometheus and Alertmanager as deploy/prometheus configures them.

They read the files of deploy/prometheus with these changes and no others: intervals are a second, targets and
receivers are ports of this machine, and an alert fires after two seconds where its rule says longer (`for`).
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import grpc
import yaml

import kohort
from examples.local_server import LocalServer
from server.identities import create_token
from tests.authority import LOOPBACK, Authority
from tests.core.support import until
from tests.operate.dashboards import Target
from tests.operate.rules import FILES, configuration

TRAINERS = "slow=tests.e2e.slow_trainer:SlowTrainer"
_ADDRESS = re.compile(r'msg="Listening on" address=(\S+)')


class Stack:
    """All of it, on free ports of loopback. Use it in a `with`; what it starts ends with it.

    Args:
        folder: where data, logs and configurations go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority("tests")
        key, chain = authority.issue("kohort", LOOPBACK)
        (folder / "server.pem").write_bytes(chain)
        (folder / "server.key").write_bytes(key)
        self._authority = authority.pem
        self._tls = kohort.TLS(root_certificates=authority.pem)
        tokens = folder / "tokens.json"
        self._tokens = {
            name: create_token(tokens, "north", name, roles)
            for name, roles in (("all", ["admin"]), ("viewer", ["viewer"]))
        }
        self.server = LocalServer(
            folder,
            *("--devices", "cpu:2", "--tls-certificate", str(folder / "server.pem")),
            *("--tls-key", str(folder / "server.key"), "--tokens-file", str(tokens)),
            environment={"KOHORT_TRAINERS": TRAINERS, "KOHORT_POLL_SECONDS": "0.2"},
        )
        self.received = Webhook()
        self.prometheus = ""
        """host:port of its API."""
        self.began = 0.0
        """When both targets had been scraped, Unix seconds."""
        self._closing = contextlib.ExitStack()

    def client(self, token: str | None = "all") -> kohort.Client:
        """A client with the named token of the stack, or with this very text."""
        found = self._tokens.get(token, token) if token else None
        return kohort.Client(self.server.address, tls=self._tls, token=found)

    def channel(self) -> grpc.Channel:
        """A bare connection; calls on it bear `metadata`."""
        return grpc.secure_channel(self.server.address, grpc.ssl_channel_credentials(self._authority))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The token that may do all."""
        return (("authorization", f"Bearer {self._tokens['all']}"),)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            closing.callback(self.received.close)
            closing.callback(self.server.stop)
            self.server.start()
            _, alertmanager = self._start(
                closing,
                "prometheus-alertmanager",
                self._write("alertmanager.yml", self._alertmanager()),
                *("--cluster.listen-address=", f"--storage.path={self.folder / 'alertmanager'}"),
            )
            rules = [self._write(file.name, _impatient(file)) for file in FILES]
            # Its log tells the port a moment after the address is there.
            port = until(self._metrics, "the server to tell its port", say=self.logs)
            targets = {"kohort": f"127.0.0.1:{port}", "prometheus": "127.0.0.1:9090"}
            process, self.prometheus = self._start(
                closing,
                "prometheus",
                self._write("prometheus.yml", _prometheus(alertmanager, rules, targets)),
                *(f"--storage.tsdb.path={self.folder / 'tsdb'}", "--log.level=info"),
            )
            until(self._is_ready, "Prometheus to be ready", say=self.logs)  # before, SIGHUP would end it
            # Its own port is known only now.
            targets["prometheus"] = self.prometheus
            self._write("prometheus.yml", _prometheus(alertmanager, rules, targets))
            process.send_signal(signal.SIGHUP)
            # What a counter held at its first scrape is in no rate.
            until(lambda: self.value("count(up == 1)") == 2, "both targets to be scraped", say=self.logs)
            self.began = time.time()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def query(self, expression: str) -> list[Any]:
        """What Prometheus answers now. Raises RuntimeError, with its words, when it refuses."""
        return self._ask("query", query=expression)

    def course(self, expression: str) -> list[Any]:
        """What Prometheus answers for each second since `began`. Raises RuntimeError as `query` does."""
        return self._ask(
            "query_range", query=expression, start=str(self.began), end=str(time.time()), step="1"
        )

    def answer(self, target: Target) -> list[Any]:
        """What a panel would be given for one of its queries, since `began`."""
        return self.query(target.expression) if target.instant else self.course(target.expression)

    def _ask(self, path: str, **said: str) -> list[Any]:
        arguments = urllib.parse.urlencode(said)
        try:
            with urllib.request.urlopen(
                f"http://{self.prometheus}/api/v1/{path}?{arguments}", timeout=30
            ) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{said['query']}: {error.read().decode()}") from error
        return found

    def value(self, expression: str) -> float:
        """Of an expression that gives one number; NaN where it gives none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else math.nan

    def logs(self) -> str:
        """All that the processes have said."""
        return "\n".join(f"== {log.name}\n{log.read_text()}" for log in sorted(self.folder.glob("*.log")))

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.prometheus}/-/ready", timeout=30):
                return True
        except urllib.error.HTTPError:
            return False

    def _metrics(self) -> int:
        """The port of the server's metrics; 0: not told yet."""
        told = (json.loads(line) for line in self.server.log().splitlines() if line.startswith("{"))
        return next((int(line["metrics_port"]) for line in told if line.get("event") == "serving"), 0)

    def _alertmanager(self) -> Any:
        found = configuration("alertmanager.yml")
        for receiver in found["receivers"]:
            for hook in receiver["webhook_configs"]:
                hook["url"] = self.received.url + urllib.parse.urlsplit(hook["url"]).path
        return found

    def _write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def _start(
        self,
        closing: contextlib.ExitStack,
        program: str,
        configuration: Path,
        *flags: str,
    ) -> tuple[subprocess.Popen[bytes], str]:
        """Starts a program on a free port; it and its address."""
        log = self.folder / f"{program}.log"
        command = [program, f"--config.file={configuration}", "--web.listen-address=127.0.0.1:0", *flags]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        closing.callback(_end, process)

        def address() -> str:
            assert process.poll() is None, f"{program} ended:\n{log.read_text()}"
            found = _ADDRESS.search(log.read_text())
            return found[1] if found else ""

        return process, str(until(address, f"{program} to listen", say=log.read_text))


class Webhook:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        """Path and content of each, in order."""
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                messages.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _prometheus(alertmanager: str, rules: list[Path], targets: dict[str, str]) -> Any:
    found = configuration("prometheus.yml")
    found["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = [str(rule) for rule in rules]
    found["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    for job in found["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return found


def _impatient(file: Path) -> Any:
    found = yaml.safe_load(file.read_text())
    for group in found["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "2s"
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
