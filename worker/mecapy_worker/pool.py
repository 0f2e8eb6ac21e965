"""The children one worker keeps ready: forked, confined and warm before they are needed, used once, replaced.

`async with Pool(options) as pool:` starts the zygote and probes what confinement is worth here (`pool.report`);
`async with pool.child() as child:` lends one and leaves nothing of it behind. Used by `jobs`; next: `nursery`, `children`, `watch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
import socket
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from mecapy_worker import surroundings
from mecapy_worker.cgroups import Group
from mecapy_worker.children import Child, ChildFailed
from mecapy_worker.folders import Scratch, remove, removed_at_once
from mecapy_worker.nursery import Nursery, ZygoteFailed
from mecapy_worker.terms import NEEDED, PoolOptions, Report, TooWeak, lacking, too_weak
from mecapy_worker.watch import Watch

__all__ = ["Child", "Pool", "PoolOptions", "Report", "TooWeak"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
_LOOKS_PER_REPORT = 5
_BIRTH_WITHIN_S = 30.0
_BIRTH_AT_LATEST_S = 0.05  # a taken child's successor leaves the processors to a short task, but does not wait for a longer one
_REMOVAL_AWAITED_S = 0.1
_ZYGOTE_BYTES, _ZYGOTE_PROCESSES = 2 << 30, 64
_BACKOFF_S = (0.0, 0.1, 0.5, 2.0, 5.0)


class Pool:
    """Open it with `async with`. Survives its zygote."""

    report: Report

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self._spares: asyncio.Queue[Child] = asyncio.Queue()
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._active: set[Child] = set()
        self._busy = asyncio.Event()
        self._names = itertools.count(1)
        self._uid_base = random.randrange(4096)
        self._tasks: set[asyncio.Task[None]] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self.births = self.failing = self.zygote_restarts = 0
        self._group: Group | None = None
        self._no_group = ""

    async def __aenter__(self) -> Pool:
        self._scratch = await asyncio.to_thread(Scratch, self.options.scratch)
        try:
            self._group = Group(*self._of_all())
        except OSError as error:
            self._no_group = str(error)
        try:
            self._nursery = await self._start_zygote()
            self.report = await self._probe()
            self._check_strict()
        except BaseException:
            await self.__aexit__()
            raise
        self._keep(self._fill())
        self._keep(self._mourn())
        self._keep(self._look())
        self._wanted.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if nursery := getattr(self, "_nursery", None):
            await nursery.close()
        while not self._spares.empty():
            await self._spares.get_nowait().close()
        await asyncio.gather(*self._removals)
        await asyncio.to_thread(self._scratch.close)
        if self._group:
            await asyncio.to_thread(self._group.close)

    @contextlib.asynccontextmanager
    async def child(self) -> AsyncGenerator[Child, None]:
        """Lend a child, ready for its task. On leaving, all of it is killed and its folder removed."""
        child = await self._take()
        self._active.add(child)
        self._busy.set()
        try:
            yield child
        finally:
            self._active.discard(child)
            await asyncio.shield(self._keep(self._retire(child)))
            self._wanted.set()

    @property
    def spare(self) -> int:
        return self._spares.qsize()

    @property
    def busy(self) -> int:
        return len(self._active)

    @property
    def zygote_pid(self) -> int:
        return self._nursery.process.pid

    async def cleaned(self) -> None:
        """Until the folders of all children that were given back are removed."""
        await asyncio.gather(*self._removals)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self) -> Child:
        while True:
            self._waiting += 1
            if self._spares.empty():
                self._wanted.set()
            try:
                child = await self._spares.get()
            finally:
                self._waiting -= 1
            if child.alive:
                asyncio.get_running_loop().call_later(_BIRTH_AT_LATEST_S, self._wanted.set)
                return child
            await self._retire(child)

    async def _fill(self) -> None:
        """Keep spares ready, one birth after the other; start the zygote again when it died."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._spares.qsize() < self.options.spares + self._waiting:
                try:
                    if self._nursery.dead.is_set():
                        await self._restart_zygote()
                    self._spares.put_nowait(await self._bear(self.options.child_module))
                    self.failing = 0
                    self.births += 1
                except (ZygoteFailed, ChildFailed, TooWeak, OSError, TimeoutError) as error:
                    self.failing += 1
                    log.warning("no child could be made ready (%d times in a row): %s", self.failing, error)
                    await asyncio.sleep(_BACKOFF_S[min(self.failing, len(_BACKOFF_S)) - 1])

    async def _mourn(self) -> None:
        """When the zygote dies, so have its spares: let go of them and have others made, so that no task waits for that."""
        while True:
            nursery = self._nursery
            await nursery.dead.wait()
            while not self._spares.empty():
                await self._retire(self._spares.get_nowait())
            while self._nursery is nursery:
                self._wanted.set()
                await asyncio.sleep(_BACKOFF_S[1])

    async def _start_zygote(self) -> Nursery:
        options = self.options
        start = {name: getattr(options, name) for name in ("memory_bytes", "disk_bytes", "processes", "child_module", "outward")}
        inherited = [text for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text.startswith("/")]  # -I takes none
        start |= {"preload": list(options.preload), "python_path": [*map(str, options.python_path), *inherited]}
        start |= {"readable": [str(path) for path in (*options.readable, self._scratch.shared)], "worker_pid": os.getpid()}
        start |= {"base": str(self._scratch.base), "shared": str(self._scratch.shared)}
        return await Nursery.start(start, self._enclose)

    def _enclose(self, zygote_pid: int) -> None:
        if group := self._group:
            try:
                group.take(zygote_pid)
            except OSError as error:  # made, but nothing may be moved into it
                self._no_group, self._group = str(error), None
                group.close()

    def _of_all(self) -> tuple[int, int]:
        """Memory and processes of all children together, those that wait too, and the zygote."""
        children = 2 * self.options.spares + 1
        return children * self.options.memory_bytes + _ZYGOTE_BYTES, children * 4 * self.options.processes + _ZYGOTE_PROCESSES

    async def _restart_zygote(self) -> None:
        log.warning("the zygote is gone; starting another")
        self.zygote_restarts += 1
        await self._nursery.close()
        self._nursery = await self._start_zygote()

    async def _bear(self, module: str) -> Child:
        """Fork a child and wait until it is confined and warm."""
        number = next(self._names)
        name, nursery = f"child-{number}", self._nursery
        uid = surroundings.unprivileged_uid(number, self._uid_base) if nursery.about["own_user"] else None
        root = self._scratch.make(name, uid)
        ours, theirs = socket.socketpair()
        door, way_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if self.options.outward else (None, None)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        child = Child(nursery, name, root, (ours, out, err), self.options.frame_bytes, door)
        try:
            try:
                beside = (way_out.fileno(),) if way_out else ()
                child.pid = await nursery.fork(name, module, root, uid, (theirs.fileno(), out_end, err_end, *beside))
            finally:
                theirs.close()
                if way_out:
                    way_out.close()
                os.close(out_end)
                os.close(err_end)
            async with asyncio.timeout(_BIRTH_WITHIN_S):  # wait_for, before Python 3.12, may swallow a cancel that comes with the answer
                await child.wait_ready()
            self._refuse_weak(child)
        except BaseException:
            await asyncio.shield(self._retire(child))
            raise
        return child

    async def _retire(self, child: Child) -> None:
        await child.kill()
        await child.close()
        if removed_at_once(child.root):
            return
        removal = asyncio.create_task(asyncio.to_thread(remove, child.root))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        await asyncio.wait({removal}, timeout=_REMOVAL_AWAITED_S)  # a million files shall not keep the next task waiting

    async def _probe(self) -> Report:
        child = await self._bear("mecapy_worker.probe")
        try:
            await child.send("probe", {"secret": str(self._scratch.secret), "worker_pid": os.getpid()})
            async with asyncio.timeout(_BIRTH_WITHIN_S):
                answer = await child.receive()
        finally:
            await self._retire(child)
        through = tuple(answer.header["through"]) if answer else ("probe",)
        strong = not through and all(layer in child.applied for layer in NEEDED)
        level = "strict" if strong else "partial" if "seccomp" in child.applied or "landlock" in child.applied else "none"
        about = self._nursery.about
        layers = child.applied + (("cgroup",) if self._group else ())
        missing = child.missing | ({} if self._group else {"cgroup": self._no_group})
        return Report(level, layers, missing, through, about["landlock"], about["python"], about["packages"], about["threads"])

    def _check_strict(self) -> None:
        if self.options.sandbox == "strict" and self.report.level != "strict":
            raise too_weak(self.report.lacking())

    def _refuse_weak(self, child: Child) -> None:
        if self.options.sandbox == "strict" and any(name not in child.applied for name in NEEDED):
            raise too_weak(lacking(child.missing))

    async def _look(self) -> None:
        """Watch the active children, and stop those that go over what they may use. Counting processes never waits for measuring them."""
        watch, measuring = Watch(), None
        for look in itertools.count():
            await self._busy.wait()
            await asyncio.sleep(LOOK_EVERY_S)
            active = {child.pid: child for child in self._active}
            if not active:
                self._busy.clear()
                continue
            members = await asyncio.to_thread(watch.members, active.keys())
            bombs = {pid: len(found) for pid, found in members.items() if len(found) > self.options.processes}
            for pid, count in bombs.items():
                await self._stop(active[pid], "processes", count, self.options.processes)
            if not bombs and (measuring is None or measuring.done()):
                measuring = self._keep(self._measure(watch, active, members, exact=look % _LOOKS_PER_REPORT == 0))

    async def _measure(self, watch: Watch, active: dict[int, Child], members: dict[int, list[int]], *, exact: bool) -> None:
        roots = {pid: child.root for pid, child in active.items()}
        found = await asyncio.to_thread(watch.measure, members, roots, self.options.memory_bytes, exact=exact)
        now = asyncio.get_running_loop().time()
        for pid, usage in found.items():
            active[pid].observe(usage, now, report=exact)
            if usage.memory_bytes > self.options.memory_bytes:
                await self._stop(active[pid], "memory", usage.memory_bytes, self.options.memory_bytes)
            elif usage.disk_bytes > self.options.disk_bytes:
                await self._stop(active[pid], "disk", usage.disk_bytes, self.options.disk_bytes)

    async def _stop(self, child: Child, kind: str, used: int, allowed: int) -> None:
        if child in self._active:
            await child.stop(kind, used, allowed)
