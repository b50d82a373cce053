"""The tables of the database. `migrations/` creates them (`versions` apart); a test compares the two.

Every row carries its tenant. Times are seconds since 1970 by the database's
clock. `number` columns grow with time: they order queues and lists.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite only numbers rows by itself in a column of type INTEGER.
_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _number() -> sa.Column[int]:
    return sa.Column("number", _Number, primary_key=True, autoincrement=True)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=nullable)


def _text(name: str, length: int = 256) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, default="")


jobs = sa.Table(
    "jobs",
    metadata,
    _number(),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    _text("tenant"),
    _text("principal"),
    _text("dataset", 64),
    _text("trainer"),
    sa.Column("spec", sa.JSON(), nullable=False),
    _text("device_filter", 64),
    sa.Column("max_runtime_s", sa.Double(), nullable=False),
    _text("state", 16),
    _text("phase", 128),
    sa.Column("attempt", sa.Integer(), nullable=False, default=0),
    sa.Column("losses", sa.Integer(), nullable=False, default=0),
    _text("worker", 64),
    _text("device", 64),
    _time("lease_until", nullable=True),
    sa.Column("progress", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
    _text("model", 64),
    _text("report", 64),
    # Of an evaluation: what it looks at beside `dataset`, as `SubjectSpec` says.
    _text("subject_model", 64),
    _text("subject_dataset", 64),
    _text("holdout_dataset", 64),
    _time("create_time"),
    _time("start_time", nullable=True),
    _time("attempt_time", nullable=True),
    _time("end_time", nullable=True),
    _time("update_time"),
    sa.Column("run_seconds", sa.Double(), nullable=False, default=0.0),
    sa.Column("last_sequence", sa.BigInteger(), nullable=False, default=0),
    sa.Column("oldest_sequence", sa.BigInteger(), nullable=False, default=1),
    # The place in a trace at which it was asked for, as `server.tracing` writes it.
    sa.Column("traceparent", sa.String(64), nullable=True),
    sa.Index(None, "state", "number"),
    sa.Index(None, "tenant", "number"),
    sa.Index(None, "dataset"),
)

EVALUATES = jobs.c.subject_model + jobs.c.subject_dataset != ""
"""Whether a job is an evaluation by itself."""

events = sa.Table(
    "events",
    metadata,
    _number(),
    sa.Column("job", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("sequence", sa.BigInteger(), nullable=False),
    _time("time"),
    sa.Column("attempt", sa.Integer(), nullable=False),
    _text("kind", 16),
    sa.Column("payload", sa.JSON(), nullable=False),
    sa.UniqueConstraint("job", "sequence"),
)

datasets = sa.Table(
    "datasets",
    metadata,
    _number(),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    _text("tenant"),
    _text("principal"),
    _text("display_name"),
    sa.Column("labels", sa.JSON(), nullable=False),
    sa.Column("schema", sa.JSON(), nullable=False),
    sa.Column("findings", sa.JSON(), nullable=False),
    sa.Column("row_counts", sa.JSON(), nullable=False),
    sa.Column("size_bytes", sa.BigInteger(), nullable=False),
    sa.Column("digest", sa.LargeBinary(), nullable=False),
    _time("create_time"),
    _time("expire_time"),
    sa.Column("delete_after_training", sa.Boolean(), nullable=False),
    _time("delete_time", nullable=True),
    sa.Column("purged", sa.Boolean(), nullable=False, default=False),
    _text("blob_prefix", 1024),
    _text("lineage_key", 1024),
    sa.Index(None, "tenant", "number"),
    sa.Index(None, "purged", "expire_time"),
)

models = sa.Table(
    "models",
    metadata,
    _number(),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    _text("tenant"),
    _text("principal"),
    _text("display_name"),
    sa.Column("labels", sa.JSON(), nullable=False),
    sa.Column("schema", sa.JSON(), nullable=False),
    _text("trainer"),
    sa.Column("parameters", sa.JSON(), nullable=False),
    _text("job", 64),
    _text("dataset", 64),
    sa.Column("content_digest", sa.LargeBinary(), nullable=False),
    sa.Column("bundle_digest", sa.LargeBinary(), nullable=False),
    sa.Column("size_bytes", sa.BigInteger(), nullable=False),
    _text("program"),
    _text("unit", 16),
    sa.Column("verified", sa.Boolean(), nullable=False),
    sa.Column("privacy", sa.JSON(), nullable=False),
    sa.Column("findings", sa.JSON(), nullable=False),
    _time("create_time"),
    sa.Column("blob_key", sa.String(1024), nullable=False, unique=True),
    sa.Column("abilities", sa.JSON(none_as_null=True), nullable=True),
    sa.Index(None, "tenant", "number"),
    sa.Index(None, "dataset"),
)

# One without `json_key` is the evidence that is left of a report whose files are gone.
reports = sa.Table(
    "reports",
    metadata,
    _number(),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    _text("tenant"),
    _text("principal"),
    _text("model", 64),
    _text("synthetic_dataset", 64),
    _text("dataset", 64),
    _text("holdout_dataset", 64),
    _text("job", 64),
    _text("display_name"),
    sa.Column("labels", sa.JSON(), nullable=False),
    sa.Column("overview", sa.JSON(), nullable=False),
    sa.Column("evidence", sa.JSON(), nullable=False),
    _text("json_key", 1024),
    _text("html_key", 1024),
    _time("create_time"),
    sa.Column("size_bytes", sa.BigInteger(), nullable=True),
    sa.Index(None, "tenant", "number"),
    sa.Index(None, "model", "number"),
)

# The release policy of a tenant that changed it; the others have the defaults.
policies = sa.Table(
    "policies",
    metadata,
    sa.Column("tenant", sa.String(256), primary_key=True),
    sa.Column("policy", sa.JSON(), nullable=False),
    _text("etag", 64),
    _time("update_time"),
    _text("updated_by"),
)

# Every decision about one model, none ever changed: the newest holds, and an empty state holds nothing.
overrides = sa.Table(
    "overrides",
    metadata,
    _number(),
    _text("tenant"),
    _text("model", 64),
    _text("state", 32),
    sa.Column("reason", sa.Text(), nullable=False),
    _text("principal"),
    _time("time"),
    sa.Index(None, "tenant", "model", "number"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _text("slot", 64),
    _text("kind", 16),
    _text("host"),
    _time("start_time"),
    _time("seen_time"),
)

# What a request with a request id made, so that repeating it makes nothing twice.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("tenant", sa.String(256), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("request_id", sa.String(64), primary_key=True),
    sa.Column("request_hash", sa.LargeBinary(), nullable=False),
    _text("resource", 64),
    _time("expire_time"),
    sa.Index(None, "expire_time"),
)

# Rows ("queue", "uploads", "policies") that transactions lock to take turns where counting must be exact.
turns = sa.Table("turns", metadata, sa.Column("name", sa.String(32), primary_key=True))

# What all machines have in common, by name.
deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)

# One row, kept by `server.store.migrate` as Alembic keeps its own: the tables' revision, and the oldest
# revision whose code may work on them.
versions = sa.Table(
    "versions",
    metadata,
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("oldest", sa.String(32), nullable=False),
)
