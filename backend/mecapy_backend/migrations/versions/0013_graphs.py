"""A task may need results of others, and belong to a workflow."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
serves = "0009"

_CHECK = "tasks_tasks_state"  # the convention of names was applied to a name that followed it
_STATES = "'queued','running','completed','failed','cancelled'"


def upgrade() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.Column("idempotency_key", sa.Text),
        sa.UniqueConstraint("owner", "idempotency_key", name="workflows_owner_idempotency_key_key"),
    )
    op.create_index("workflows_of_owner", "workflows", ["owner", sa.text("created_at DESC"), "id"])
    _states(f"'blocked',{_STATES}")
    op.add_column(
        "tasks", sa.Column("awaited", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column(
        "tasks",
        sa.Column(
            "workflow",
            sa.Uuid(as_uuid=False),
            sa.ForeignKey("workflows.id", ondelete="SET NULL"),
        ),
    )
    blocked, in_one = sa.text("state = 'blocked'"), sa.text("workflow IS NOT NULL")
    op.create_index("tasks_blocked_of_owner", "tasks", ["owner"], postgresql_where=blocked)
    op.create_index(
        "tasks_of_workflow", "tasks", ["workflow", "created_at"], postgresql_where=in_one
    )
    edges = [
        sa.Column(
            name,
            sa.Uuid(as_uuid=False),
            sa.ForeignKey("tasks.id", ondelete="CASCADE"),
            primary_key=True,
        )
        for name in ("child", "parent")
    ]
    op.create_table("task_inputs", *edges)
    op.create_index("task_inputs_parent", "task_inputs", ["parent"])


def downgrade() -> None:
    op.drop_table("task_inputs")
    for name in ("awaited", "workflow"):
        op.drop_column("tasks", name)
    op.execute("DELETE FROM tasks WHERE state = 'blocked'")
    _states(_STATES)
    op.drop_table("workflows")


def _states(states: str) -> None:
    op.execute(
        f"ALTER TABLE tasks DROP CONSTRAINT {_CHECK}, "
        f"ADD CONSTRAINT {_CHECK} CHECK (state IN ({states}))"
    )
