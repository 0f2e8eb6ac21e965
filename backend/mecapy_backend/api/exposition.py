"""`/metrics` as text: the counters, and current figures of PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress

from prometheus_client import Gauge, generate_latest
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from mecapy_backend.api import metrics
from mecapy_backend.api.services import Services
from mecapy_backend.fleet.classes import MachineClass, MachinesFile
from mecapy_backend.shared.health_gauges import set_health_gauges
from mecapy_backend.store import machines
from mecapy_backend.store.health_probes import free_bytes
from mecapy_backend.store.machines import MachineRow
from mecapy_backend.store.people import costs
from mecapy_backend.store.pool_figures import LaneFigures, PoolFigures, lane_figures, pool_figures
from mecapy_jupyter import wire

_LATE_S = 900.0
"""How long beyond its class's limit a machine may take to end."""
_POOL: dict[str, Gauge] = {
    "oldest_queued_s": metrics.queue_age_s,
    "running": metrics.running,
    "overdue": metrics.overdue,
    "workers": metrics.workers,
    "lost": metrics.workers_lost,
    "slots": metrics.slots,
    "connections": metrics.connections,
    "max_connections": metrics.max_connections,
}


async def exposition(services: Services) -> bytes:
    """A value that cannot be known (PostgreSQL or Redis is unavailable) is NaN, or its labels are
    missing; never an old value.
    """
    report = await services.health.report()
    depth, free = math.nan, None
    with suppress(RedisError, OSError):
        depth = await services.queue.depth()
    with suppress(OSError):
        free = await asyncio.to_thread(free_bytes, services.blobs)
    metrics.queue_depth.set(depth)
    metrics.free.set(math.nan if free is None else free)
    await _ask_postgres(services)
    set_health_gauges(report, metrics.up, metrics.ready, metrics.clock_s)
    return generate_latest(metrics.GATEWAY)


async def _ask_postgres(services: Services) -> None:
    figures: PoolFigures | None = None
    lanes: Sequence[LaneFigures] = ()
    rows: Sequence[MachineRow] = ()
    file, spent = services.placements.file, math.nan
    with suppress(SQLAlchemyError, OSError):
        figures, lanes = await pool_figures(services.db), await lane_figures(services.db)
        rows, spent = await machines.alive(services.db), await costs.spent_today(services.db)
    for name, gauge in _POOL.items():
        gauge.set(getattr(figures, name) if figures else math.nan)
    for gauge in (metrics.lane_depth, metrics.lane_age_s, metrics.machines):
        gauge.clear()
    if figures:
        _set_lanes(file.classes, lanes)
        _set_machines(file.classes, rows)
    _set_fleet(file, spent)


def _set_lanes(classes: Sequence[MachineClass], lanes: Sequence[LaneFigures]) -> None:
    empty = [LaneFigures(one.name, short, 0, 0.0) for one in classes for short in (True, False)]
    for lane in (*empty, *lanes):
        labels = lane.machine_class, "short" if lane.short else "long"
        metrics.lane_depth.labels(*labels).set(lane.queued)
        metrics.lane_age_s.labels(*labels).set(lane.oldest_s)


def _set_machines(classes: Sequence[MachineClass], rows: Sequence[MachineRow]) -> None:
    for kind in classes:
        for state in (wire.BOOTING, wire.SERVING, wire.DRAINING):
            metrics.machines.labels(kind.name, state).set(0)
        late = kind.hours * 3600 + _LATE_S
        own = [row for row in rows if row.machine_class == kind.name]
        metrics.machines_overdue.labels(kind.name).set(sum(row.age_s > late for row in own))
    for row in rows:
        metrics.machines.labels(row.machine_class, row.state).inc()


def _set_fleet(file: MachinesFile, spent: float) -> None:
    metrics.spend_euros.set(spent)
    metrics.budget_euros.set(file.budget)
    for kind in file.classes:
        metrics.machines_min.labels(kind.name).set(kind.min)
