"""What the gateway counts, and how `/metrics` says it (Prometheus). docs/operating.md explains
every one; a test holds it to that.

Counters are moved where things happen; what stands in PostgreSQL and Redis is looked at when
somebody asks, in two cheap questions. The worker's are in `mecapy_worker.upkeep.metrics`.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from mecapy_backend.shared.health import HealthReport, free_bytes
from mecapy_jupyter.wire import WORKER_LIVES_S

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

GATEWAY = CollectorRegistry()
ProcessCollector(registry=GATEWAY)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=GATEWAY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=GATEWAY)


# By route, never by address: an address holds ids, and each would be a series of its own.
answers = _counter(
    "mecapy_http_answers_total", "Answers, by route and status", "method", "route", "status"
)
answer_s = Histogram(
    "mecapy_http_answer_seconds", "From a request to the first byte of its "
                                  "answer", ("route",), registry=GATEWAY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
received_bytes = _counter("mecapy_http_received_bytes_total", "Bodies of requests", "route")
sent_bytes = _counter(
    "mecapy_http_sent_bytes_total", "Bodies of answers, event streams included", "route"
)
problems = _counter(
    "mecapy_problems_total", "Requests that were refused or failed, by the problem's type", "type"
)
submitted = _counter("mecapy_tasks_submitted_total", "Tasks that were accepted")
cancelled = _counter(
    "mecapy_tasks_cancelled_waiting_total", "Tasks that were cancelled before a worker had them"
)
streams = _gauge("mecapy_event_streams", "Event streams that are open now")

_queue_depth = _gauge("mecapy_queue_depth", "Tasks that wait for a worker")
_queue_age_s = _gauge(
    "mecapy_queue_oldest_seconds", "For how long the oldest waiting task has existed"
)
_running = _gauge("mecapy_tasks_running", "Tasks that run now")
_overdue = _gauge(
    "mecapy_leases_overdue", "Running tasks whose worker let its lease run out, not yet taken back"
)
_workers = _gauge("mecapy_workers", "Workers heard of lately")
_slots = _gauge("mecapy_worker_slots_all", "Tasks that all those workers can run at once")
_up = _gauge("mecapy_part_up", "1: the gateway can use it; 0: see /readyz", "part")
_clock_s = _gauge(
    "mecapy_clock_ahead_seconds", "How far this host's clock is ahead of another's", "of"
)
_free = _gauge("mecapy_store_free_bytes", "Free space of an object store that is a directory")
_ready = _gauge("mecapy_ready", "1: /readyz says ok")

# Each part of it is answered by an index: the oldest of each priority is the first of its stretch
# of `tasks_queued`.
_LOOK = sa.text(f"""
    SELECT extract(epoch FROM now() - (
             SELECT min(first.created_at) FROM generate_series(0, 9) AS of_all(priority), LATERAL (
               SELECT created_at FROM tasks
               WHERE state = 'queued' AND priority = of_all.priority::smallint
               ORDER BY created_at LIMIT 1
             ) AS first))::float8 AS age_s,
           running.all, running.overdue, workers.all AS workers, workers.slots
    FROM (SELECT count(*) AS all, count(*) FILTER (WHERE lease_until < now()) AS overdue
          FROM tasks WHERE state = 'running') AS running,
         (SELECT count(*) AS all, coalesce(sum((info->>'slots')::int), 0) AS slots FROM workers
          WHERE seen_at > now() - interval '{WORKER_LIVES_S} s') AS workers
""")


async def exposition(state: Any) -> bytes:
    """All of it as text. A figure that nobody can know now (PostgreSQL or Redis is away) is NaN,
    not yesterday's.
    """
    found: HealthReport = await state.health.look()
    depth = age_s = running = overdue = workers = slots = math.nan
    with suppress(RedisError, OSError):
        depth = await state.queue.depth()
    with suppress(SQLAlchemyError, OSError):
        async with state.db.connect() as connection:
            age_s, running, overdue, workers, slots = (await connection.execute(_LOOK)).one()
    for gauge, value in (
        (_queue_depth, depth),
        (_queue_age_s, age_s or 0.0),
        (_running, running),
        (_overdue, overdue),
        (_workers, workers),
        (_slots, slots),
    ):
        gauge.set(value)
    show(found, _up, _ready, _clock_s)
    with suppress(OSError):
        _free.set(
            math.nan if (free := await asyncio.to_thread(free_bytes, state.blobs)) is None else free
        )
    return generate_latest(GATEWAY)


def show(found: HealthReport, up: Gauge, ready: Gauge, clock_s: Gauge) -> None:
    """What a look at the health found, as figures."""
    for part in found.parts:
        up.labels(part.name).set(part.ok)
    ready.set(found.ready)
    for name, ahead_s in (("postgres", found.clock.postgres_s), ("redis", found.clock.redis_s)):
        clock_s.labels(name).set(math.nan if ahead_s is None else ahead_s)
