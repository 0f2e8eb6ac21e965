"""What everybody's tasks took in a month, for those who look after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.tables import usage, users

_g, _u = usage.c, users.c


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """Of one user. Name and organisation are those of today; "" where the user was erased."""

    user: str
    user_name: str
    organisation: str | None
    cpu_hours: float
    tasks: int


async def monthly(db: AsyncEngine, organisation: str | None, month: date) -> list[MonthlyUsage]:
    """Who took the most comes first. `organisation` None: of all and none."""
    query = (
        sa.select(_g.owner, sa.func.coalesce(_u.name, ""), _u.organisation, _g.cpu_s, _g.tasks)
        .join_from(usage, users, _g.owner == _u.id, isouter=True)
        .where(_g.month == month)
        .order_by(_g.cpu_s.desc(), _g.owner)
    )
    if organisation is not None:
        query = query.where(_u.organisation == organisation)
    async with db.connect() as connection:
        return [
            MonthlyUsage(user, name, group, round(cpu_s / 3600, 6), tasks)
            for user, name, group, cpu_s, tasks in await connection.execute(query)
        ]
