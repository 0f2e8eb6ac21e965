"""A retry waits for a while: not before this time."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
serves = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("not_before", sa.TIMESTAMP(timezone=True)))
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_not_before")
        op.create_index(
            "tasks_not_before",
            "tasks",
            ["not_before"],
            postgresql_where=sa.text("not_before IS NOT NULL"),
            postgresql_concurrently=True,
        )
