"""compose.yaml: what it says fits the application, and its secrets open real stores to a real server."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
import yaml

import kohort
from examples.local_postgres import LocalPostgres
from examples.local_server import ROOT, LocalServer
from server.settings import Settings
from tests.core.objectstore import SeaweedFS
from tests.core.support import unavailable, until
from tests.deploy import tools

FOLDER = ROOT / "deploy"
FILE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = ("server", "worker", "worker-gpu")
HEART = ROOT / "tests" / "data" / "heart.csv"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"compose_{name}", FOLDER / "compose" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    assert script("init").main(folder) == 0
    return folder


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", OURS)
def test_the_server_takes_its_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [v for v in os.environ if v.startswith("KOHORT_")]:
        monkeypatch.delenv(variable)
    environment = SERVICES[name]["environment"]
    asked = {v.removeprefix("KOHORT_").lower() for v in environment if v.startswith("KOHORT_")}
    assert asked <= set(Settings.model_fields)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, str(value))
    settings = Settings()
    grace = settings.cancel_grace_seconds + settings.terminate_grace_seconds
    if name == "server":
        assert SERVICES[name]["ports"][0].endswith(f":{settings.port}")
        grace += settings.drain_delay_seconds + settings.drain_grace_seconds
    else:
        assert f"{settings.metrics_port}" == SERVICES[name]["command"][-1]
    assert seconds(SERVICES[name]["stop_grace_period"]) > grace + 5
    targets = {v.split(":")[1] for v in SERVICES[name]["volumes"]}
    assert targets == {"/var/lib/kohort", "/run/kohort"}
    assert not re.search(r"://[^/@]*:[^/@]*@", settings.database_url), "a password in the environment"


def test_every_container_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert "privileged" not in service
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ("healthcheck" in service) != (name == "server"), "the server's is the image's"
        assert "/" not in service["image"] or "." not in service["image"].split("/")[0], "a registry's host"
    assert [n for n, s in SERVICES.items() if "cap_add" in s] == ["secrets"]
    # Without capabilities root may not write where another user owns the directory.
    assert [n for n, s in SERVICES.items() if s.get("user", "").startswith("0")] == ["secrets"]
    # The first set-up has a socket alone.
    assert "--host=127.0.0.1" in SERVICES["database"]["healthcheck"]["test"]
    assert FILE["networks"]["data"] == FILE["networks"]["watch"] == {"internal": True}
    assert [n for n, s in SERVICES.items() if "front" in s.get("networks", [])] == ["server", "grafana"]


def test_the_front_end_can_check_what_trainers_are_asked() -> None:
    assert SERVICES["server"]["build"]["target"] == "cpu"
    assert SERVICES["server"]["image"].endswith("-cpu")
    assert SERVICES["server"]["environment"]["KOHORT_DEVICES"] == ""
    for name in (n for n, s in SERVICES.items() if s["image"].startswith("kohort:")):
        assert SERVICES[name]["image"].endswith("-cuda" if name == "worker-gpu" else "-cpu"), name


def test_what_is_mounted_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
            else:
                assert source in FILE["volumes"], f"{name}: {source}"
    dashboards = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/kohort.yaml").read_text())
    mounted = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert dashboards["providers"][0]["options"]["path"] in mounted
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or unavailable("promtool is not here")
    shutil.copytree(FOLDER / "prometheus" / "rules", tmp_path / "rules")
    shutil.copy(FOLDER / "compose" / "prometheus.yml", tmp_path)
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {
        c["job_name"]: c for c in yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert jobs["kohort"]["dns_sd_configs"][0]["names"] == list(OURS)
    assert jobs["kohort"]["dns_sd_configs"][0]["port"] == Settings.model_fields["metrics_port"].default


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compose_loads_it(tmp_path: Path) -> None:
    compose = tools.build("compose", tmp_path)
    done = tools.run(compose, "-format=json", FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)["services"]
    assert {"server", "worker", "database", "objects"} <= set(loaded)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((FOLDER / "compose.yaml").read_text().replace("stop_grace_period", "stop_grace_periode"))
    assert tools.run(compose, wrong).returncode != 0


def test_secrets_are_made_once_and_each_for_its_reader(made: Path) -> None:
    files = {p.relative_to(made).as_posix(): p for p in made.rglob("*") if p.is_file()}
    before = {name: (p.read_bytes(), p.stat().st_uid) for name, p in files.items()}
    init = script("init")
    readers = {"database": init.POSTGRES, "grafana": init.GRAFANA}
    readers |= {"objects": init.SEAWEED, "client": init.ROOT}
    for name, path in files.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
        if os.geteuid() == 0:
            assert path.stat().st_uid == readers.get(name.split("/")[0], init.KOHORT), name
    users = {int(s["user"].split(":")[0]) for s in SERVICES.values() if "user" in s}
    assert users == {init.ROOT, init.POSTGRES, init.SEAWEED, init.GRAFANA}
    assert f"ARG UID={init.KOHORT}" in (FOLDER / "Dockerfile").read_text()
    assert init.main(made) == 0
    assert {n: (p.read_bytes(), p.stat().st_uid) for n, p in files.items()} == before
    named = {v for s in SERVICES.values() for v in s.get("environment", {}).values() if "/run/" in str(v)}
    for path in (n for n in named if n.startswith("/run/kohort/")):
        assert path.replace("/run/kohort/", "kohort/") in files, path


@pytest.fixture
def postgres(made: Path) -> Iterator[str]:
    """A server that asks for the password; the URL of compose.yaml with its address."""
    if not LocalPostgres.installed():
        unavailable("needs PostgreSQL's initdb and pg_ctl")
    with LocalPostgres() as server:
        admin = sa.create_engine(
            server.url("postgres").replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
        )
        password = (made / "database" / "password").read_text()
        with admin.connect() as connection:
            connection.execute(sa.text("CREATE DATABASE kohort"))
            connection.execute(sa.text(f"ALTER ROLE kohort PASSWORD '{password}'"))
        (server.folder / "data" / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        server.run("pg_ctl", "-D", str(server.folder / "data"), "reload")
        until(lambda: not _opens(admin), "the password to be asked for")
        url = SERVICES["server"]["environment"]["KOHORT_DATABASE_URL"]
        yield url.replace("@database:5432/kohort", f"@/kohort?host={server.folder}")


def _opens(engine: sa.Engine) -> bool:
    """Whether a new connection is let in."""
    engine.dispose()
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True


@pytest.fixture
def objects(made: Path, tmp_path: Path) -> Iterator[SeaweedFS]:
    """A store that knows the secrets' key alone."""
    store = SeaweedFS(tmp_path / "weed")
    (identity,) = json.loads((made / "objects" / "s3.json").read_text())["identities"]
    (pair,) = identity["credentials"]
    store.access_key, store.secret_key = pair["accessKey"], pair["secretKey"]
    with store:
        yield store


