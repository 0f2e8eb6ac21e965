"""The cache of results: the key of a task, and whether its result is kept under it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
serves = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("cache_key", sa.Text()))
    op.add_column(
        "tasks",
        sa.Column("is_cached", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    with op.get_context().autocommit_block():
        for name in ("tasks_cached", "tasks_to_cache"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(
            "tasks_cached",
            "tasks",
            ["owner", "cache_key", sa.text("completed_at DESC")],
            postgresql_where=sa.text("is_cached"),
            postgresql_concurrently=True,
        )
        op.create_index(
            "tasks_to_cache",
            "tasks",
            ["owner", "cache_key"],
            unique=True,
            postgresql_where=sa.text("cache_key IS NOT NULL AND completed_at IS NULL"),
            postgresql_concurrently=True,
        )
