"""The shared state of a running worker: store, queue, pool and running tasks. Every part of the
worker gets this object. It decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import workers
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.people.shares import Took
from mecapy_backend.store.tasks import StartedAttempt
from mecapy_jupyter.shared import version
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.egress.rules import Egress
from mecapy_worker.packages.environments import Environments
from mecapy_worker.pool.pool import Pool

_OVERSTAYS, _OVERSTAYS_FORGOTTEN_S = 3, 600.0
_SETTLED_S = 8.0  # longer than one wait in the queue

StopReason = Literal["", "cancel", "timeout", "output", "lost"]


@dataclass(eq=False, slots=True)
class RunningTask:
    """A running task, and why it must stop, if so. The first reason stays."""

    task_id: str
    attempt: int
    stop_reason: StopReason = ""
    stop_requested_s: float = 0.0  # when that was, of the monotonic clock
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    overstayed: bool = False  # it reported that it had stopped, but sent no outcome in time
    extra_s: float = 0.0  # that it may run longer than it was submitted with
    due: asyncio.Timeout | None = None  # while its time runs
    extended: Callable[[], None] | None = None
    hear: Callable[[Sequence[JsonObject]], None] | None = None  # what a page says to its widgets

    def stop(self, reason: StopReason) -> None:
        if not self.stop_reason:
            self.stop_reason, self.stop_requested_s = reason, time.monotonic()
        self.stopped.set()

    def allow(self, extra_s: float) -> None:
        """Move its end to so long after the one that it was submitted with; never back."""
        more_s = extra_s - self.extra_s
        if more_s <= 0:
            return
        self.extra_s = extra_s
        if self.due and not self.due.expired() and (due_s := self.due.when()) is not None:
            self.due.reschedule(due_s + more_s)
        if self.extended:
            self.extended()


@dataclass(slots=True)
class LeaseClock:
    """When this worker's leases were last renewed, and since when that renewal has reported that an
    operator drains it (None: not drained); by the monotonic clock. `takes_back`: between
    which times of PostgreSQL's clock the tasks of others may be taken back; None: at any time.
    """

    renewed_s: float = field(default_factory=time.monotonic)
    drains_since_s: float | None = None
    takes_back: tuple[datetime, datetime] | None = None

    def hear(self, heard: workers.Heard, settings: Settings) -> None:
        """The answer to a heartbeat. If it comes late, PostgreSQL may have been away for all, and
        every worker first gets one lease to report that it runs.
        """
        if not heard.draining:
            self.drains_since_s = None
        elif self.drains_since_s is None:
            self.drains_since_s = time.monotonic()
        since, until = self.takes_back or (heard.at, heard.at)
        if heard.at > until:
            since = heard.at + timedelta(seconds=settings.lease_s)
        late_s = (settings.heartbeat_s + settings.lease_s) / 2
        self.takes_back = since, heard.at + timedelta(seconds=late_s)


@dataclass(frozen=True, slots=True)
class Context:
    """`unsaved_usage`: what tasks took, by owner, that the store does not have yet;
    `surplus`: surplus running ids that the reconciler found at its last check; `overstays`: by
    owner, when their last tasks that should have stopped did not.
    """

    worker_id: str
    settings: Settings
    db: AsyncEngine
    queue: Queue
    blobs: BlobStore
    pool: Pool
    scratch: Path
    egress: Egress = field(default_factory=Egress)
    environments: Environments | None = None
    running: dict[str, RunningTask] = field(default_factory=dict[str, RunningTask])
    lease: LeaseClock = field(default_factory=LeaseClock)
    unsaved_usage: dict[str, Took] = field(default_factory=dict[str, Took])
    surplus: set[str] = field(default_factory=set[str])
    overstays: dict[str, deque[float]] = field(default_factory=dict[str, "deque[float]"])

    @property
    def python(self) -> str:
        """What its tasks run on, as "3.12"."""
        return version.minor(self.pool.report.python)

    @property
    def drained(self) -> bool:
        """Nothing runs and nothing can arrive: what the queue delivered before the drain is
        done.
        """
        since_s = self.lease.drains_since_s
        return since_s is not None and time.monotonic() - since_s > _SETTLED_S and not self.running

    def charge(self, owner: str, took: Took) -> None:
        """Count what an attempt took."""
        self.unsaved_usage[owner] = self.unsaved_usage.get(owner, Took()) + took

    def overstayed(self, owner: str) -> None:
        """A task reported that it had stopped, and used its extra time without a result."""
        self.overstays.setdefault(owner, deque(maxlen=_OVERSTAYS)).append(time.monotonic())

    def is_believed(self, owner: str) -> bool:
        """Whether this owner's next task gets extra time when it reports that it has stopped."""
        times = self.overstays.get(owner, deque[float]())
        return len(times) < _OVERSTAYS or time.monotonic() - times[0] > _OVERSTAYS_FORGOTTEN_S

    def log_file(self, started: StartedAttempt) -> Path:
        """Where a long log grows while its task runs."""
        return self.scratch / f"{started.task_id}-{started.attempt}.log"

    @contextmanager
    def running_task(self, started: StartedAttempt) -> Generator[RunningTask]:
        """The lease and cancels find the task here for as long as the block lasts."""
        task_id = started.task_id
        task = RunningTask(task_id, started.attempt, extra_s=started.extra_s)
        self.running[task_id] = task
        try:
            yield task
        finally:
            if self.running.get(task_id) is task:
                del self.running[task_id]
