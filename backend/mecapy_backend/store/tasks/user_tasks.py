"""All tasks of a user at once: stopped when the user is disabled, emptied when the user is deleted.

An emptied task keeps its state and its times, so that what was counted stays counted; nothing shows
any more what it was. Like every change of a state, each of these is one conditional statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.database import all_rows, changed, column
from mecapy_backend.store.log import events
from mecapy_backend.store.tables import tasks
from mecapy_backend.store.tasks import graph
from mecapy_backend.store.tasks.transitions import WAITING
from mecapy_jupyter import wire

_t = tasks.c
is_not_empty = _t.request_digest != b""
_BATCH = 1000  # rows a statement; a statement may take two seconds
_REDIS_WITHIN_S = 1.0


async def stop(
    db: AsyncEngine, queue: Queue, owner: str, only: sa.ColumnElement[bool] | None = None
) -> None:
    """Waiting tasks are cancelled at once, running ones marked and their workers told, if Redis
    answers; if not, they hear it with their next lease. See `tasks.cancel`.
    """
    waits = _t.state.in_(WAITING)
    cancelled = sa.literal(wire.Outcome(wire.CANCELLED).as_json(), _t.outcome.type)
    change = sa.update(tasks).where(_t.owner == owner, _t.state.in_([*WAITING, wire.RUNNING]))
    change = change.values(
        cancel_requested=True,
        state=sa.case((waits, wire.CANCELLED), else_=_t.state),
        completed_at=sa.case((waits, sa.func.now()), else_=None),
        outcome=sa.case((waits, cancelled), else_=None),
    )
    if only is not None:
        change = change.where(only)
    rows = await all_rows(db, change.returning(_t.id, _t.state))
    for row in rows:
        try:
            async with asyncio.timeout(_REDIS_WITHIN_S):
                if row.state == wire.RUNNING:
                    await queue.announce_cancel(row.id)
                else:
                    await end_waiting(queue, row.id)
        except (RedisError, OSError):
            continue


async def tell_stopped(queue: Queue, stopped: Sequence[graph.Stopped]) -> None:
    """Workers are asked to stop what runs; whoever follows the others hears their end."""
    for task in stopped:
        if task.state == wire.RUNNING:
            await queue.announce_cancel(task.id)
        else:
            await end_waiting(queue, task.id)


async def end_waiting(queue: Queue, task_id: str) -> None:
    """Tell whoever follows a task that it was cancelled while it waited."""
    await queue.withdraw(task_id)
    outcome = wire.Outcome(wire.CANCELLED)
    await events.append(queue, task_id, [(outcome.state, outcome.as_json())], last=True)


async def not_emptied(db: AsyncEngine, owner: str) -> list[str]:
    """The next tasks to empty, by id."""
    some = sa.select(_t.id).where(_t.owner == owner, is_not_empty).limit(_BATCH)
    return await column(db, some)


async def empty(db: AsyncEngine, owner: str, task_ids: Sequence[str]) -> None:
    """What still runs is cancelled: its worker finds that it lost it, and keeps nothing."""
    alive = _t.state.in_([*WAITING, wire.RUNNING])
    change = sa.update(tasks).where(_t.owner == owner, _t.id.in_(task_ids))
    change = change.values(
        name="",
        request={},
        request_digest=b"",
        idempotency_key=None,
        digests=[],
        outcome=None,
        earlier=[],
        log=None,
        log_blob="",
        lease_until=None,
        state=sa.case((alive, wire.CANCELLED), else_=_t.state),
        completed_at=sa.func.coalesce(_t.completed_at, sa.func.now()),
    )
    await changed(db, change)
