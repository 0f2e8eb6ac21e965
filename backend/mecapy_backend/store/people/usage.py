"""What each user's tasks used in a month, and how long they waited."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows
from mecapy_backend.store.tables import usage, users
from mecapy_backend.store.tasks import tally
from mecapy_jupyter.wire import MonthlyUse

_g, _u = usage.c, users.c


async def monthly(db: AsyncEngine, organisation: str | None, month: date) -> list[MonthlyUse]:
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
    return [
        MonthlyUse(user, name, group, round(cpu_s / 3600, 6), tasks, round(euros, 6))
        for user, name, group, cpu_s, tasks, euros in await all_rows(db, query)
    ]


@dataclass(frozen=True, slots=True)
class OwnMonth:
    month: date
    cpu_hours: float
    tasks: int
    euros: float


async def of_owner(db: AsyncEngine, owner: str, most: int = 12) -> list[OwnMonth]:
    """The last months in which they had tasks, the newest first."""
    query = sa.select(_g.month, _g.cpu_s / 3600, _g.tasks, _g.euros).where(_g.owner == owner)
    return [
        OwnMonth(*row) for row in await all_rows(db, query.order_by(_g.month.desc()).limit(most))
    ]


@dataclass(frozen=True, slots=True)
class MonthlyEnds:
    """The ended tasks of one organisation in a month: how many by state, and how long half and 99
    of 100 of them waited. Deleted tasks count.
    """

    states: Mapping[str, int]
    wait_p50_s: float
    wait_p99_s: float


_ENDS = sa.text(f"""
    SELECT u.organisation, one.state, one.bucket, sum(one.tasks)::bigint AS tasks
    FROM users u JOIN (
      SELECT owner, state, NULL::int AS bucket, tasks FROM counts WHERE month = :month
      UNION ALL SELECT owner, NULL, bucket, tasks FROM waits WHERE month = :month
      UNION ALL SELECT owner, state, {tally.WAIT_BUCKET}, 1 FROM tasks
      WHERE completed_at >= CAST(:month AS date)::timestamp AT TIME ZONE 'UTC'
        AND completed_at < (CAST(:month AS date) + interval '1 month') AT TIME ZONE 'UTC'
    ) AS one ON one.owner = u.id
    WHERE :anybody OR u.organisation = :organisation
    GROUP BY u.organisation, one.state, one.bucket
""").bindparams(
    sa.bindparam("month", type_=sa.Date),
    sa.bindparam("anybody", type_=sa.Boolean),
    sa.bindparam("organisation", type_=sa.Text),
)


async def monthly_ends(
    db: AsyncEngine, organisation: str | None, month: date
) -> dict[str | None, MonthlyEnds]:
    """Organisation → its ends. `organisation` None: all, and users without one."""
    values = {"month": month, "anybody": organisation is None, "organisation": organisation}
    states = defaultdict[str | None, Counter[str]](Counter)
    waits = defaultdict[str | None, Counter[int]](Counter)
    for row in await all_rows(db, _ENDS, values):
        if row.state is not None:
            states[row.organisation][row.state] += row.tasks
        if row.bucket is not None:
            waits[row.organisation][row.bucket] += row.tasks
    return {
        name: MonthlyEnds(
            dict(sorted(of_name.items())),
            tally.quantile_s(waits[name], 0.5),
            tally.quantile_s(waits[name], 0.99),
        )
        for name, of_name in states.items()
    }
