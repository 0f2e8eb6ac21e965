"""When is a stack idle? Nothing queued, nothing running, and no user's request for a while. Before it: `supervisor`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import redis
import redis.asyncio

from .. import keys
from . import sql

_LOOK_S = 5.0
_SETTLE_S = 0.3
_BUSY = "SELECT EXISTS (SELECT FROM tasks WHERE state IN ('queued', 'running'))"


class Watch:
    """Looks now and then; a stack whose database or queue does not answer is not idle."""

    def __init__(self, database_url: str, redis_url: str, limit_s: float) -> None:
        self._database_url, self._redis_url, self._limit_s = database_url, redis_url, limit_s
        self._last = time.time()

    async def until_idle(self, hide: Callable[[bool], None]) -> None:
        """Returns when the stack is idle. Hides it first and looks again, so that nobody joins a stack that is about to end."""
        if not self._limit_s:
            await asyncio.get_running_loop().create_future()  # never
        while True:
            await asyncio.sleep(min(_LOOK_S, self._limit_s / 4))
            if not await self._idle():
                continue
            hide(True)
            await asyncio.sleep(_SETTLE_S)
            if await self._idle():
                return
            hide(False)

    async def _idle(self) -> bool:
        """No request for so long, and no task."""
        try:
            async with redis.asyncio.from_url(self._redis_url) as queue:  # pyright: ignore[reportUnknownMemberType]
                used = await queue.get(keys.LAST_USED)
            if used is not None:  # Redis forgets when it is started again: keep the latest ever seen
                self._last = max(self._last, float(used))  # pyright: ignore[reportUnknownArgumentType]
            if time.time() - self._last < self._limit_s:
                return False
            return not await self._busy()
        except (OSError, ValueError, redis.RedisError, sql.Unanswered):
            return False

    async def _busy(self) -> bool:
        [(busy,)] = await sql.rows(self._database_url, _BUSY)
        if busy:
            self._last = time.time()  # the time counts from the end of the last task
        return bool(busy)
