"""The queue's order in Python, for users without an organisation: what `queue/fair.lua` does, which
a test compares it with.
"""

from __future__ import annotations

import heapq
from collections import deque


class FairOrder:
    """One lane: users take turns by virtual time, each user's tasks first come, first served. The
    next task is at the front already and stays there when others come.
    """

    def __init__(self) -> None:
        self._front: int | None = None
        self._lines: dict[str, deque[int]] = {}
        self._ring: list[tuple[float, str]] = []
        self._times: dict[str, float] = {}
        self._now = 0.0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting + (self._front is not None)

    def add(self, user: str, task: int) -> None:
        line = self._lines.get(user)
        if line is None:
            line = self._lines[user] = deque()
            heapq.heappush(self._ring, (max(self._times.get(user, 0.0), self._now), user))
        line.append(task)
        self._waiting += 1
        if self._front is None:
            self._promote()

    def take(self) -> int | None:
        taken = self._front
        if taken is not None:
            self._front = None
            self._promote()
        return taken

    def _promote(self) -> None:
        if not self._ring:
            return
        at, user = self._ring[0]
        start = max(at, self._now)
        line = self._lines[user]
        self._front = line.popleft()
        self._waiting -= 1
        self._now = start
        if line:
            heapq.heapreplace(self._ring, (start + 1, user))
        else:
            heapq.heappop(self._ring)
            del self._lines[user]
            self._times[user] = start + 1
            if not self._ring:  # nobody waits: who was served before is forgotten
                self._times.clear()
                self._now = 0.0
