"""Reading tasks: one, a page of them, the kept log, what waits. Changes nothing; `tasks` passes
these names on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, column, first, scalar
from mecapy_backend.store.tables import task_inputs, tasks
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, State

_t = tasks.c


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task without its request and log. `outcome` is `wire.Outcome.as_json()` once it is final
    (None in a page); `parents`: whose results it needs (empty in a page).
    """

    id: str
    name: str
    state: State
    priority: int
    attempt: int
    worker: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    log_blob: str
    earlier: list[JsonObject]  # the attempts before this one
    short: bool
    python: str  # "3.12": waits for a worker that has it; "": any will do
    workflow: str | None
    machine_class: str
    why_there: str
    shared: bool
    estimate_s: float | None
    outcome: JsonObject | None = None
    parents: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        return self.state in wire.FINAL


_COLUMNS = [
    _t[name]
    for name in (
        "id", "name", "state", "priority", "attempt", "worker", "cancel_requested", "created_at",
        "started_at", "completed_at", "log_blob", "earlier", "short", "python", "workflow",
        "machine_class", "why_there", "shared", "estimate_s",
    )
]  # fmt: skip


async def get(db: AsyncEngine, owner: str, task_id: str) -> TaskRow | None:
    parents = sa.select(task_inputs.c.parent).where(task_inputs.c.child == _t.id)
    chosen = sa.select(*_COLUMNS, _t.outcome, sa.func.array(parents.scalar_subquery()))
    row = await first(db, chosen.where(_t.id == task_id, _t.owner == owner))
    if row is None:
        return None
    *columns, found = row
    return TaskRow(*columns, parents=tuple(map(str, found)))


async def request(db: AsyncEngine, owner: str, task_id: str) -> JsonObject | None:
    """The request as it was submitted."""
    return await scalar(db, sa.select(_t.request).where(_t.id == task_id, _t.owner == owner))


