"""Reading tasks: one, a page of them, the kept log, what waits. Changes nothing; `tasks` passes these names on.

Called by the routes and by the worker's reconciler.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_jupyter import wire

from .tables import tasks

_t = tasks.c


@dataclass(frozen=True, slots=True)
class Task:
    """A task without its request and log. `outcome` is `wire.Outcome.as_json()` once it is final (None in a page)."""

    id: str
    name: str
    state: str
    priority: int
    attempt: int
    worker: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    log_blob: str
    outcome: dict[str, Any] | None = None

    @property
    def final(self) -> bool:
        return self.state in wire.FINAL


_COLUMNS = [_t[name] for name in ("id", "name", "state", "priority", "attempt", "worker", "cancel_requested", "created_at", "started_at",
                                  "completed_at", "log_blob")]  # fmt: skip


async def get(db: AsyncEngine, owner: str, task_id: str) -> Task | None:
    async with db.connect() as connection:
        row = (await connection.execute(sa.select(*_COLUMNS, _t.outcome).where(_t.id == task_id, _t.owner == owner))).first()
    return Task(*row) if row else None


async def request(db: AsyncEngine, owner: str, task_id: str) -> dict[str, Any] | None:
    """What was submitted."""
    async with db.connect() as connection:
        row = (await connection.execute(sa.select(_t.request).where(_t.id == task_id, _t.owner == owner))).first()
    return row.request if row else None


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
) -> list[Task]:
    """The newest first. `after`: (created_at, id) of the last task of the page before; `name` may hold `*`."""
    query = sa.select(*_COLUMNS).where(_t.owner == owner).order_by(_t.created_at.desc(), _t.id.desc()).limit(limit)
    if after:
        query = query.where(
            sa.tuple_(_t.created_at, _t.id)
            < sa.tuple_(*[sa.literal(v, c.type) for v, c in zip(after, (_t.created_at, _t.id), strict=True)])
        )
    if state:
        query = query.where(_t.state == state)
    if name:
        query = query.where(_t.name.like(_like(name), escape="\\"))
    if since:
        query = query.where(_t.created_at >= since)
    if until:
        query = query.where(_t.created_at < until)
    async with db.connect() as connection:
        return [Task(*row) for row in await connection.execute(query)]


def _like(glob: str) -> str:
    return glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")


async def kept_log(db: AsyncEngine, owner: str, task_id: str) -> list[wire.Event]:
    """The events a final task keeps in its row (without the final one). A longer log lies in the blob `Task.log_blob`."""
    async with db.connect() as connection:
        log = (await connection.execute(sa.select(_t.log).where(_t.id == task_id, _t.owner == owner))).scalar()
    return [wire.Event(**event) for event in log or ()]


async def waiting(db: AsyncEngine, limit: int = 1000) -> list[tuple[str, int]]:
    """(id, priority) of the queued tasks that start next, in that order."""
    query = sa.select(_t.id, _t.priority).where(_t.state == wire.QUEUED).order_by(_t.priority.desc(), _t.created_at).limit(limit)
    async with db.connect() as connection:
        return [(row.id, row.priority) for row in await connection.execute(query)]


async def pace(db: AsyncEngine, owner: str) -> float | None:
    """Mean seconds of running of the owner's last tasks: what an estimate of a waiting time rests on."""
    last = sa.select(sa.extract("epoch", _t.completed_at - _t.started_at).label("seconds"))
    last = (
        last.where(_t.owner == owner, _t.started_at.is_not(None), _t.completed_at.is_not(None))
        .order_by(_t.completed_at.desc())  # not by creation: a long queue would be read to its end
        .limit(20)
        .subquery()
    )
    async with db.connect() as connection:
        seconds = (await connection.execute(sa.select(sa.func.avg(last.c.seconds)))).scalar()
    return None if seconds is None else float(seconds)


async def queued(db: AsyncEngine, owner: str, most: int) -> int:
    """How many tasks of an owner are queued; stops counting at `most`."""
    rows = sa.select(sa.literal(1)).where(_t.owner == owner, _t.state == wire.QUEUED).limit(most).subquery()
    async with db.connect() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(rows))).scalar_one()


async def counts(db: AsyncEngine, owner: str) -> dict[str, int]:
    """How many tasks of an owner are in each state that is not final."""
    query = sa.select(_t.state, sa.func.count()).where(_t.owner == owner, _t.state.in_([wire.QUEUED, wire.RUNNING])).group_by(_t.state)
    async with db.connect() as connection:
        found: dict[str, int] = {row[0]: row[1] for row in await connection.execute(query)}
    return {state: found.get(state, 0) for state in (wire.QUEUED, wire.RUNNING)}
