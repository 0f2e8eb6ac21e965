"""The tables. Their history stands in `mecapy_backend.migrations`; a test holds both to the same shape.

JSON columns are `json` and not `jsonb`: the order of a user's dictionaries survives, and so does a NUL that a cell printed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, TIMESTAMP

from mecapy_jupyter import wire

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)
_NOW = sa.text("now()")


def _time(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=not required, server_default=_NOW if required else None)


tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column(
        "state", sa.Text, sa.CheckConstraint("state IN ('queued','running','completed','failed','cancelled')", "state"), nullable=False
    ),
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
    sa.Column("request", JSON(none_as_null=True), nullable=False),
    sa.Column("digests", ARRAY(sa.Text), nullable=False, server_default="{}"),  # every blob this task names
    sa.Column("outcome", JSON(none_as_null=True)),
    sa.Column("log", JSON(none_as_null=True)),
    sa.Column("log_blob", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("owner", "idempotency_key"),
)
sa.Index("tasks_queued", tasks.c.priority.desc(), tasks.c.created_at, postgresql_where=tasks.c.state == wire.QUEUED)
sa.Index("tasks_queued_of_owner", tasks.c.owner, postgresql_where=tasks.c.state == wire.QUEUED)
sa.Index("tasks_running", tasks.c.worker, tasks.c.lease_until, postgresql_where=tasks.c.state == wire.RUNNING)
sa.Index("tasks_of_owner", tasks.c.owner, tasks.c.created_at.desc(), tasks.c.id)
sa.Index("tasks_ended_of_owner", tasks.c.owner, tasks.c.completed_at.desc(), postgresql_where=tasks.c.completed_at.is_not(None))
sa.Index("tasks_digests", tasks.c.digests, postgresql_using="gin")

blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger),
    _time("created_at", required=True),
    _time("used_at", required=True),  # moved by whoever names the blob: a delete that raced it spares the blob
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("info", JSON(none_as_null=True), nullable=False),
    _time("started_at", required=True),
    _time("seen_at", required=True),
)
