"""The resources of a gateway's routes, opened once and passed by `Depends`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from mecapy_backend.api.audit import AuditWriter
from mecapy_backend.api.budgets import Budgets
from mecapy_backend.api.callers import Callers
from mecapy_backend.api.changes import ChangeWatch
from mecapy_backend.api.limits.allowance import TaskQuotas
from mecapy_backend.api.limits.open_streams import StreamLimit
from mecapy_backend.api.limits.request_rate import RateLimit
from mecapy_backend.api.live_pythons import LivePythons
from mecapy_backend.api.placement import Placements
from mecapy_backend.api.queue_history import QueueHistory
from mecapy_backend.api.request_body import BodyReader
from mecapy_backend.api.short_tasks import ShortTasks
from mecapy_backend.api.start_estimate import StartEstimator
from mecapy_backend.fleet import classes
from mecapy_backend.queue import queue as queues
from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.health import Health
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from mecapy_backend.store.blobs import blob_store
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.health_probes import readiness, server_health

# Every statement touches few rows by index; if it takes longer, the database is unavailable.
_COMMAND_TIMEOUT_S = 2.0
_CONNECTIONS = 10
# for a free connection: less than ADMIT_S, after which a client repeats its submission
_WAIT_S = 1.5


class Activity:
    """When the gateway was last used; an unused embedded stack stops."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def note(self) -> None:
        self._last_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        return time.monotonic() - self._last_s


@dataclass(frozen=True, slots=True)
class Services:
    """`stream_redis` has its own connections: each open event stream uses one."""

    settings: Settings
    db: AsyncEngine
    queue: Queue
    stream_redis: Queue
    blobs: BlobStore
    callers: Callers
    rate_limit: RateLimit
    stream_limit: StreamLimit
    task_quotas: TaskQuotas
    bodies: BodyReader
    short_tasks: ShortTasks
    start_estimator: StartEstimator
    live_pythons: LivePythons
    placements: Placements
    audit: AuditWriter
    readiness: Health
    health: Health
    activity: Activity
    queue_history: QueueHistory
    changes: ChangeWatch


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services]:
    """Connects on first use; everything is closed when the block ends."""
    connect = partial(
        database.connect,
        settings.database_url,
        pooler=settings.database_pooler,
        command_timeout_s=_COMMAND_TIMEOUT_S,
        wait_s=_WAIT_S,
    )
    db = connect(connections=max(1, (settings.database_connections or _CONNECTIONS) - 1))
    probed_db = connect(connections=1)  # so that a busy gateway does not look like one without
    queue = queues.connect(settings.redis_url)
    stream_redis = queues.connect(settings.redis_url, max_connections=settings.max_streams + 10)
    blobs = blob_store.configured(settings)
    machines = classes.read(settings.machines)
    try:
        yield Services(
            settings=settings,
            db=db,
            queue=queue,
            stream_redis=stream_redis,
            blobs=blobs,
            callers=Callers(db, settings),
            rate_limit=RateLimit(settings.requests_per_s),
            stream_limit=StreamLimit(settings.max_streams, settings.max_owner_streams),
            task_quotas=TaskQuotas(settings),
            bodies=BodyReader(settings.max_body_bytes),
            short_tasks=ShortTasks(settings.short_s),
            start_estimator=StartEstimator(db, queue, settings.short_s, Budgets(db, machines)),
            live_pythons=LivePythons(db),
            placements=Placements(db, machines),
            audit=AuditWriter(db, settings.audit_days),
            readiness=readiness(probed_db),
            health=server_health(probed_db, queue, blobs),
            activity=Activity(),
            queue_history=QueueHistory(queue),
            changes=ChangeWatch(db, stream_redis),
        )
    finally:
        for opened in (stream_redis, queue):
            await opened.aclose(close_connection_pool=True)
        for opened in (probed_db, db):
            await opened.dispose()


def services_of(connection: HTTPConnection) -> Services:
    """The app's lifespan puts them into the state of every request."""
    return cast(Services, connection.scope["state"]["services"])


async def _services(connection: HTTPConnection) -> Services:
    """Async, because FastAPI runs any other dependency in a thread."""
    return services_of(connection)


WithServices = Annotated[Services, Depends(_services)]
