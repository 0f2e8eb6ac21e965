"""The workers' Python versions: a task that none of them can run is refused instead of waiting."""

from __future__ import annotations

import math
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.problems import Problem
from mecapy_backend.store import workers

_CACHED_S = 2.0


class LivePythons:
    """Read from the store at most every `_CACHED_S`."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db, self._looked_s, self._known = db, -math.inf, list[str]()

    async def check(self, python: str) -> None:
        """Raises Problem if workers run and none has it. If none runs, the task waits, because the
        next one may have it.
        """
        if not python:
            return
        if time.monotonic() - self._looked_s > _CACHED_S:
            self._known = await workers.pythons(self._db)
            self._looked_s = time.monotonic()
        if self._known and python not in self._known:
            raise Problem(
                422,
                "python-mismatch",
                f"this task needs Python {python} and the workers run Python "
                f"{' and '.join(self._known)}; submit it from Python {' or '.join(self._known)}",
            )
