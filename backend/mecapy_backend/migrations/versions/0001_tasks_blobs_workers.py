"""Tasks, blobs and workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, TIMESTAMP

revision = "0001"
down_revision = None

_now = sa.text("now()")


def _time(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=not required,
        server_default=_now if required else None,
    )


def upgrade() -> None:
    _create_tasks()
    _index_tasks()
    _create_blobs_and_workers()


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("worker", sa.Text),
        _time("lease_until"),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        _time("created_at", required=True),
        _time("started_at"),
        _time("completed_at"),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("request", JSON, nullable=False),
        sa.Column("digests", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("outcome", JSON),
        sa.Column("log", JSON),
        sa.Column("log_blob", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        sa.UniqueConstraint("owner", "idempotency_key", name="tasks_owner_idempotency_key_key"),
        sa.CheckConstraint(
            "state IN ('queued','running','completed','failed','cancelled')", name="tasks_state"
        ),
    )


def _index_tasks() -> None:
    queued, running = sa.text("state = 'queued'"), sa.text("state = 'running'")
    op.create_index(
        "tasks_queued", "tasks", [sa.text("priority DESC"), "created_at"], postgresql_where=queued
    )
    op.create_index("tasks_queued_of_owner", "tasks", ["owner"], postgresql_where=queued)
    op.create_index("tasks_running", "tasks", ["worker", "lease_until"], postgresql_where=running)
    ended = sa.text("completed_at IS NOT NULL")
    op.create_index(
        "tasks_ended_of_owner",
        "tasks",
        ["owner", sa.text("completed_at DESC")],
        postgresql_where=ended,
    )
    op.create_index("tasks_of_owner", "tasks", ["owner", sa.text("created_at DESC"), "id"])
    op.create_index("tasks_digests", "tasks", ["digests"], postgresql_using="gin")


def _create_blobs_and_workers() -> None:
    op.create_table(
        "blobs",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger),
        _time("created_at", required=True),
        _time("used_at", required=True),
        sa.PrimaryKeyConstraint("owner", "digest", name="blobs_pkey"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("info", JSON, nullable=False),
        _time("started_at", required=True),
        _time("seen_at", required=True),
        sa.PrimaryKeyConstraint("id", name="workers_pkey"),
    )


def downgrade() -> None:
    for table in ("workers", "blobs", "tasks"):
        op.drop_table(table)
