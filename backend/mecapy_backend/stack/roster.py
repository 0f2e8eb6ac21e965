"""Which workers have reported to the gateway, by pid: how the supervisor knows that a worker is ready, and its id.

Asked through the public `GET /workers`, a blocking call; safe to use from threads. Before it: `plans`, `supervisor`.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from typing import Any

_FRESH_S = 0.2
_ANSWER_S = 2.0


class Roster:
    def __init__(self, url: str, token: str) -> None:
        self._request = urllib.request.Request(f"{url}/workers", headers={"Authorization": f"Bearer {token}"})
        self._lock = threading.Lock()
        self._ids: dict[int, str] = {}
        self._asked = 0.0

    def id(self, pid: int) -> str | None:
        """The id of the worker with this pid; None while it has not reported."""
        with self._lock:
            if time.monotonic() - self._asked > _FRESH_S:
                self._ids, self._asked = self._ask(), time.monotonic()
            return self._ids.get(pid)

    def known(self, pid: int) -> str:
        """What was last heard, without asking."""
        return self._ids.get(pid, "")

    def _ask(self) -> dict[int, str]:
        try:
            with urllib.request.urlopen(self._request, timeout=_ANSWER_S) as answer:
                workers: list[dict[str, Any]] = json.load(answer)["workers"]
            return {worker["pid"]: worker["id"] for worker in workers if worker.get("pid")}
        except (OSError, ValueError, KeyError, TypeError):
            return self._ids
