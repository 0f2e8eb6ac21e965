"""A task that its owner shares: all current members of the owner's organisation may look at it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import changed, scalar
from mecapy_backend.store.people.users import is_user
from mecapy_backend.store.tables import tasks, users

_t = tasks.c


async def set_shared(db: AsyncEngine, owner: str, task_id: str, shared: bool) -> None:
    change = sa.update(tasks).where(_t.id == task_id, _t.owner == owner)
    await changed(db, change.values(shared=shared))


async def owner_of_shared(db: AsyncEngine, task_id: str, organisation: str) -> str | None:
    """None: no such task, not shared, or of another organisation."""
    query = (
        sa.select(_t.owner)
        .join_from(tasks, users, _t.owner == users.c.id)
        .where(_t.id == task_id, _t.shared, users.c.organisation == organisation, is_user)
    )
    return await scalar(db, query)
