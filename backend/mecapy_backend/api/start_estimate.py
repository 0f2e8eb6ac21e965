"""When a waiting task will start: its place in the queue, and an estimate from the slots of the
workers that have its Python and what runs in them now.

An estimate rests on how long the owner's last tasks took; what the pool does is looked at once for
all who wait, every two seconds.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.store import workers
from mecapy_backend.store.tasks import lookup

_FRESH_S = 2.0
_MOST_OWNERS = 1000


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """`position`: 1 starts next, None: not waiting here; `of`: how many wait; `eta_s`: until it
    starts, None: nobody knows.
    """

    position: int | None = None
    of: int | None = None
    eta_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def roughly(self) -> tuple[int | None, int | None, int]:
        """Equal for places that read alike: who waits is told again only when something worth
        telling has changed.
        """
        return (
            self.position,
            self.of,
            -1 if self.eta_s is None else round(4 * math.log2(self.eta_s + 4)),
        )


def starts_in_s(position: int, slots: int, pace_s: float, elapsed_s: Sequence[float]) -> float:
    """Seconds until the task at `position` starts, when each takes `pace_s` and some have run for
    `elapsed_s` already.
    """
    ahead, rounds = (position - 1) % slots, (position - 1) // slots
    running = sorted(elapsed_s, reverse=True)[:slots]
    free_in_s = [0.0] * (slots - len(running)) + [
        max(pace_s - elapsed, 0.1 * pace_s) for elapsed in running
    ]
    return heapq.nsmallest(ahead + 1, free_in_s)[-1] + rounds * pace_s


class StartEstimator:
    """One gateway's view of the pool."""

    def __init__(self, db: AsyncEngine, queue: Queue, short_s: float) -> None:
        self._db, self._queue, self._short_s = db, queue, short_s
        self._seen_at_s, self._workers = -math.inf, list[workers.Worker]()
        self._running = list[tuple[str, float]]()
        self._paces: dict[str, tuple[float, float | None]] = {}

    async def estimate(self, owner: str, task: lookup.TaskRow) -> QueuePosition:
        """Where a queued task stands. All unknown while Redis is away."""
        try:
            position, of = await self._queue.position_and_depth(
                task.id, short=task.short, python=task.python
            )
        except (RedisError, OSError):
            return QueuePosition()
        if position is None:
            return QueuePosition(of=of)
        await self._look()
        pace_s = await self._pace(owner)
        serve = [one for one in self._workers if task.python in ("", one.python)]
        slots = sum(int(one.info.get("slots", 1)) for one in serve)
        if not slots or pace_s is None:
            return QueuePosition(position, of)
        if task.short:  # a place of its own in every worker
            eta_s = starts_in_s(position, len(serve), min(pace_s, self._short_s), [])
        else:
            theirs = {one.id for one in serve}
            elapsed_s = [seconds for worker, seconds in self._running if worker in theirs]
            eta_s = starts_in_s(position, slots, pace_s, elapsed_s)
        return QueuePosition(position, of, round(eta_s, 1))

    async def _look(self) -> None:
        if not self._workers or time.monotonic() - self._seen_at_s > _FRESH_S:
            self._seen_at_s = time.monotonic()
            self._workers = await workers.list_live(self._db)
            self._running = await lookup.running_for_s(self._db)

    async def _pace(self, owner: str) -> float | None:
        seen_at_s, pace_s = self._paces.get(owner, (-math.inf, None))
        if pace_s is None or time.monotonic() - seen_at_s > _FRESH_S:
            if len(self._paces) > _MOST_OWNERS:
                self._paces.clear()
            pace_s = await lookup.mean_run_s(self._db, owner)
            self._paces[owner] = time.monotonic(), pace_s
        return pace_s
