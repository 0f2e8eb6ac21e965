"""`/metrics` as text: the counters, and current figures of PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from prometheus_client import generate_latest
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from mecapy_backend.api import metrics
from mecapy_backend.api.services import Services
from mecapy_backend.shared.health_gauges import set_health_gauges
from mecapy_backend.store import machines
from mecapy_backend.store.health_probes import free_bytes
from mecapy_backend.store.pool_figures import pool_figures


async def exposition(services: Services) -> bytes:
    """A value that cannot be known (PostgreSQL or Redis is unavailable) is NaN, and not the last
    one.
    """
    report = await services.health.report()
    depth, figures, free = math.nan, None, None
    with suppress(RedisError, OSError):
        depth = await services.queue.depth()
    with suppress(SQLAlchemyError, OSError):
        figures = await pool_figures(services.db)
    with suppress(OSError):
        free = await asyncio.to_thread(free_bytes, services.blobs)
    metrics.queue_depth.set(depth)
    metrics.queue_age_s.set(figures.oldest_queued_s if figures else math.nan)
    metrics.running.set(figures.running if figures else math.nan)
    metrics.overdue.set(figures.overdue if figures else math.nan)
    metrics.workers.set(figures.workers if figures else math.nan)
    metrics.workers_lost.set(figures.lost if figures else math.nan)
    metrics.slots.set(figures.slots if figures else math.nan)
    metrics.free.set(math.nan if free is None else free)
    await _fleet(services)
    set_health_gauges(report, metrics.up, metrics.ready, metrics.clock_s)
    return generate_latest(metrics.GATEWAY)


async def _fleet(services: Services) -> None:
    """By state only what is there: a class that left leaves no series behind."""
    spent, counted = math.nan, dict[tuple[str, str], int]()
    with suppress(SQLAlchemyError, OSError):
        spent = await machines.spent_today(services.db)
        for row in await machines.alive(services.db):
            key = (row.machine_class, row.state)
            counted[key] = counted.get(key, 0) + 1
    metrics.spend_euros.set(spent)
    metrics.budget_euros.set(services.placements.file.budget)
    metrics.machines.clear()
    for key, number in counted.items():
        metrics.machines.labels(*key).set(number)
