"""Who watches what children use goes on watching."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from mecapy_worker import watch
from mecapy_worker.limits import LOOK_EVERY_S, Limits
from mecapy_worker.terms import PoolOptions


class Observed:
    """A child's place in the watch: nobody's process, no folder."""

    pid, root = 2**22 + 1, Path("/nowhere")

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def observe(self, *_: Any, **__: Any) -> None:
        self.seen.set()


async def test_a_look_that_fails_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be read once is read the next time."""
    looked, members = 0, watch.Watch.members

    def fails_once(self: watch.Watch, groups: Any) -> Any:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise OSError("no /proc today")
        return members(self, groups) | {Observed.pid: []}

    monkeypatch.setattr(watch.Watch, "members", fails_once)
    limits, child = Limits(PoolOptions(tmp_path)), Observed()
    limits.add(cast(Any, child))
    holding = asyncio.create_task(limits.hold())
    async with asyncio.timeout(50 * LOOK_EVERY_S):
        await child.seen.wait()
    holding.cancel()
    assert "no /proc today" in caplog.text and looked >= 2
