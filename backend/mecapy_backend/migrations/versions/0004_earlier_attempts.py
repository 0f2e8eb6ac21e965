"""The attempts of a task that ended before the one its row describes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("earlier", JSONB, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("tasks", "earlier")
