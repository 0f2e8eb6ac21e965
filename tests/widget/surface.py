"""What the block's tests draw on: events, a clock that is moved, and what a kernel published."""

from __future__ import annotations

from typing import Any

from mecapy_jupyter import wire

DONE = wire.Outcome("completed", seconds=218.0)


def event(type_: str, **data: Any) -> wire.Event:
    return wire.Event("1-0", type_, data)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Published(list[tuple[dict[str, Any], bool, str]]):
    """What a kernel published: (mimebundle, is it an update, display id)."""

    def __call__(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any],
        *,
        transient: dict[str, str],
        update: bool,
    ) -> None:
        assert metadata.get("mecapy", "place") in ("place", "mark")
        self.append((data, update, transient["display_id"]))
