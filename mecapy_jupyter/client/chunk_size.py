"""How many calls of a map make one chunk, learnt from what its chunks before took."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

# work in one chunk: much more than sending it costs, little enough to share out and to show
# progress
CHUNK_S = 0.3
AHEAD = 2  # chunks in flight for each slot: one runs, one is there when it ends
_LEAST_S = 0.05  # not shared out finer than this
_MOST_CALLS = 10_000


class CallTime:
    """How long a call takes, as far as chunks have told. Later ones count more, and longer ones."""

    def __init__(self) -> None:
        self._seconds, self._calls = 0.0, 0.0

    def learn(self, seconds: float, calls: int) -> None:
        self._seconds, self._calls = self._seconds / 2 + seconds, self._calls / 2 + calls

    def size(self, left: int | None, slots: int) -> int:
        """Calls for the next chunk. `left`: how many there are still, where that is known; the last
        are shared among the slots.
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
    """How long a call of each function took that this client has mapped: an optimizer maps the same
    one hundreds of times.
    """

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, CallTime] = weakref.WeakKeyDictionary()

    def of(self, fn: Callable[..., Any]) -> CallTime:
        try:
            return self._known.setdefault(fn, CallTime())
        except TypeError:  # not hashable, or nothing a weak reference can point at
            return CallTime()
