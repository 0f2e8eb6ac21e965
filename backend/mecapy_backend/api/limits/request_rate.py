"""Requests per second of one user: a token bucket each, in this gateway's memory."""

from __future__ import annotations

import math
import time

from mecapy_backend.api.problems import Problem

_MOST = 20_000


class RateLimit:
    """`per_s` 0: no limit. A bucket holds ten seconds' worth, so that a burst (a map over a
    thousand inputs) goes through.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s, self._holds = per_s, 10 * per_s
        self._buckets: dict[str, tuple[float, float]] = {}  # owner → tokens, and the time

    def spend(self, owner: str) -> None:
        """Counts one request. Raises Problem 429 if it is too many."""
        if not self._per_s:
            return
        now = time.monotonic()
        held, at_s = self._buckets.get(owner, (self._holds, now))
        held = min(self._holds, held + (now - at_s) * self._per_s) - 1
        if held < 0:
            wait_s = math.ceil(-held / self._per_s)
            detail = (
                f"more than {self._per_s:g} requests a second; slow down (an operator can "
                f"raise MECAPY_REQUESTS_PER_S)"
            )
            raise Problem(
                429, "too-many-requests", detail, headers={"Retry-After": str(max(1, wait_s))}
            )
        if len(self._buckets) >= _MOST:
            self._buckets.clear()
        self._buckets[owner] = held, now
