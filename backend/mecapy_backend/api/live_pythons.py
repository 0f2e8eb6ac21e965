"""The workers' Python versions: a task that none of them can run is refused instead of waiting."""

from __future__ import annotations

import math
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.problems import Problem
from mecapy_backend.store import workers

_CACHED_S, _KNOWN_S = 2.0, 20.0
"""How old a look may be: for a version that it lacks, and for one that it has, because
`workers.pythons` counts a worker for a minute, too.
"""


class LivePythons:
    """Read from the store seldom, because a submission waits for it."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db, self._looked_s, self._known = db, -math.inf, list[str]()

    async def check(self, python: str) -> None:
        """Raises Problem if workers run and none has it. If none runs, the task waits, because the
        next one may have it.
        """
        if not python:
            return
        cached_s = _KNOWN_S if python in self._known else _CACHED_S
        if time.monotonic() - self._looked_s > cached_s:
            self._known = await workers.pythons(self._db)
            self._looked_s = time.monotonic()
        if self._known and python not in self._known:
            raise Problem(
                422,
                "python-mismatch",
                f"this task needs Python {python} and the workers run Python "
                f"{' and '.join(self._known)}; submit it from Python {' or '.join(self._known)}",
            )
