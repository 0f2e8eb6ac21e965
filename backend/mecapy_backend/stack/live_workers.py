"""Which workers have reported lately, by pid, for the supervisor. Read from PostgreSQL, because a
request to the gateway would look like a user's, and no stack would ever be idle.
"""

from __future__ import annotations

import asyncio
import time

from mecapy_backend.stack import sql
from mecapy_jupyter.wire import WORKER_LIVES_S

_FRESH_S = 0.2
_REPORTED = f"""
    SELECT (info->>'pid')::int AS pid, id FROM workers
    WHERE seen_at > now() - interval '{WORKER_LIVES_S} s' AND info->>'pid' IS NOT NULL
    ORDER BY seen_at
"""


class Roster:
    """`url` says where PostgreSQL is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._ids: dict[int, str] = {}
        self._asked = 0.0

    async def reported(self, pid: int) -> bool:
        """Has the worker with this pid reported lately?"""
        async with self._lock:
            if time.monotonic() - self._asked > _FRESH_S:
                self._ids = await self._ask()
                self._asked = time.monotonic()
            return pid in self._ids

    def id(self, pid: int) -> str:
        """The last answer, without asking again."""
        return self._ids.get(pid, "")

    async def _ask(self) -> dict[int, str]:
        try:
            return {pid: worker_id for pid, worker_id in await sql.rows(self._url, _REPORTED)}  # noqa: C416  (the types need it)
        except sql.Unanswered:
            return self._ids
