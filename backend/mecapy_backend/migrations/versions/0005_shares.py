"""Fair shares: which lane a task waits in, the processor time it took, what each owner used in a
month; and the audit.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("short", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("tasks", sa.Column("cpu_s", sa.Float, nullable=False, server_default="0"))
    op.drop_index("tasks_queued_of_owner", "tasks")
    op.create_index(
        "tasks_queued_of_owner",
        "tasks",
        ["owner", "short", sa.text("priority DESC"), "created_at"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "usage",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("cpu_s", sa.Float, nullable=False),
        sa.Column("tasks", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "month", name="usage_pkey"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
    )
    op.create_index("audit_at", "audit", ["at"])
    op.create_index("audit_who", "audit", ["who", "id"])


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_table("usage")
    op.drop_index("tasks_queued_of_owner", "tasks")
    op.create_index(
        "tasks_queued_of_owner", "tasks", ["owner"], postgresql_where=sa.text("state = 'queued'")
    )
    op.drop_column("tasks", "cpu_s")
    op.drop_column("tasks", "short")
