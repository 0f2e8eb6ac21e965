"""A worker that an operator drains takes no more tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
serves = "0009"


def upgrade() -> None:
    op.add_column(
        "workers", sa.Column("draining", sa.Boolean, nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("workers", "draining")
