"""What a worker has in its hands while it lives: the store, the queue, the pool, and the tasks it
holds.

Every part of the worker gets this one object; it decides nothing. `main` makes it; `engine`,
`jobs`, `lease`, `reconciler` use it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import structlog
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.typing import FilteringBoundLogger

from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs.blob_store import BlobStore
from mecapy_backend.store.tasks import StartedAttempt
from mecapy_jupyter.shared import version
from mecapy_worker.egress.rules import Egress
from mecapy_worker.pool.pool import Pool
from mecapy_worker.upkeep import metrics

Reason = Literal["", "cancel", "timeout", "output", "lost"]

log: FilteringBoundLogger = structlog.get_logger()
backoff = EqualJitterBackoff(cap=2, base=0.05)

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Hold:
    """One task this worker carries now, and whether somebody wants it stopped. The first reason
    stands.
    """

    task_id: str
    attempt: int
    reason: Reason = ""
    since_s: float = 0.0  # when that was, of the monotonic clock
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, reason: Reason) -> None:
        if not self.reason:
            self.reason, self.since_s = reason, time.monotonic()
        self.stopped.set()


@dataclass(slots=True)
class Pulse:
    """When this worker's leases were last renewed, of the monotonic clock."""

    renewed_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Context:
    worker_id: str
    settings: Settings
    db: AsyncEngine
    queue: Queue
    blobs: BlobStore
    pool: Pool
    scratch: Path
    egress: Egress = field(default_factory=Egress)
    held: dict[str, Hold] = field(default_factory=dict[str, Hold])
    pulse: Pulse = field(default_factory=Pulse)
    took: dict[str, tuple[float, int]] = field(
        default_factory=dict[str, tuple[float, int]]
    )  # not yet in the store; see `lease`
    surplus: set[str] = field(
        default_factory=set[str]
    )  # the reconciler's, from one look to the next

    @property
    def python(self) -> str:
        """What its tasks run on, as "3.12"."""
        return version.minor(self.pool.report.python)

    def charge(self, owner: str, cpu_s: float, count: int = 1) -> None:
        """An attempt took so much processor time."""
        had_s, had = self.took.get(owner, (0.0, 0))
        self.took[owner] = had_s + cpu_s, had + count

    def spool(self, started: StartedAttempt) -> Path:
        """Where a long log grows while its task runs."""
        return self.scratch / f"{started.task_id}-{started.attempt}.log"

    @contextmanager
    def holding(self, task_id: str, attempt: int) -> Generator[Hold]:
        """The lease and cancels find the task here for as long as the block lasts."""
        hold = self.held[task_id] = Hold(task_id, attempt)
        try:
            yield hold
        finally:
            if self.held.get(task_id) is hold:
                del self.held[task_id]


def passing(error: Exception) -> bool:
    """Whether the same call may well succeed later: the other side is away, starting, full, or
    chose us in a deadlock.
    """
    if isinstance(error, DBAPIError) and not isinstance(error, (OperationalError, InterfaceError)):
        state = str(getattr(error.orig, "sqlstate", "") or "")
        return error.connection_invalidated or state[:2] in {
            "08",
            "25",
            "40",
            "53",
            "55",
            "57",
            "58",
        }
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeout, RedisError, OSError))


async def patiently(what: str, call: Callable[[], Awaitable[T]], **about: object) -> T:
    """`call`, again and again with jittered pauses of 50 ms to 2 s, for as long as its failure may
    pass.
    """
    failures = 0
    while True:
        try:
            return await call()
        except Exception as error:
            if not passing(error):
                raise
            failures += 1
            metrics.waits.labels(what).inc()
            log.warning("waiting", what=what, failures=failures, error=repr(error), **about)
            await asyncio.sleep(backoff.compute(failures))
