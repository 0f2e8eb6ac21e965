"""Whom a task tells of its end, and when that is tried next."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0024"
down_revision = "0023"
serves = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("notify", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.add_column("tasks", sa.Column("notify_at", sa.TIMESTAMP(timezone=True)))
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_to_notify")
        op.create_index(
            "tasks_to_notify",
            "tasks",
            ["notify_at"],
            postgresql_where=sa.text("notify_at IS NOT NULL AND completed_at IS NOT NULL"),
            postgresql_concurrently=True,
        )
