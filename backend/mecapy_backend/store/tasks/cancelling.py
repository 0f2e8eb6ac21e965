"""Cancelling: a task that waits has ended at once, one that runs is marked and its worker ends it.

Each is one conditional statement, and tasks that have ended stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, first
from mecapy_backend.store.tables import task_inputs, tasks
from mecapy_jupyter import wire
from mecapy_jupyter.wire import State

_t, _e = tasks.c, task_inputs.c


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`state` now: `cancelled` at once for a queued task, `running` until its worker has stopped
    it.
    """

    state: str
    ended: bool  # this call ended it
    awaited: bool = False  # others may be blocked by it: `graph.settle`


@dataclass(frozen=True, slots=True)
class Stopped:
    """`state`: `cancelled`, or `running` while its worker stops it."""

    id: str
    state: State
    awaited: bool


async def stop(db: AsyncEngine, owner: str, which: sa.ColumnElement[bool]) -> list[Stopped]:
    """All tasks of the owner that are meant and have not ended."""
    waits = _t.state.in_(wire.WAITING)
    cancelled = sa.literal(wire.Outcome(wire.CANCELLED).as_json(), _t.outcome.type)
    alive = _t.state.in_([*wire.WAITING, wire.RUNNING])
    change = sa.update(tasks).where(_t.owner == owner, which, alive)
    change = change.values(
        cancel_requested=True,
        state=sa.case((waits, wire.CANCELLED), else_=_t.state),
        completed_at=sa.case((waits, sa.func.now()), else_=None),
        outcome=sa.case((waits, cancelled), else_=_t.outcome),
    )
    rows = await all_rows(db, change.returning(_t.id, _t.state, _t.awaited))
    return [Stopped(*row) for row in rows]


async def cancel(db: AsyncEngine, owner: str, task_id: str) -> Cancellation | None:
    """None: no such task."""
    for task in await stop(db, owner, _t.id == task_id):
        return Cancellation(task.state, task.state == wire.CANCELLED, task.awaited)
    row = await first(db, sa.select(_t.state).where(_t.id == task_id, _t.owner == owner))
    return Cancellation(row.state, False) if row else None


async def cancel_below(db: AsyncEngine, owner: str, task_id: str) -> list[Stopped]:
    """Everything that depends on a task."""
    below = sa.select(_e.child).where(_e.parent == task_id).cte("below", recursive=True)
    below = below.union(sa.select(_e.child).join(below, _e.parent == below.c.child))
    return await stop(db, owner, _t.id.in_(sa.select(below.c.child)))
