"""How the pool stands now, in one cheap question: what waits, what runs, who works."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows
from mecapy_jupyter.wire import WORKER_LIVES_S


@dataclass(frozen=True, slots=True)
class PoolFigures:
    oldest_queued_s: float
    running: int
    overdue: int  # running, but their lease has ended and nobody has taken them back
    workers: int
    slots: int
    lost: int  # workers that vanished within the last hour
    connections: int  # to PostgreSQL, of all programs
    max_connections: int


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """Tasks that wait for one class of machines, and the age of the oldest."""

    machine_class: str
    short: bool
    queued: int
    oldest_s: float


# Each part of it is answered by an index: the oldest of each priority is the first of its stretch
# of `tasks_queued`.
_FIGURES = sa.text("""
    SELECT coalesce(extract(epoch FROM now() - (
             SELECT min(first.created_at) FROM generate_series(0, 9) AS of_all(priority), LATERAL (
               SELECT created_at FROM tasks
               WHERE state = 'queued' AND priority = of_all.priority::smallint
               ORDER BY created_at LIMIT 1
             ) AS first))::float8, 0) AS age_s,
           running.all, running.overdue, workers.all AS workers, workers.slots, workers.lost,
           (SELECT count(datid) FROM pg_stat_activity) AS connections,
           current_setting('max_connections')::int
             - current_setting('superuser_reserved_connections')::int AS max_connections
    FROM (SELECT count(*) AS all, count(*) FILTER (WHERE lease_until < now()) AS overdue
          FROM tasks WHERE state = 'running') AS running,
         (SELECT count(*) FILTER (WHERE lives) AS all,
                 coalesce(sum((info->>'slots')::int) FILTER (WHERE lives), 0) AS slots,
                 count(*) FILTER (WHERE NOT lives) AS lost
          FROM (SELECT info, seen_at > now() - make_interval(secs => :live_s) AS lives FROM workers
                WHERE seen_at > now() - interval '1 hour') AS seen) AS workers
""").bindparams(sa.bindparam("live_s", WORKER_LIVES_S, type_=sa.Float))


async def pool_figures(db: AsyncEngine) -> PoolFigures:
    return PoolFigures(*(await all_rows(db, _FIGURES))[0])


_LANES = sa.text("""
    SELECT machine_class, short, count(*), extract(epoch FROM now() - min(created_at))::float8
    FROM tasks WHERE state = 'queued' GROUP BY machine_class, short
""")


async def lane_figures(db: AsyncEngine) -> list[LaneFigures]:
    """The figures of each lane with waiting tasks; lanes of several Pythons count together."""
    return [LaneFigures(*row) for row in await all_rows(db, _LANES)]
