"""Sweeps: named lists of points, and which tasks compute them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, TIMESTAMP

revision = "0011"
down_revision = "0010"
serves = "0009"


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "sweeps",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="running"),
        sa.Column("points", ARRAY(sa.Text), nullable=False),
        sa.Column("about", JSON, nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.Column("changed_at", TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.PrimaryKeyConstraint("owner", "name", name="sweeps_pkey"),
        sa.CheckConstraint("state IN ('running','paused','cancelled')", name="sweeps_state"),
    )
    op.create_table(
        "sweep_tasks",
        sa.Column("task", sa.Uuid, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("sweep", sa.Text, nullable=False),
        sa.Column("points", ARRAY(sa.Text), nullable=False),
        sa.PrimaryKeyConstraint("task", name="sweep_tasks_pkey"),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.id"], name="sweep_tasks_task_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("sweep_tasks_of_sweep", "sweep_tasks", ["owner", "sweep"])


def downgrade() -> None:
    op.drop_table("sweep_tasks")
    op.drop_table("sweeps")
