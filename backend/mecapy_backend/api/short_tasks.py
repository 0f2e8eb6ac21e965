"""Which tasks are short: those with a short timeout, and those whose code ran shortly the last time
its owner ran it here. Learned from final events in this gateway's memory. docs/design.md, "The
queue", says what short tasks get.
"""

from __future__ import annotations

from blake3 import blake3

_MOST = 50_000


class ShortTasks:
    def __init__(self, short_s: float) -> None:
        self._short_s = short_s
        self._ran_s: dict[bytes, float] = {}

    def expects(self, owner: str, code: str, timeout_s: float) -> bool:
        """A wrong guess costs little: a task that runs longer takes a normal slot."""
        return bool(self._short_s) and (
            timeout_s <= self._short_s
            or self._ran_s.get(_key(owner, code), 2 * self._short_s) <= self._short_s / 2
        )

    def learn(self, owner: str, code: str, ran_s: float) -> None:
        self._ran_s.pop(key := _key(owner, code), None)
        if len(self._ran_s) >= _MOST:
            del self._ran_s[next(iter(self._ran_s))]
        self._ran_s[key] = ran_s


def _key(owner: str, code: str) -> bytes:
    return blake3(f"{owner}\0{code}".encode(errors="replace")).digest(length=16)
