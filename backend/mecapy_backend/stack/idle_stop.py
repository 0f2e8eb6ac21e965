"""When a stack is idle: nothing waits or runs, and no request of a user for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from mecapy_backend.stack import probes, sql

_LOOK_S = 5.0
_SETTLE_S = 0.3
_BUSY = "SELECT EXISTS (SELECT FROM tasks WHERE state IN ('blocked', 'queued', 'running'))"


class IdleWatch:
    """Looks now and then; a stack whose gateway or database does not answer is not idle."""

    def __init__(self, gateway_url: str, database_url: str, limit_s: float) -> None:
        self._gateway_url, self._database_url, self._limit_s = gateway_url, database_url, limit_s
        self._last_busy = time.monotonic()

    async def until_idle(self, hide: Callable[[bool], None]) -> None:
        """Returns when the stack is idle. Hides it first and checks again, so that nobody joins a
        stack that is about to stop.
        """
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
        unused_s = await asyncio.to_thread(probes.idle_s, self._gateway_url)
        try:
            [(busy,)] = await sql.rows(self._database_url, _BUSY)
        except sql.Unanswered:
            return False
        if busy:  # the time counts from the end of the last task
            self._last_busy = time.monotonic()
        return not busy and min(unused_s, time.monotonic() - self._last_busy) >= self._limit_s
