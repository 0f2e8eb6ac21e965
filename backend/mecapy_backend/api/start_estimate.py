"""The place in the queue and the estimated start of a waiting task, from the slots of workers with
its Python and their running tasks. Uses the owner's recent run times; the pool's state is read
every two seconds for all.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import replace

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.budgets import Budgets
from mecapy_backend.queue.queue import Queue
from mecapy_backend.store import workers
from mecapy_backend.store.tasks import lookup
from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.wire import BLOCKED, QueuedEvent

_CACHED_S = 2.0
_MOST_OWNERS = 1000


def reads_alike(one: QueuedEvent, other: QueuedEvent) -> bool:
    """Clients are notified again only when something relevant has changed."""
    return _roughly(one) == _roughly(other)


def _roughly(at: QueuedEvent) -> tuple[int | None, int | None, int, str, str]:
    eta = -1 if at.eta_s is None else round(4 * math.log2(at.eta_s + 4))
    return (at.position, at.of, eta, at.why_there, at.waits_for)


def starts_in_s(position: int, slots: int, run_s: float, elapsed_s: Sequence[float]) -> float:
    """Seconds until the task at `position` starts, if each takes `run_s` and some have run for
    `elapsed_s`.
    """
    ahead, rounds = (position - 1) % slots, (position - 1) // slots
    running = sorted(elapsed_s, reverse=True)[:slots]
    free_in_s = [0.0] * (slots - len(running)) + [
        max(run_s - elapsed, 0.1 * run_s) for elapsed in running
    ]
    return heapq.nsmallest(ahead + 1, free_in_s)[-1] + rounds * run_s


class StartEstimator:
    """One gateway's view of the pool."""

    def __init__(self, db: AsyncEngine, queue: Queue, short_s: float, budgets: Budgets) -> None:
        self._db, self._queue, self._short_s, self._budgets = db, queue, short_s, budgets
        self._looked_s, self._workers = -math.inf, list[workers.LiveWorker]()
        self._running = list[tuple[str, float]]()
        self._mean_run_s: dict[str, tuple[float, float | None]] = {}

    async def estimate(self, owner: str, task: lookup.TaskRow) -> QueuedEvent:
        """The place of a queued task, and its start; both unknown while Redis is unavailable. Of a
        blocked one, what it waits for.
        """
        if task.state == BLOCKED:
            return await self.of_blocked(task.id)
        why = await self._budgets.why(owner, task.machine_class, task.why_there)
        return replace(await self._estimate(owner, task), why_there=why)

    async def of_blocked(self, task_id: str) -> QueuedEvent:
        return QueuedEvent(waits_for=listed(await lookup.parents_left(self._db, task_id), 3))

    async def _estimate(self, owner: str, task: lookup.TaskRow) -> QueuedEvent:
        try:
            position, of = await self._queue.position_and_depth(
                task.id,
                short=task.short,
                python=task.python,
                machine_class=task.machine_class,
            )
        except (RedisError, OSError):
            return QueuedEvent()
        if position is None:
            return QueuedEvent(of=of)
        await self._look()
        run_s = await self._mean_run_of(owner)
        serving = [
            one
            for one in self._workers
            if task.python in ("", one.python)
            and one.info.machine_class == task.machine_class
            and not one.draining
        ]
        slots = sum(one.info.slots for one in serving)
        if not slots or run_s is None:
            return QueuedEvent(position, of)
        if task.short:  # every worker has a place for it
            eta_s = starts_in_s(position, len(serving), min(run_s, self._short_s), [])
        else:
            worker_ids = {one.id for one in serving}
            elapsed_s = [seconds for worker, seconds in self._running if worker in worker_ids]
            eta_s = starts_in_s(position, slots, run_s, elapsed_s)
        return QueuedEvent(position, of, round(eta_s, 1))

    async def _look(self) -> None:
        if not self._workers or time.monotonic() - self._looked_s > _CACHED_S:
            self._looked_s = time.monotonic()
            self._workers = await workers.list_live(self._db)
            self._running = await lookup.running_for_s(self._db)

    async def _mean_run_of(self, owner: str) -> float | None:
        looked_s, run_s = self._mean_run_s.get(owner, (-math.inf, None))
        if run_s is None or time.monotonic() - looked_s > _CACHED_S:
            if len(self._mean_run_s) > _MOST_OWNERS:
                self._mean_run_s.clear()
            run_s = await lookup.mean_run_s(self._db, owner)
            self._mean_run_s[owner] = time.monotonic(), run_s
        return run_s
