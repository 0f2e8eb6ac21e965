"""How many tasks an owner has queued, known closely enough to tell at no cost that there are far fewer than one may have.

Counting at every submission would cost the more the longer the queue is. Before it: `routes.tasks`; after it: `store.tasks`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from .store import tasks

_FRESH_S = 1.0
_NEAR = 0.9
"""From this part of the limit on, each submission counts exactly, in its own statement."""


@dataclass(slots=True)
class _Seen:
    queued: int
    at_s: float


class Backlog:
    """One gateway's knowledge. Other gateways' submissions of the last second are not in it: that is what `_NEAR` leaves room for."""

    def __init__(self, max_queued: int) -> None:
        self._max = max_queued
        self._seen: dict[str, _Seen] = {}

    async def limit(self, db: AsyncEngine, owner: str) -> int | None:
        """What the next submission must check: None when the owner is far below the limit, else the limit."""
        seen = self._seen.get(owner)
        if seen is None or time.monotonic() - seen.at_s > _FRESH_S:
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen[owner] = _Seen(await tasks.queued(db, owner, self._max), time.monotonic())
        seen.queued += 1
        return None if seen.queued < self._max * _NEAR else self._max