@pytest.mark.slow
def test_the_secrets_open_everything(made: Path, postgres: str, objects: SeaweedFS, tmp_path: Path) -> None:
    places = {"/run/kohort": str(made / "kohort"), "http://objects:8333": objects.endpoint}

    def environment(name: str) -> dict[str, str]:
        found = {}
        for variable, value in SERVICES[name]["environment"].items():
            for there, here in places.items():
                value = str(value).replace(there, here)
            found[variable] = value
        # Off loopback nothing is opened here.
        found = {**found, "KOHORT_HOST": "127.0.0.1", "KOHORT_METRICS_HOST": "127.0.0.1"}
        return {**found, "KOHORT_DATABASE_URL": postgres, "KOHORT_EVALUATION_PROFILE": "none"}

    here = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "python")))}
    filer = f"http://127.0.0.1:{objects._ports['filer']}"
    for bucket in ("kohort", "another", "another"):  # there, made, there: the same to those who wait for it
        assert script("bucket").main(filer, bucket) == 0
    server = LocalServer(tmp_path, "--devices", "", environment=environment("server"))
    command = [sys.executable, "-m", "server", *SERVICES["worker"]["command"]]
    command[command.index("--metrics-port") + 1] = "0"
    with server, (tmp_path / "worker.log").open("wb") as log:
        worker = psutil.Popen(
            [*command, f"--data-dir={tmp_path / 'elsewhere'}"],
            cwd=ROOT, env={**os.environ, **here, **environment("worker")}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            health = [sys.executable, "-m", "server", "health", f"--address={server.address}", "--timeout=20"]
            for flags in ([], [f"--ca={made / 'client' / 'ca.pem'}", "--service=kohort.v1.SamplingService"]):
                done = subprocess.run(
                    [*health, *flags], env={**os.environ, **here, **environment("server")},
                    cwd=ROOT, capture_output=True, text=True,
                )  # fmt: skip
                assert (done.returncode, done.stdout.strip()) == (0, "SERVING"), done.stdout + done.stderr
            trust = kohort.TLS(root_certificates=made / "client" / "ca.pem")
            token = (made / "client" / "token").read_text()
            with kohort.Client(server.address, tls=trust, token=token) as client:
                model = client.train(client.upload(HEART, table="heart"), trainer="independent").result()
                assert len(client.sample(model, 50)) == 50
            wrong = kohort.Client(server.address, tls=trust, token=f"{token[:-4]}0000")
            with wrong as stranger, pytest.raises(kohort.Unauthenticated):
                stranger.capabilities()
        finally:
            worker.terminate()
            worker.wait(60)
