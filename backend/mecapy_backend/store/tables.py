"""The tables. Their history stands in `mecapy_backend.migrations`; a test holds both to the same
shape.

JSON columns of users are `json` and not `jsonb`: the order of their dictionaries survives, and so
does a NUL that a cell printed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, TIMESTAMP

from mecapy_backend.store.fleet_tables import fleet, machines
from mecapy_backend.store.people_tables import api_tokens, organisations, users
from mecapy_backend.store.table_parts import metadata
from mecapy_backend.store.table_parts import time_column as _time
from mecapy_backend.store.usage_tables import counts, usage, waits
from mecapy_jupyter import wire

__all__ = [
    "api_tokens",
    "counts",
    "fleet",
    "machines",
    "metadata",
    "organisations",
    "usage",
    "users",
    "waits",
]


tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column(
        "state",
        sa.Text,
        sa.CheckConstraint(
            "state IN ('blocked','queued','running','completed','failed','cancelled')", "state"
        ),
        nullable=False,
    ),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("losses", sa.Integer, nullable=False, server_default="0"),
    # The attempts before this one, see `tasks.ended`.
    sa.Column("earlier", JSONB, nullable=False, server_default="[]"),
    sa.Column("worker", sa.Text),
    _time("lease_until"),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("created_at", required=True),
    _time("started_at"),
    _time("completed_at"),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("request_digest", sa.LargeBinary, nullable=False),
    sa.Column("request", JSON(none_as_null=True), nullable=False),
    # Every blob this task names.
    sa.Column("digests", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("outcome", JSON(none_as_null=True)),
    sa.Column("log", JSON(none_as_null=True)),
    sa.Column("log_blob", sa.Text, nullable=False, server_default=""),
    # Waits in the short lane.
    sa.Column("short", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("python", sa.Text, nullable=False, server_default=""),  # "3.12"; "": any will do
    sa.Column("cpu_s", sa.Float, nullable=False, server_default="0"),  # of its last attempt
    # Has used the network.
    sa.Column("went_out", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("not_before"),  # of a retry that waits; else NULL
    sa.Column("machine_class", sa.Text, nullable=False, server_default=wire.POOL),
    sa.Column("why_there", sa.Text, nullable=False, server_default=""),
    sa.Column("extra_s", sa.Float, nullable=False, server_default="0"),  # beyond its timeout
    # Its owner's organisation may look at it.
    sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("notify", ARRAY(sa.Text), nullable=False, server_default="{}"),  # left to be told
    _time("notify_at"),  # of its end, when it is tried next; NULL: nobody is
    sa.Column("code_key", sa.LargeBinary),  # tasks with the same have the same history
    sa.Column("estimate_s", sa.Float),  # of running, from that history; NULL: there is none
    sa.Column("peak_bytes", sa.BigInteger),  # memory of its last attempt; NULL: not known
    sa.Column("input_bytes", sa.BigInteger),  # NULL: not known
    sa.Column("checkpoint", sa.Text),  # the blob that its next attempt gets
    # Others are, or were, blocked by it.
    sa.Column("awaited", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column(
        "workflow", sa.Uuid(as_uuid=False), sa.ForeignKey("workflows.id", ondelete="SET NULL")
    ),
    sa.Column("cache_key", sa.Text),  # of the cache of results; tasks with the same run once
    # Its result is given again under that key.
    sa.Column("is_cached", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("owner", "idempotency_key"),
)
sa.Index(
    "tasks_queued",
    tasks.c.priority.desc(),
    tasks.c.created_at,
    postgresql_where=tasks.c.state == wire.QUEUED,
)
sa.Index(
    "tasks_queued_of_owner",
    tasks.c.owner,
    tasks.c.machine_class,
    tasks.c.short,
    tasks.c.python,
    tasks.c.priority.desc(),
    tasks.c.created_at,
    postgresql_where=tasks.c.state == wire.QUEUED,
)
sa.Index(
    "tasks_running",
    tasks.c.worker,
    tasks.c.lease_until,
    postgresql_where=tasks.c.state == wire.RUNNING,
)
sa.Index("tasks_of_owner", tasks.c.owner, tasks.c.created_at.desc(), tasks.c.id)
sa.Index(
    "tasks_ended_of_owner",
    tasks.c.owner,
    tasks.c.completed_at.desc(),
    postgresql_where=tasks.c.completed_at.is_not(None),
)
sa.Index(
    "tasks_not_before",
    tasks.c.not_before,
    postgresql_where=tasks.c.not_before.is_not(None),
)
sa.Index(
    "tasks_cached",
    tasks.c.owner,
    tasks.c.cache_key,
    tasks.c.completed_at.desc(),
    postgresql_where=tasks.c.is_cached,
)
sa.Index(
    "tasks_to_cache",
    tasks.c.owner,
    tasks.c.cache_key,
    unique=True,
    postgresql_where=sa.and_(tasks.c.cache_key.is_not(None), tasks.c.completed_at.is_(None)),
)
sa.Index(
    "tasks_to_notify",
    tasks.c.notify_at,
    postgresql_where=sa.and_(tasks.c.notify_at.is_not(None), tasks.c.completed_at.is_not(None)),
)
sa.Index("tasks_digests", tasks.c.digests, postgresql_using="gin")

sweeps = sa.Table(
    "sweeps",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column(
        "state",
        sa.Text,
        sa.CheckConstraint("state IN ('running','paused','cancelled')", "state"),
        nullable=False,
        server_default="running",
    ),
    sa.Column("points", ARRAY(sa.Text), nullable=False),  # their content keys, in order
    sa.Column("about", JSON(none_as_null=True), nullable=False),
    _time("created_at", required=True),
    _time("changed_at", required=True),
)

sweep_tasks = sa.Table(
    "sweep_tasks",
    metadata,
    sa.Column(
        "task",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("tasks.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("sweep", sa.Text, nullable=False),
    sa.Column("points", ARRAY(sa.Text), nullable=False),  # the keys of those that it computes
)
sa.Index("sweep_tasks_of_sweep", sweep_tasks.c.owner, sweep_tasks.c.sweep)

sa.Index(
    "tasks_history",
    tasks.c.owner,
    tasks.c.code_key,
    tasks.c.completed_at.desc(),
    postgresql_where=sa.and_(tasks.c.code_key.is_not(None), tasks.c.completed_at.is_not(None)),
)

sa.Index("tasks_blocked_of_owner", tasks.c.owner, postgresql_where=tasks.c.state == wire.BLOCKED)
sa.Index(
    "tasks_of_workflow",
    tasks.c.workflow,
    tasks.c.created_at,
    postgresql_where=tasks.c.workflow.is_not(None),
)

# the edges of graphs: `child` needs the result of `parent`, a task of the same owner
task_inputs = sa.Table(
    "task_inputs",
    metadata,
    sa.Column(
        "child",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("tasks.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "parent",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("tasks.id", ondelete="CASCADE"),
        primary_key=True,
    ),
)
sa.Index("task_inputs_parent", task_inputs.c.parent)

blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger),
    _time("created_at", required=True),
    # Updated by each request that names the blob: a delete at the same time then spares the blob.
    _time("used_at", required=True),
)

reservations = sa.Table(  # room for blobs on their way, beside what is stored
    "reservations",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),  # a digest, or an upload's own name
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("until", TIMESTAMP(timezone=True), nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("info", JSON(none_as_null=True), nullable=False),
    _time("started_at", required=True),
    _time("seen_at", required=True),
    # Apart from `info`, which every heartbeat writes.
    sa.Column("packages", JSON(none_as_null=True)),
    sa.Column("draining", sa.Boolean, nullable=False, server_default=sa.false()),
)

workflows = sa.Table(  # named graphs of tasks
    "workflows",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    _time("created_at", required=True),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("request_digest", sa.LargeBinary),
    sa.UniqueConstraint("owner", "idempotency_key"),
)
sa.Index("workflows_of_owner", workflows.c.owner, workflows.c.created_at.desc(), workflows.c.id)

audit = sa.Table(  # append-only; old rows are deleted by age
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
)
sa.Index("audit_at", audit.c.at)
sa.Index("audit_who", audit.c.who, audit.c.id)
