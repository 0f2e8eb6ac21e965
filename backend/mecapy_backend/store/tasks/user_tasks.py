"""All tasks of a user at once: stopped when the user is disabled, emptied when the user is deleted.

An emptied task keeps its state and its times, so that what was counted stays counted; nothing shows
any more what it was. Like every change of a state, each of these is one conditional statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.database import changed, column
from mecapy_backend.store.log import events
from mecapy_backend.store.tables import tasks
from mecapy_backend.store.tasks import cancelling
from mecapy_jupyter import wire

_t = tasks.c
is_not_empty = _t.request_digest != b""
_BATCH = 1000  # rows a statement; a statement may take two seconds
_REDIS_WITHIN_S = 1.0


async def stop(
    db: AsyncEngine, queue: Queue, owner: str, only: sa.ColumnElement[bool] | None = None
) -> None:
    """Cancels them. Workers of running ones learn it through Redis, or with their next lease
    renewal.
    """
    for task in await cancelling.stop(db, owner, sa.true() if only is None else only):
        with suppress(RedisError, OSError):
            async with asyncio.timeout(_REDIS_WITHIN_S):
                await tell_stopped(queue, [task])


async def tell_stopped(queue: Queue, stopped: Sequence[cancelling.Stopped]) -> None:
    """Asks workers to stop running tasks, and publishes the end of the others."""
    for task in stopped:
        if task.state == wire.RUNNING:
            await queue.announce_cancel(task.id)
        else:
            await end_waiting(queue, task.id)


async def end_waiting(queue: Queue, task_id: str) -> None:
    """Publish that a waiting task was cancelled."""
    await queue.withdraw(task_id)
    await events.append_end(queue, task_id, wire.Outcome(wire.CANCELLED))


async def not_emptied(db: AsyncEngine, owner: str) -> list[str]:
    """The next tasks to empty, by id."""
    some = sa.select(_t.id).where(_t.owner == owner, is_not_empty).limit(_BATCH)
    return await column(db, some)


async def empty(db: AsyncEngine, owner: str, task_ids: Sequence[str]) -> None:
    """What still runs is cancelled: its worker finds that it lost it, and keeps nothing."""
    alive = _t.state.in_([*wire.WAITING, wire.RUNNING])
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
