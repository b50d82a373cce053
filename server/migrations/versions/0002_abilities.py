"""What may be asked of a model."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest = "0001"


def upgrade() -> None:
    op.add_column("models", sa.Column("abilities", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "abilities")
