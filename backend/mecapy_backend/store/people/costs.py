"""What organisations' tasks cost, and which have spent their day's budget."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.tables import usage, users

_g, _u = usage.c, users.c
_DAY = sa.cast(sa.func.timezone("UTC", sa.func.now()), sa.Date)
_MONTH = sa.cast(sa.func.date_trunc("month", sa.func.timezone("UTC", sa.func.now())), sa.Date)


def by_organisation() -> sa.Subquery:
    """organisation, euros of this month, `euros_today`."""
    today = sa.func.sum(_g.day_euros).filter(_g.day == _DAY)
    query = sa.select(
        _u.organisation,
        sa.func.sum(_g.euros).label("euros"),
        sa.func.coalesce(today, 0.0).label("euros_today"),
    )
    query = query.join_from(usage, users, _g.owner == _u.id)
    query = query.where(_g.month == _MONTH, _u.organisation.is_not(None))
    return query.group_by(_u.organisation).subquery()


async def over_budget(db: AsyncEngine) -> dict[str, tuple[float, float]]:
    """Organisations whose tasks have cost the day's budget, with what they cost and the budget;
    what runs counts with what it has cost until now.
    """
    async with db.connect() as connection:
        rows = await connection.execute(_OVER)
        return {row.id: (float(row.spent), float(row.budget)) for row in rows}


_OVER = sa.text(
    """WITH limited AS (SELECT id, budget FROM organisations WHERE budget IS NOT NULL),
       today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
       ended AS (
         SELECT users.organisation, sum(day_euros) AS euros
         FROM usage JOIN users ON users.id = usage.owner, today
         WHERE usage.day = today.day
           AND users.organisation IN (SELECT id FROM limited) GROUP BY 1),
       runs AS (
         SELECT users.organisation, sum(machines.price / 3600 / (workers.info->>'slots')::int
                * extract(epoch FROM now() - greatest(tasks.started_at,
                                                      today.day::timestamp AT TIME ZONE 'UTC')))
                AS euros
         FROM tasks JOIN users ON users.id = tasks.owner
         JOIN machines ON machines.worker = tasks.worker AND machines.state <> 'gone'
         JOIN workers ON workers.id = tasks.worker, today
         WHERE tasks.state = 'running'
           AND users.organisation IN (SELECT id FROM limited) GROUP BY 1)
       SELECT limited.id, limited.budget,
              coalesce(ended.euros, 0) + coalesce(runs.euros, 0) AS spent
       FROM limited LEFT JOIN ended ON ended.organisation = limited.id
       LEFT JOIN runs ON runs.organisation = limited.id
       WHERE coalesce(ended.euros, 0) + coalesce(runs.euros, 0) >= limited.budget"""
)
