"""The newest tasks of everybody, for those who look after them, without sorting all there are."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("tasks_newest", "tasks", [sa.text("created_at DESC"), "id"])


def downgrade() -> None:
    op.drop_index("tasks_newest", "tasks")
