"""Who watches what children use goes on watching."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from running import options, run, serves

from mecapy_worker.pool import child_factory, usage
from mecapy_worker.pool.limits import LimitEnforcer
from mecapy_worker.pool.options import PoolOptions
from mecapy_worker.pool.pool import Pool


class Observed:
    """A child's place in the watch: nobody's process, no folder."""

    pid, root, group = 2**22 + 1, Path("/nowhere"), None

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def observe(self, *_: Any, **__: Any) -> None:
        self.seen.set()


async def test_a_look_that_fails_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be read once is read the next time."""
    looked, members = 0, usage.UsageMeter.members

    def fails_once(self: usage.UsageMeter, groups: Any) -> Any:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise OSError("no /proc today")
        return members(self, groups) | {Observed.pid: []}

    monkeypatch.setattr(usage.UsageMeter, "members", fails_once)
    limits, child = LimitEnforcer(PoolOptions(tmp_path)), Observed()
    limits.add(cast(Any, child))
    holding = asyncio.create_task(limits.run())
    async with asyncio.timeout(240):
        await child.seen.wait()
    holding.cancel()
    assert "no /proc today" in caplog.text and looked >= 2


@contextmanager
def all_threads_busy() -> Iterator[None]:
    """Those that everybody uses, for as long as the block lasts."""
    end, loop = threading.Event(), asyncio.get_running_loop()
    for _ in range(64):
        loop.run_in_executor(None, end.wait)
    try:
        yield
    finally:
        end.set()


async def test_watching_and_removing_wait_for_nobody(tmp_path: Path) -> None:
    """However busy the threads are that everybody uses: a child that takes too much is stopped, and
    its folder removed.
    """
    async with Pool(options(tmp_path, memory_bytes=256 << 20)) as pool:
        with all_threads_busy():
            code = (
                "open('left', 'w').write('x')\nimport os, time\npid = os.fork()\nb = b'x' * "
                "(200 << 20)\ntime.sleep(60)"
            )
            async with asyncio.timeout(240):
                ran = await run(pool, code)
                await pool.cleaned()
    assert ran.headers("limit")[0]["kind"] == "memory"


async def test_what_is_to_be_removed_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children that leave more than can be removed hold up the next ones, not fill the disk."""
    go, remove, ran = threading.Event(), child_factory.remove, 0

    def slow(root: Path) -> None:
        go.wait()
        remove(root)

    async def thirty(pool: Pool) -> None:
        nonlocal ran
        for _ in range(30):
            assert (await run(pool, "open('left', 'w').write('x'); result = 1")).result == 1
            ran += 1

    async with Pool(options(tmp_path)) as pool:
        monkeypatch.setattr(child_factory, "remove", slow)
        running = asyncio.create_task(thirty(pool))
        while ran < 6:  # noqa: ASYNC110  (a pool tells nobody)
            await asyncio.sleep(0.01)
        await asyncio.sleep(3)
        assert ran < 15
        go.set()
        await running
        assert await serves(pool)
