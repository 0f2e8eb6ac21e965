"""A task that its owner shares with the organisation."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
serves = "0009"


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false())
    )