async def page(
    db: AsyncEngine,
    owner: str,
    *,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
    state: str | None = None,
    name: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[TaskRow]:
    """The newest first. `after`: (created_at, id) of the last task of the page before; `name` may
    hold `*`.
    """
    query = (
        sa.select(*_COLUMNS)
        .where(_t.owner == owner)
        .order_by(_t.created_at.desc(), _t.id.desc())
        .limit(limit)
    )
    if after:
        query = query.where(
            sa.tuple_(_t.created_at, _t.id)
            < sa.tuple_(
                *[sa.literal(v, c.type) for v, c in zip(after, (_t.created_at, _t.id), strict=True)]
            )
        )
    if state:
        query = query.where(_t.state == state)
    if name:
        query = query.where(_t.name.like(_like(name), escape="\\"))
    if since:
        query = query.where(_t.created_at >= since)
    if until:
        query = query.where(_t.created_at < until)
    return [TaskRow(*row) for row in await all_rows(db, query)]


def _like(glob: str) -> str:
    return glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")


async def request_starts(
    db: AsyncEngine, owner: str, task_ids: Sequence[str], chars: int
) -> dict[str, str]:
    """Task → the beginning of the JSON that was submitted, as text: its code comes first, and what
    is submitted may be megabytes.
    """
    start = sa.func.left(sa.cast(_t.request, sa.Text), chars).label("start")
    query = sa.select(_t.id, start).where(_t.owner == owner, _t.id.in_(task_ids))
    return {row.id: row.start for row in await all_rows(db, query)}


async def stored_log(db: AsyncEngine, owner: str, task_id: str) -> list[wire.Event]:
    """The events a final task keeps in its row (without the final one). A longer log lies in the
    blob `TaskRow.log_blob`.
    """
    log = await scalar(db, sa.select(_t.log).where(_t.id == task_id, _t.owner == owner))
    return [wire.Event(**event) for event in log or ()]


@dataclass(frozen=True, slots=True)
class QueuedTask:
    id: str
    owner: str
    short: bool
    python: str
    machine_class: str
    priority: int
    created_at: datetime


QUEUED_COLUMNS = [
    _t[name]
    for name in ("id", "owner", "short", "python", "machine_class", "priority", "created_at")
]


_LANE = _t.owner, _t.machine_class, _t.short, _t.python
_may_start = sa.or_(_t.not_before.is_(None), _t.not_before <= sa.func.now())


async def due_again(db: AsyncEngine) -> list[QueuedTask]:
    """Retries whose pause is over and that have not started."""
    due = _t.state == wire.QUEUED, _t.not_before <= sa.func.now()
    query = sa.select(*QUEUED_COLUMNS).where(*due)
    return [QueuedTask(*row) for row in await all_rows(db, query.order_by(*_LANE))]


async def queued_tasks(db: AsyncEngine) -> list[QueuedTask]:
    """All queued tasks; those of one owner and lane together, in the order they start in."""
    query = (
        sa.select(*QUEUED_COLUMNS)
        .where(_t.state == wire.QUEUED, _may_start)
        .order_by(*_LANE, _t.priority.desc(), _t.created_at)
    )
    return [QueuedTask(*row) for row in await all_rows(db, query)]


async def queue_heads(db: AsyncEngine, each: int = 20) -> list[QueuedTask]:
    """The first few queued tasks of every owner and lane: whatever Redis lost of a queue, some of
    it is here.

    Jumps through the index from one owner to the next; how many wait behind a head costs nothing.
    """
    return [QueuedTask(*row) for row in await all_rows(db, _HEADS, {"each": each})]


_HEADS = sa.text(
    """WITH RECURSIVE lines AS (
         (SELECT owner, machine_class, short, python FROM tasks WHERE state = 'queued'
          ORDER BY owner, machine_class, short, python LIMIT 1)
         UNION ALL
         SELECT next.* FROM lines, LATERAL (
           SELECT owner, machine_class, short, python FROM tasks
           WHERE state = 'queued'
             AND (owner, machine_class, short, python)
               > (lines.owner, lines.machine_class, lines.short, lines.python)
           ORDER BY owner, machine_class, short, python LIMIT 1
         ) AS next
       )
       SELECT head.* FROM lines, LATERAL (
         SELECT id::text, owner, short, python, machine_class, priority, created_at FROM tasks
         WHERE state = 'queued' AND owner = lines.owner
           AND machine_class = lines.machine_class AND short = lines.short
           AND python = lines.python
           AND (not_before IS NULL OR not_before <= now())
         ORDER BY priority DESC, created_at LIMIT :each
       ) AS head"""
)


async def running_for_s(db: AsyncEngine) -> list[tuple[str, float]]:
    """The worker of each running task of all owners, and its run time so far in seconds."""
    elapsed = sa.extract("epoch", sa.func.clock_timestamp() - _t.started_at)
    query = sa.select(_t.worker, elapsed).where(
        _t.state == wire.RUNNING, _t.started_at.is_not(None)
    )
    rows = await all_rows(db, query.limit(1000))
    return [(worker, max(float(seconds), 0.0)) for worker, seconds in rows]


async def mean_run_s(db: AsyncEngine, owner: str) -> float | None:
    """Mean seconds of running of the owner's last tasks: what an estimate of a waiting time rests
    on.
    """
    last = sa.select(sa.extract("epoch", _t.completed_at - _t.started_at).label("seconds"))
    last = (
        last.where(_t.owner == owner, _t.started_at.is_not(None), _t.completed_at.is_not(None))
        .order_by(_t.completed_at.desc())  # not by creation: a long queue would be read to its end
        .limit(20)
        .subquery()
    )
    seconds = await scalar(db, sa.select(sa.func.avg(last.c.seconds)))
    return None if seconds is None else float(seconds)


async def parents_left(db: AsyncEngine, task_id: str) -> list[str]:
    """Names of the parents that a blocked task waits for, the oldest first."""
    return await column(db, _PARENTS_LEFT, {"child": task_id})


_PARENTS_LEFT = sa.text(
    """SELECT coalesce(nullif(parent.name, ''), left(parent.id::text, 8))
       FROM task_inputs AS edge JOIN tasks AS parent ON parent.id = edge.parent
       WHERE edge.child = :child AND parent.state <> 'completed'
       ORDER BY parent.created_at, parent.id"""
).bindparams(sa.bindparam("child", type_=sa.Uuid(as_uuid=False)))
