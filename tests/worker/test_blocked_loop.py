"""Which thread handles what a page says while the loop of the cell is blocked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mecapy_worker.child import page_messages
from mecapy_worker.shared.messages import CommMessage


class BlockedLoop:
    """Keeps what it is asked, and does it when the test says so."""

    def __init__(self) -> None:
        self.asked = list[Callable[[], object]]()

    def is_running(self) -> bool:
        return True

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        self.asked.append(call)


async def test_a_loop_that_is_still_blocked_is_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first message waits for it a while; those after it are handled at once, each once, until
    the loop has come to the first.
    """
    blocked, heard = BlockedLoop(), list[dict[str, Any]]()
    loop: Any = blocked
    monkeypatch.setattr(page_messages, "_YIELDS_WITHIN_S", 0.01)
    page_messages.begin(lambda: loop)
    page_messages.hear("slider", heard.append)
    try:
        for _ in range(3):
            page_messages._deliver(CommMessage("comm_msg", "slider"))  # pyright: ignore[reportPrivateUsage]
        assert (len(blocked.asked), len(heard)) == (1, 3)
        blocked.asked[0]()
        page_messages._deliver(CommMessage("comm_msg", "slider"))  # pyright: ignore[reportPrivateUsage]
        assert (len(blocked.asked), len(heard)) == (2, 4)
    finally:
        page_messages.hear("slider", None)
        page_messages.end(told_to_stop=False)
