"""What everybody's tasks took in a month, and how long they waited, for those who look after them
and those who pay.
"""

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
    euros: float


async def monthly(db: AsyncEngine, organisation: str | None, month: date) -> list[MonthlyUsage]:
    """Who took the most comes first. `organisation` None: of all and none."""
    name = sa.func.coalesce(_u.name, "")
    query = (
        sa.select(_g.owner, name, _u.organisation, _g.cpu_s, _g.tasks, _g.euros)
        .join_from(usage, users, _g.owner == _u.id, isouter=True)
        .where(_g.month == month)
        .order_by(_g.cpu_s.desc(), _g.owner)
    )
    if organisation is not None:
        query = query.where(_u.organisation == organisation)
    async with db.connect() as connection:
        return [
            MonthlyUsage(user, name, group, round(cpu_s / 3600, 6), tasks, round(euros, 6))
            for user, name, group, cpu_s, tasks, euros in await connection.execute(query)
        ]


@dataclass(frozen=True, slots=True)
class MonthlyWaits:
    """Of one organisation's tasks that ended in a month and are still kept: how many, and how long
    half and 99 of 100 of them waited.
    """

    tasks: int
    p50_s: float
    p99_s: float


_WAITS = sa.text("""
    SELECT u.organisation, count(*) AS tasks,
           coalesce(percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
             ORDER BY extract(epoch FROM t.started_at - t.created_at)::float8
           ) FILTER (WHERE NOT EXISTS (SELECT FROM task_inputs WHERE child = t.id)),
           ARRAY[0, 0]) AS waits_s
    FROM users u JOIN tasks t ON t.owner = u.id
    WHERE t.completed_at >= CAST(:month AS date)::timestamp AT TIME ZONE 'UTC'
      AND t.completed_at < (CAST(:month AS date) + interval '1 month') AT TIME ZONE 'UTC'
      AND t.started_at IS NOT NULL AND (:anybody OR u.organisation = :organisation)
    GROUP BY u.organisation
""").bindparams(
    sa.bindparam("anybody", type_=sa.Boolean), sa.bindparam("organisation", type_=sa.Text)
)


async def monthly_waits(
    db: AsyncEngine, organisation: str | None, month: date
) -> dict[str | None, MonthlyWaits]:
    """By organisation; `organisation` None: of all and none. The wait of a task with parents does
    not count, because it waited for them.
    """
    values = {"month": month, "anybody": organisation is None, "organisation": organisation}
    async with db.connect() as connection:
        rows = await connection.execute(_WAITS, values)
        return {row.organisation: MonthlyWaits(row.tasks, *row.waits_s) for row in rows}
