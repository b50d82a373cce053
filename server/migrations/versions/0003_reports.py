"""Reports, release policies and what custodians decide otherwise."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
oldest = "0002"

_JOB_COLUMNS = ("report", "subject_model", "subject_dataset", "holdout_dataset")


def _number() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("number", kind, autoincrement=True, nullable=False)


def upgrade() -> None:
    for name in _JOB_COLUMNS:
        op.add_column("jobs", sa.Column(name, sa.String(length=64), nullable=False, server_default=""))
    op.create_table(
        "reports",
        _number(),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("synthetic_dataset", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("holdout_dataset", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("overview", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("json_key", sa.String(length=1024), nullable=False),
        sa.Column("html_key", sa.String(length=1024), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reports")),
        sa.UniqueConstraint("id", name=op.f("uq_reports_id")),
    )
    op.create_index(op.f("ix_reports_tenant_number"), "reports", ["tenant", "number"], unique=False)
    op.create_index(op.f("ix_reports_model_number"), "reports", ["model", "number"], unique=False)
    op.create_table(
        "policies",
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("update_time", sa.Double(), nullable=False),
        sa.Column("updated_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_policies")),
    )
    op.create_table(
        "overrides",
        _number(),
        sa.Column("tenant", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_overrides")),
    )
    op.create_index(
        op.f("ix_overrides_tenant_model_number"), "overrides", ["tenant", "model", "number"], unique=False
    )
    turns = sa.table("turns", sa.column("name", sa.String))
    op.bulk_insert(turns, [{"name": "policies"}])


def downgrade() -> None:
    op.execute("DELETE FROM turns WHERE name = 'policies'")
    op.drop_index(op.f("ix_overrides_tenant_model_number"), table_name="overrides")
    op.drop_table("overrides")
    op.drop_table("policies")
    op.drop_index(op.f("ix_reports_model_number"), table_name="reports")
    op.drop_index(op.f("ix_reports_tenant_number"), table_name="reports")
    op.drop_table("reports")
    for name in reversed(_JOB_COLUMNS):
        op.drop_column("jobs", name)
