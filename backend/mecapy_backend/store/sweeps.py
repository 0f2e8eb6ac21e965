"""Sweeps: the points that are wanted, in order, and the tasks that compute them. A task belongs to
a sweep as long as it is kept; its results are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.database import all_rows, changed
from mecapy_backend.store.tables import sweep_tasks, sweeps, tasks
from mecapy_backend.store.tasks import user_tasks
from mecapy_jupyter import wire

_s, _m, _t = sweeps.c, sweep_tasks.c, tasks.c
_now = sa.func.clock_timestamp()
_MOST = 1000
_HEAD = (_s.name, _s.state, sa.func.cardinality(_s.points).label("point_count"), _s.created_at)


async def begin(db: AsyncEngine, owner: str, asked: wire.SweepRequest) -> None:
    """Creates a sweep, or replaces the points of the one of that name."""
    new = {"points": list(asked.points), "about": asked.about, "changed_at": _now}
    change = insert(sweeps).values(owner=owner, name=asked.name, **new)
    again = new | {"state": "running"}
    change = change.on_conflict_do_update(index_elements=["owner", "name"], set_=again)
    await changed(db, change)


async def add(db: AsyncEngine, owner: str, name: str, task_id: str, points: Sequence[str]) -> None:
    """Records that the task computes these points of the sweep. Idempotent."""
    change = insert(sweep_tasks).values(task=task_id, owner=owner, sweep=name, points=points)
    await changed(db, change.on_conflict_do_nothing())


async def of_owner(db: AsyncEngine, owner: str) -> list[wire.SweepStatus]:
    """The most recently changed first, without their points and tasks."""
    query = sa.select(*_HEAD, _s.changed_at, _s.about).where(_s.owner == owner)
    query = query.order_by(_s.changed_at.desc()).limit(_MOST)
    return [_status(row) for row in await all_rows(db, query)]


async def get(
    db: AsyncEngine, owner: str, name: str, since: datetime | None = None
) -> wire.SweepStatus | None:
    """The sweep and its tasks; with `since` no points, and only tasks that ended then or later.
    The tasks are read first, so that what a pause has cancelled is not seen without the pause.
    """
    query = (
        sa.select(_m.task, _t.state, _m.points, _t.worker)
        .add_columns(_t.created_at, _t.started_at, _t.completed_at)
        .join_from(sweep_tasks, tasks, _m.task == _t.id)
        .where(_m.owner == owner, _m.sweep == name)
        .order_by(_t.created_at, _t.id)
    )
    if since is not None:
        query = query.where(_t.completed_at >= since)
    head = sa.select(*_HEAD, _s.changed_at, _s.about).where(_s.owner == owner, _s.name == name)
    if since is None:
        head = head.add_columns(_s.points)
    async with db.connect() as connection:
        at = (await connection.execute(sa.select(_now))).scalar_one()
        found = (await connection.execute(query)).all()
        row = (await connection.execute(head)).first()
    members = tuple(
        wire.SweepTask(each.task, each.state, tuple(each.points), *each[3:]) for each in found
    )
    return None if row is None else _status(row, at, members)


def _status(
    row: Any, at: datetime | None = None, members: tuple[wire.SweepTask, ...] = ()
) -> wire.SweepStatus:
    return wire.SweepStatus(
        row.name,
        row.state,
        row.point_count,
        row.created_at,
        row.changed_at,
        at,
        row.about,
        tuple(getattr(row, "points", ())),
        members,
    )


async def change_state(
    db: AsyncEngine, queue: Queue, owner: str, name: str, state: wire.SweepState
) -> bool:
    """Paused: its queued tasks are cancelled; cancelled: those that run, too. False: no such
    sweep.
    """
    change = sa.update(sweeps).where(_s.owner == owner, _s.name == name)
    change = change.values(state=state, changed_at=_now)
    if not await changed(db, change):
        return False
    if state != "running":
        members = sa.select(_m.task).where(_m.owner == owner, _m.sweep == name)
        waiting = _t.state == wire.QUEUED
        only = _t.id.in_(members) if state == "cancelled" else sa.and_(_t.id.in_(members), waiting)
        await user_tasks.stop(db, queue, owner, only)
    return True


async def forget_old(db: AsyncEngine, keep_s: float) -> None:
    """Those that are as old as tasks become, and of which no task is left."""
    kept = sa.exists().where(_m.owner == _s.owner, _m.sweep == _s.name)
    old = _s.changed_at < _now - timedelta(seconds=keep_s)
    await changed(db, sa.delete(sweeps).where(old, ~kept))
