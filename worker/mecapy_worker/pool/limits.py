"""What children may use: memory, disk, processes. A child that uses more is stopped."""

from __future__ import annotations

import asyncio
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mecapy_worker.pool.child_handle import ChildHandle
from mecapy_worker.pool.options import PoolOptions
from mecapy_worker.pool.usage import UsageMeter

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
_LOOKS_PER_REPORT = 5


class LimitEnforcer:
    """`active`: the children it watches, which run a task."""

    def __init__(self, options: PoolOptions) -> None:
        self.active: set[ChildHandle] = set()
        self._options = options
        self._busy = asyncio.Event()
        self._meter = UsageMeter()
        self._measuring: asyncio.Task[None] | None = None
        # One counts, one measures; nothing else may keep them waiting.
        self._threads = ThreadPoolExecutor(2, "watch")

    def add(self, child: ChildHandle) -> None:
        self.active.add(child)
        self._busy.set()

    async def run(self) -> None:
        """Forever: a failed check is not the last one."""
        try:
            for number in itertools.count():
                try:
                    await self._look(exact=number % _LOOKS_PER_REPORT == 0)
                except Exception:
                    log.exception("could not look at the children")
        finally:
            if self._measuring:
                self._measuring.cancel()
            self._threads.shutdown(wait=False)

    async def _look(self, *, exact: bool) -> None:
        """Counting processes never waits for measuring."""
        await self._busy.wait()
        await asyncio.sleep(LOOK_EVERY_S)
        active = {child.pid: child for child in self.active}
        if not active:
            return self._busy.clear()
        members = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._meter.members, active.keys()
        )
        bombs = {
            pid: len(found)
            for pid, found in members.items()
            if len(found) > self._options.processes
        }
        for pid, count in bombs.items():
            await self._stop(active[pid], "processes", count, self._options.processes)
        if not bombs and (self._measuring is None or self._measuring.done()):
            self._measuring = asyncio.create_task(self._measure(active, members, exact=exact))
        return None

    async def _measure(
        self, active: dict[int, ChildHandle], members: dict[int, list[int]], *, exact: bool
    ) -> None:
        roots = {pid: child.root for pid, child in active.items()}
        groups = {pid: child.group for pid, child in active.items()}
        measure = partial(
            self._meter.measure, members, roots, groups, self._options.memory_bytes, exact=exact
        )
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, measure)
        now = loop.time()
        for pid, usage in found.items():
            active[pid].observe(usage, now, report=exact)
            if usage.memory_bytes > self._options.memory_bytes:
                await self._stop(
                    active[pid], "memory", usage.memory_bytes, self._options.memory_bytes
                )
            elif usage.disk_bytes > self._options.disk_bytes:
                await self._stop(active[pid], "disk", usage.disk_bytes, self._options.disk_bytes)

    async def _stop(self, child: ChildHandle, kind: str, used: int, allowed: int) -> None:
        if child in self.active:
            await child.stop(kind, used, allowed)
