"""How many bytes the files of a report take; unknown of the reports there are."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
oldest = "0003"


def upgrade() -> None:
    op.add_column("reports", sa.Column("size_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("reports", "size_bytes")
