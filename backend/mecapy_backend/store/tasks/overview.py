"""Tasks of many users, for managers and admins: whose, in which state, when. Code and data are not
read.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows
from mecapy_backend.store.tables import tasks, users
from mecapy_jupyter.wire import TaskOfUser

_t, _u = tasks.c, users.c


_COLUMNS = (
    _t.id,
    _t.name,
    _t.state,
    _t.owner,
    _u.name,
    _u.organisation,
    _t.priority,
    _t.created_at,
    _t.started_at,
    _t.completed_at,
)


async def page(
    db: AsyncEngine,
    organisation: str | None,
    *,
    user: str | None,
    state: str | None,
    before: datetime | None,
    limit: int,
) -> list[TaskOfUser]:
    """The newest first. `organisation` None: of all and none."""
    query = (
        sa.select(*_COLUMNS)
        .join_from(tasks, users, _t.owner == _u.id)
        .order_by(_t.created_at.desc(), _t.id)
        .limit(limit)
    )
    if organisation is not None:
        query = query.where(_u.organisation == organisation)
    if user:
        query = query.where(_t.owner == user)
    if state:
        query = query.where(_t.state == state)
    if before:
        query = query.where(_t.created_at < before)
    return [TaskOfUser(*row) for row in await all_rows(db, query)]
