"""Counts open event streams per owner and in total, for one gateway, and refuses more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from mecapy_backend.api import metrics
from mecapy_backend.api.problems import Problem

_RETRY = {"Retry-After": "5"}


class StreamLimit:
    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._open = Counter[str]()

    def check(self, owner: str) -> None:
        """Problem 429 or 503 if one more is too many."""
        if self._open[owner] >= self._most_of_one:
            detail = (
                f"you have {self._most_of_one} event streams open here, as many as "
                "allowed; close some, or ask GET /tasks/… instead"
            )
            raise Problem(429, "too-many-streams", detail, headers=_RETRY)
        if self._open.total() >= self._most:
            detail = (
                "this gateway has no event stream left; try again in a moment, or use "
                "another gateway"
            )
            raise Problem(503, "busy", detail, headers=_RETRY)

    @contextmanager
    def one(self, owner: str) -> Generator[None]:
        """Around the lifetime of a stream."""
        self._open[owner] += 1
        try:
            with metrics.streams.track_inprogress():
                yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]
