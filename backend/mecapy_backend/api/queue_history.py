"""How many tasks waited in the last two hours, since this gateway started."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from mecapy_backend.api.json_reply import or_none
from mecapy_backend.queue.queue import Queue

_EVERY_S, _KEPT_S = 20.0, 7200.0


class QueueHistory:
    """A figure every 20 s; none while Redis is away."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._seen = deque[tuple[float, int]](maxlen=int(_KEPT_S / _EVERY_S))

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.note()
            await asyncio.sleep(_EVERY_S)

    async def note(self) -> None:
        waiting = await or_none(self._queue.depth())
        if waiting is not None:
            self._seen.append((time.time(), waiting))

    @property
    def seen(self) -> Sequence[tuple[float, int]]:
        """Time in seconds since 1970, and how many waited; the oldest first."""
        return list(self._seen)
