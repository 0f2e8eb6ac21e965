"""All tasks of a user at once: stopped when the user is disabled, emptied when the user is deleted.

An emptied task keeps its state and its times, so that what was counted stays counted; nothing tells
any more what it was. Like every change of a state, each of these is one conditional statement.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.people.users import DELETED
from mecapy_backend.store.tables import api_tokens, tasks, users
from mecapy_jupyter import wire

_t, _u = tasks.c, users.c
_BATCH = 1000  # rows a statement; a statement may take two seconds


@dataclass(frozen=True, slots=True)
class StoppedTasks:
    ended: list[str]  # these were queued
    running: list[str]  # these run: their workers are to be told


async def stop(db: AsyncEngine, owner: str) -> StoppedTasks:
    """Queued tasks are cancelled at once, running ones marked; see `tasks.cancel`."""
    queued = _t.state == wire.QUEUED
    cancelled = sa.literal(wire.Outcome(wire.CANCELLED).as_json(), _t.outcome.type)
    change = sa.update(tasks).where(_t.owner == owner, _t.state.in_([wire.QUEUED, wire.RUNNING]))
    change = change.values(
        cancel_requested=True,
        state=sa.case((queued, wire.CANCELLED), else_=_t.state),
        completed_at=sa.case((queued, sa.func.now()), else_=None),
        outcome=sa.case((queued, cancelled), else_=None),
    )
    async with db.connect() as connection:
        rows = (await connection.execute(change.returning(_t.id, _t.state))).all()
    return StoppedTasks(
        [row.id for row in rows if row.state == wire.CANCELLED],
        [row.id for row in rows if row.state == wire.RUNNING],
    )


async def empty(db: AsyncEngine, owner: str) -> list[str]:
    """The next tasks emptied, by id; none: all are. What still runs is cancelled: its worker finds
    that it lost it, and keeps nothing.
    """
    some = sa.select(_t.id).where(_t.owner == owner, _t.request_digest != b"").limit(_BATCH)
    alive = _t.state.in_([wire.QUEUED, wire.RUNNING])
    change = sa.update(tasks).where(_t.id.in_(some))
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
    async with db.connect() as connection:
        return list((await connection.execute(change.returning(_t.id))).scalars())


async def finish(db: AsyncEngine, owner: str) -> None:
    """Nothing tells any more who it was. The same person may come again, as a new user."""
    change = (
        sa.update(users)
        .where(_u.id == owner)
        .values(issuer=DELETED, subject=owner, name="", email="", role="user", disabled=True)
    )
    async with db.connect() as connection:
        await connection.execute(sa.delete(api_tokens).where(api_tokens.c.owner == owner))
        await connection.execute(change)
