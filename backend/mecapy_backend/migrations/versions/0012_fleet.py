"""Machines of the fleet; and of each task its class, and what its history says."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
serves = "0009"


def _of_tasks() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("machine_class", sa.Text, nullable=False, server_default="pool"),
        sa.Column("why_there", sa.Text, nullable=False, server_default=""),
        sa.Column("code_key", sa.LargeBinary),
        sa.Column("estimate_s", sa.Float),
        sa.Column("peak_bytes", sa.BigInteger),
    )


def _time(name: str, *, required: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if required else None
    return sa.Column(
        name, sa.TIMESTAMP(timezone=True), nullable=not required, server_default=default
    )


def upgrade() -> None:
    for column in _of_tasks():
        op.add_column("tasks", column)
    op.create_index(
        "tasks_history",
        "tasks",
        ["owner", "code_key", sa.text("completed_at DESC")],
        postgresql_where=sa.text("code_key IS NOT NULL AND completed_at IS NOT NULL"),
    )
    op.create_table(
        "machines",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("machine_class", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("handle", sa.Text, nullable=False, server_default=""),
        sa.Column("worker", sa.Text),
        sa.Column("why", sa.Text, nullable=False, server_default=""),
        sa.Column("price", sa.Float, nullable=False, server_default="0"),
        sa.Column("billing_s", sa.Integer, nullable=False, server_default="0"),
        _time("created_at", required=True),
        _time("ended_at"),
        sa.CheckConstraint(
            "state IN ('wanted','booting','serving','draining','stopping','gone')",
            name="machines_state",
        ),
    )
    op.create_index(
        "machines_alive",
        "machines",
        ["created_at"],
        postgresql_where=sa.text("state <> 'gone'"),
    )
    op.create_index("machines_ended", "machines", ["ended_at"])
    op.create_table(
        "fleet",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("swept", sa.Boolean, nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    op.drop_table("fleet")
    op.drop_table("machines")
    op.drop_index("tasks_history", "tasks")
    for column in _of_tasks():
        op.drop_column("tasks", column.name)
