"""Every setting of the server, each with its default and what it means.

A value comes from, strongest first: a flag (``--port 50052``), an environment
variable (``KOHORT_PORT=50052``), the TOML file named by ``KOHORT_CONFIG``, the
default. Secrets are never values here, only names of files.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from server.blobs import BlobPlace, check_key
from server.slots import parse_kinds, parse_slots
from server.tracing import TracingConfig

MEBIBYTE = 1 << 20
MESSAGE_BYTES = 4 * MEBIBYTE
"""What every gRPC client takes without being told; the contract stays below it."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Settings(BaseSettings):
    """What can be set. `Settings()` with nothing set serves loopback from ./var."""

    model_config = SettingsConfigDict(
        env_prefix="KOHORT_",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_prog_name="python -m server",
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    # Where it listens.
    host: str = "127.0.0.1"
    """Address of the gRPC port. Anything but loopback needs TLS and identities."""
    port: int = Field(50051, ge=0, le=65535)
    """The gRPC port; 0 takes a free one."""
    metrics_host: str = "127.0.0.1"
    """Address of the metrics port. Metrics name no patient, tenant or job."""
    metrics_port: int = Field(9464, ge=-1, le=65535)
    """The Prometheus port; 0 takes a free one, -1 serves none."""
    address_file: Path | None = None
    """Where to write `host:port` once the gRPC port answers; for port 0."""
    reflection: bool = False
    """Whether gRPC server reflection is offered."""
    max_connection_age_seconds: float = Field(0, ge=0)
    """Connections are asked to reconnect after this; 0 never. Set it with TLS: a certificate that was
    replaced or revoked lives on in old connections."""

    # What it keeps, and where.
    data_dir: Path = Path("var")
    """Directory of the database, the blobs and the scratch space."""
    database_url: str = ""
    """SQLAlchemy URL; empty means SQLite in `data_dir`. PostgreSQL for several machines."""
    blob_url: str = ""
    """Where datasets, models, reports and checkpoints are kept: `s3://bucket/prefix`, for several machines.
    Empty: a directory in `data_dir`."""
    blob_endpoint: str = ""
    """URL of the S3 service, `https://host:port`; empty: Amazon's, by region."""
    blob_region: str = ""
    """Region of the bucket; empty: AWS_REGION, else us-east-1."""
    blob_credentials_file: Path | None = None
    """INI file with `aws_access_key_id`, `aws_secret_access_key` and, if need be, `aws_session_token` below
    `[default]`; read again when it changes. Without it, those of the AWS environment: variables, web
    identity, container or machine."""
    blob_ca_file: Path | None = None
    """PEM authorities of `blob_endpoint`, besides the system's."""
    patient_key_file: Path = Field(default_factory=lambda known: known["data_dir"] / "keys" / "patients")
    """The key of patient hashes and splits. All machines of a deployment need the same; made at its first
    start."""
    dataset_ttl_seconds: float = Field(7 * 86400, gt=0)
    """How long the bytes of a dataset live when the upload does not say."""
    max_dataset_ttl_seconds: float = Field(90 * 86400, gt=0)
    """The longest life an upload may ask for."""

    # Jobs and workers.
    devices: str = "cpu:1"
    """Slots of this machine: `cpu:N` for N slots, `cuda:I` for GPU I, separated by commas. Empty: none."""
    executor: Literal["local", "ray"] = "local"
    """Where jobs run: `local`: on the devices of this machine and of standing workers; `ray`: where a Ray
    cluster places them, see ray.md."""
    ray_address: str = ""
    """The Ray cluster, such as `10.0.0.5:6379` or `ray://head:10001`; empty: RAY_ADDRESS, else one on this
    machine."""
    ray_kinds: str = "cpu"
    """What Ray may place jobs on, separated by commas: `cpu`, `cuda` (one GPU a job). A job that names no
    device goes to the first."""
    ray_cpus_per_job: float = Field(1, gt=0)
    """CPUs that Ray sets aside for a job."""
    ray_max_jobs: int = Field(16, ge=1)
    """Jobs of one kind that are with Ray at once, running or waiting for room."""
    lease_seconds: float = Field(30, gt=0)
    """A worker that is silent for so long has lost its job."""
    heartbeat_seconds: float = Field(5, gt=0)
    """How often a worker renews its lease."""
    poll_seconds: float = Field(1, gt=0)
    """How often workers look for jobs, and at the least watchers for events, when nothing woke them."""
    max_attempts: int = Field(3, ge=1)
    """A job whose worker was lost so often has failed."""
    max_queued_jobs: int = Field(100, ge=1)
    """Jobs that may wait, of all callers."""
    max_jobs_per_principal: int = Field(20, ge=1)
    """Jobs of one principal that may wait or run."""
    max_running_per_principal: int = Field(4, ge=1)
    """Jobs of one principal that may run at once."""
    max_runtime_seconds: float = Field(24 * 3600, gt=0)
    """The longest a job may run, all attempts together."""
    checkpoint_seconds: float = Field(30, gt=0)
    """With `blob_url`: how often a running training's checkpoint is sent there, at most."""
    cancel_grace_seconds: float = Field(10, ge=0)
    """From asking a training to stop to SIGTERM."""
    terminate_grace_seconds: float = Field(5, ge=0)
    """From SIGTERM to SIGKILL."""
    min_patients_per_value: int = Field(5, ge=2)
    """Values that fewer patients share are never learned as such, when a request does not say."""
    max_rows_per_patient: int = Field(16, ge=1)
    """Rows of one patient that are learned from, when a request does not say."""
    evaluation_profile: Literal["none", "standard", "full"] = "standard"
    """How every model is evaluated before it is published, when a request does not say."""
    max_evaluation_seconds: float = Field(7200, gt=0)
    """The longest time budget of an evaluation."""
    max_evaluations_per_day: int = Field(20, ge=1)
    """Evaluations of one model, or of foreign rows against one dataset, in 24 hours; Train adds its own."""
    request_id_ttl_seconds: float = Field(24 * 3600, gt=0)
    """How long a request id makes a call safe to repeat."""

    # Limits.
    max_upload_bytes: int = Field(2048 * MEBIBYTE, ge=1)
    """Bytes of one upload."""
    max_rows: int = Field(20_000_000, ge=1)
    """Rows of one table."""
    max_columns: int = Field(2000, ge=1)
    """Columns of one table."""
    max_units: int = Field(1_000_000_000, ge=1)
    """Units of one Sample call."""
    max_bundle_bytes: int = Field(512 * MEBIBYTE, ge=1)
    """Bytes of one imported bundle."""
    max_sample_streams: int = Field(32, ge=1)
    """Sample, DownloadModel and DownloadReport streams at once."""
    max_upload_streams: int = Field(8, ge=1)
    """UploadDataset and ImportModel streams, and schema inferences, at once."""
    max_watch_streams: int = Field(512, ge=1)
    """Train, Evaluate, Status and Cancel streams at once."""
    parse_seconds: float = Field(600, gt=0)
    """The longest that reading one upload may take."""
    parse_memory_bytes: int = Field(6144 * MEBIBYTE, ge=64 * MEBIBYTE)
    """Memory (address space) that the process reading an upload may take for the tables."""
    sample_threads: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1)
    """Threads that run graphs for Sample, one batch of one stream at a time."""
    graph_threads: int = Field(1, ge=1, le=64)
    """Threads inside one operator of a graph: more end a stream sooner where cores are free, and cost more
    CPU time in all. The rows are the same."""
    cached_models: int = Field(16, ge=1)
    """Models held ready to sample."""

    # Who may call, and how.
    tls_certificate: Path | None = None
    """PEM certificate chain of the server; read again when it changes."""
    tls_key: Path | None = None
    """PEM key of the certificate."""
    tls_client_ca: Path | None = None
    """PEM authorities of client certificates; set, every client must present one."""
    tokens_file: Path | None = None
    """Bearer tokens, hashed (`python -m server token create`); read again when it changes."""
    identities_file: Path | None = None
    """JSON: tenant, name and roles by URI of the client certificate; read again when it changes."""
    signing_key_file: Path = Field(default_factory=lambda known: known["data_dir"] / "keys" / "signing.pem")
    """PEM Ed25519 key that signs bundles; made at the first start where there is none."""
    trusted_keys_file: Path | None = None
    """PEM Ed25519 public keys whose bundles ImportModel trusts, besides the server's own."""
    import_unverified: bool = False
    """Whether ImportModel takes bundles that no trusted key signed; they are marked unverified."""

    # How it runs and stops.
    drain_delay_seconds: float = Field(0, ge=0)
    """From reporting NOT_SERVING to ending streams: time for load balancers to notice."""
    drain_grace_seconds: float = Field(30, ge=0)
    """How long running calls may take to end once the server stops."""
    otlp_endpoint: str = ""
    """URL of an OpenTelemetry collector (OTLP over gRPC), such as `http://collector:4317`, that gets spans of
    calls and jobs; needs the extra `otel`. Empty: none are made. See docs/tracing.md."""
    otlp_ca: Path | None = None
    """PEM authorities of the collector, for an `https` endpoint; without it the usual ones."""
    otlp_headers_file: Path | None = None
    """File of `name: value` lines, such as a token, that go with every export; not open to all users."""
    trace_sample_ratio: float = Field(1.0, ge=0, le=1)
    """Share of the traces begun here that are recorded; of a client's trace the client decides."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line that is logged."""
    log_format: Literal["json", "console"] = "json"
    """`json`: one JSON object a line; `console`: lines for a person."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        plain = (url.path or "/", url.query, url.fragment, url.username) == ("/", "", "", None)
        if value and not (url.scheme in ("http", "https") and url.hostname and url.port and plain):
            raise ValueError("otlp_endpoint must look like http://collector:4317")
        return value

    @field_validator("devices")
    @classmethod
    def _devices(cls, value: str) -> str:
        parse_slots(value)
        return value

    @field_validator("blob_url")
    @classmethod
    def _blob_url(cls, value: str) -> str:
        url = urlsplit(value)
        plain = url.scheme == "s3" and _BUCKET.fullmatch(url.netloc) and not url.query and not url.fragment
        if value and not plain:
            raise ValueError("must look like s3://bucket/prefix")
        if url.path.strip("/"):
            check_key(url.path.strip("/"))
        return value

    @field_validator("blob_endpoint")
    @classmethod
    def _blob_endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (url.scheme in ("http", "https") and url.hostname and not url.username):
            raise ValueError("must look like https://host:port; keys go into blob_credentials_file")
        return value

    @field_validator("ray_kinds")
    @classmethod
    def _ray_kinds(cls, value: str) -> str:
        parse_kinds(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.identities_file and not self.tls_client_ca:
            raise ValueError("identities_file needs tls_client_ca: only a verified certificate names anybody")
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        if self.executor == "ray" and "devices" in self.model_fields_set and self.slots():
            raise ValueError("with executor ray the devices are Ray's to give: leave devices unset")
        if not self.is_loopback:
            if not self.tls_certificate:
                raise ValueError(f"host {self.host} is not loopback: set tls_certificate and tls_key")
            if not self.has_identities:
                raise ValueError(f"host {self.host} is not loopback: set tokens_file or identities_file")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gRPC port."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def has_identities(self) -> bool:
        """Whether callers must say who they are; otherwise everybody on this machine is the administrator."""
        return self.tokens_file is not None or self.identities_file is not None

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'kohort.db'}"

    @property
    def tracing(self) -> TracingConfig:
        """Where spans go."""
        return TracingConfig(
            self.otlp_endpoint,
            self.trace_sample_ratio,
            str(self.otlp_ca.absolute()) if self.otlp_ca else "",
            str(self.otlp_headers_file.absolute()) if self.otlp_headers_file else "",
        )

    @property
    def blob_place(self) -> BlobPlace:
        """Where blobs are kept."""
        files = (self.blob_credentials_file, self.blob_ca_file)
        names = [str(file.absolute()) if file else "" for file in files]
        return BlobPlace(self.blob_url, self.blob_endpoint, self.blob_region, *names)

    def slots(self) -> tuple[str, ...]:
        """The device slots of this machine, such as ("cpu:0", "cpu:1")."""
        explicit = "devices" in self.model_fields_set
        return () if self.executor == "ray" and not explicit else parse_slots(self.devices)

    def kinds(self) -> tuple[str, ...]:
        """The kinds of device that Ray places jobs on, such as ("cuda", "cpu")."""
        return parse_kinds(self.ray_kinds)

    def offered(self) -> tuple[str, ...]:
        """The devices that this server answers for: its slots, or the kinds that Ray places jobs on."""
        return self.kinds() if self.executor == "ray" else self.slots()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and arguments, then the environment, then the file of KOHORT_CONFIG."""
        config = os.environ.get("KOHORT_CONFIG")
        if config and not Path(config).is_file():
            raise ValueError("KOHORT_CONFIG names no file")
        file = (TomlConfigSettingsSource(settings_cls, toml_file=config),) if config else ()
        return (init_settings, env_settings, *file)


def from_flags(arguments: Sequence[str]) -> Settings:
    """The settings with command-line flags on top. Exits with a usage text on a bad flag."""
    options: dict[str, Any] = {"_cli_parse_args": list(arguments)}
    return Settings(**options)
