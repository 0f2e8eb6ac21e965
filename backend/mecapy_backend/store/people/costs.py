"""What organisations' tasks and the fleet's machines cost, and who has spent the day's budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows
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


@dataclass(frozen=True, slots=True)
class DayBudget:
    """What tasks have cost today (UTC), and may; in euros."""

    spent: float
    limit: float

    @property
    def is_spent(self) -> bool:
        return self.spent >= self.limit


async def day_budgets(db: AsyncEngine) -> dict[str, DayBudget]:
    """Budgets of the organisations that have one. Running tasks count with their cost until now."""
    return {
        row.id: DayBudget(float(row.spent), float(row.budget))
        for row in await all_rows(db, _BUDGETS)
    }


_BUDGETS = sa.text(
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
       LEFT JOIN runs ON runs.organisation = limited.id"""
)


@dataclass(frozen=True, slots=True)
class MachineDay:
    """Machines of one class on one day (UTC). `hours`: all of theirs together."""

    day: date
    machine_class: str
    machines: int
    hours: float
    euros: float


async def spent_today(db: AsyncEngine) -> float:
    """Euros for machines since midnight (UTC)."""
    return sum((day.euros for day in await machines_by_day(db, days=1)), 0.0)


async def machines_by_day(db: AsyncEngine, days: int = 31) -> list[MachineDay]:
    """The last day first, in the steps that machines are paid in."""
    return [MachineDay(*row) for row in await all_rows(db, _BY_DAY, {"before": days - 1})]


_BY_DAY = sa.text(
    """SELECT day::date, machine_class, count(*), sum(seconds)::float8 / 3600,
              sum(price / 3600.0 * CASE billing_s WHEN 0 THEN seconds
                  ELSE ceil(seconds / billing_s) * billing_s END)::float8
       FROM (SELECT day, machine_class, price, billing_s, extract(epoch FROM
                least(coalesce(ended_at, now()), (day + interval '1 day') AT TIME ZONE 'UTC')
                - greatest(created_at, day AT TIME ZONE 'UTC')) AS seconds
             FROM (SELECT generate_series(today - make_interval(days => :before), today,
                                          interval '1 day') AS day
                   FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AS today) AS now
                  ) AS days
             JOIN machines ON created_at < (day + interval '1 day') AT TIME ZONE 'UTC'
                          AND coalesce(ended_at, now()) > day AT TIME ZONE 'UTC') AS spans
       GROUP BY 1, 2 ORDER BY 1 DESC, 2"""
).bindparams(sa.bindparam("before", type_=sa.Integer))
