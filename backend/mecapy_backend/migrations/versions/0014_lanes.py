"""A lane of the queue is of one class of machines, too."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
serves = "0009"


def upgrade() -> None:
    op.drop_index("tasks_queued_of_owner", "tasks")
    op.create_index(
        "tasks_queued_of_owner",
        "tasks",
        ["owner", "machine_class", "short", "python", sa.text("priority DESC"), "created_at"],
        postgresql_where=sa.text("state = 'queued'"),
    )
