"""The packages that each worker has installed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("workers", sa.Column("packages", JSON))


def downgrade() -> None:
    op.drop_column("workers", "packages")
