"""The Python version of a task, which waits for a worker of that version."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("python", sa.Text, nullable=False, server_default=""))
    op.execute(
        "UPDATE tasks SET python = coalesce(request->>'python', '') "
        "WHERE state IN ('queued', 'running')"
    )
    _line(["owner", "short", "python", sa.text("priority DESC"), "created_at"])


def downgrade() -> None:
    _line(["owner", "short", sa.text("priority DESC"), "created_at"])
    op.drop_column("tasks", "python")


def _line(columns: Sequence[str | sa.TextClause]) -> None:
    op.drop_index("tasks_queued_of_owner", "tasks")
    op.create_index(
        "tasks_queued_of_owner",
        "tasks",
        columns,
        postgresql_where=sa.text("state = 'queued'"),
    )
