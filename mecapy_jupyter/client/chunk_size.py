"""The number of calls in a chunk of a map, estimated from earlier chunks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

# run time of one chunk: much more than its overhead, little enough to share out and to show
# progress
CHUNK_S = 0.3
AHEAD = 2  # chunks in flight per slot: one runs, the next is ready when it ends
_LEAST_S = 0.05  # not divided further
_MOST_CALLS = 10_000


class CallTime:
    """The estimated time of a call. Later and longer ones count more. `large_results`: whether the
    last ones had some.
    """

    def __init__(self) -> None:
        self._seconds, self._calls = 0.0, 0.0
        self.large_results = False

    @property
    def call_s(self) -> float | None:
        return self._seconds / self._calls if self._calls else None

    def learn(self, seconds: float, calls: int) -> None:
        self._seconds, self._calls = self._seconds / 2 + seconds, self._calls / 2 + calls

    def size(self, left: int | None, slots: int) -> int:
        """Calls in the next chunk. `left`: the remaining calls, if known; the last ones are divided
        among the slots.
        """
        if not self._calls:
            return 1
        call_s = max(self._seconds / self._calls, 1e-9)
        share = (
            CHUNK_S / call_s
            if left is None
            else min(CHUNK_S / call_s, max(left / (AHEAD * slots), _LEAST_S / call_s))
        )
        return max(1, min(int(share), _MOST_CALLS))


class CallTimesByFunction:
    """The time per call of each function that this client has mapped: an optimizer maps one
    function hundreds of times.
    """

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, CallTime] = weakref.WeakKeyDictionary()

    def of(self, fn: Callable[..., Any]) -> CallTime:
        try:
            return self._known.setdefault(fn, CallTime())
        except TypeError:  # not hashable, or without weak references
            return CallTime()
