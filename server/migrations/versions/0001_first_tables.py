"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
oldest = "0001"


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("row_counts", sa.JSON(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("expire_time", sa.Double(), nullable=False),
        sa.Column("delete_after_training", sa.Boolean(), nullable=False),
        sa.Column("delete_time", sa.Double(), nullable=True),
        sa.Column("purged", sa.Boolean(), nullable=False),
        sa.Column("blob_prefix", sa.String(length=1024), nullable=False),
        sa.Column("lineage_key", sa.String(length=1024), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_datasets")),
        sa.UniqueConstraint("id", name=op.f("uq_datasets_id")),
    )
    op.create_index(
        op.f("ix_datasets_purged_expire_time"), "datasets", ["purged", "expire_time"], unique=False
    )
    op.create_index(op.f("ix_datasets_tenant_number"), "datasets", ["tenant", "number"], unique=False)
    op.create_table(
        "jobs",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("trainer", sa.String(length=256), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("device_filter", sa.String(length=64), nullable=False),
        sa.Column("max_runtime_s", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=128), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("progress", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("start_time", sa.Double(), nullable=True),
        sa.Column("attempt_time", sa.Double(), nullable=True),
        sa.Column("end_time", sa.Double(), nullable=True),
        sa.Column("update_time", sa.Double(), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("oldest_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
    )
    op.create_index(op.f("ix_jobs_dataset"), "jobs", ["dataset"], unique=False)
    op.create_index(op.f("ix_jobs_state_number"), "jobs", ["state", "number"], unique=False)
    op.create_index(op.f("ix_jobs_tenant_number"), "jobs", ["tenant", "number"], unique=False)
    op.create_table(
        "models",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("trainer", sa.String(length=256), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("bundle_digest", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("program", sa.String(length=256), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("privacy", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("blob_key", sa.String(length=1024), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_models")),
        sa.UniqueConstraint("blob_key", name=op.f("uq_models_blob_key")),
        sa.UniqueConstraint("id", name=op.f("uq_models_id")),
    )
    op.create_index(op.f("ix_models_dataset"), "models", ["dataset"], unique=False)
    op.create_index(op.f("ix_models_tenant_number"), "models", ["tenant", "number"], unique=False)
    op.create_table(
        "requests",
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("expire_time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "request_id", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_expire_time"), "requests", ["expire_time"], unique=False)
    op.create_table(
        "turns",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_turns")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=False),
        sa.Column("start_time", sa.Double(), nullable=False),
        sa.Column("seen_time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "events",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_events_job")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
        sa.UniqueConstraint("job", "sequence", name=op.f("uq_events_job_sequence")),
    )
    turns = sa.table("turns", sa.column("name", sa.String))
    op.bulk_insert(turns, [{"name": "queue"}, {"name": "uploads"}])


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("workers")
    op.drop_table("turns")
    op.drop_index(op.f("ix_requests_expire_time"), table_name="requests")
    op.drop_table("requests")
    op.drop_index(op.f("ix_models_tenant_number"), table_name="models")
    op.drop_index(op.f("ix_models_dataset"), table_name="models")
    op.drop_table("models")
    op.drop_index(op.f("ix_jobs_tenant_number"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_state_number"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_dataset"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(op.f("ix_datasets_tenant_number"), table_name="datasets")
    op.drop_index(op.f("ix_datasets_purged_expire_time"), table_name="datasets")
    op.drop_table("datasets")
