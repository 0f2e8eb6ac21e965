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

from mecapy_worker import sandbox, surroundings
from mecapy_worker.children import Child, ChildFailed
from mecapy_worker.folders import Scratch, remove
from mecapy_worker.nursery import Nursery, ZygoteFailed
from mecapy_worker.terms import PoolOptions, Report, TooWeak
from mecapy_worker.watch import Usage, Watch

__all__ = ["Child", "Pool", "PoolOptions", "Report", "TooWeak"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
_LOOKS_PER_REPORT = 5
_BIRTH_WITHIN_S = 30.0
_BIRTH_AT_LATEST_S = 0.05  # a taken child's successor waits for its task to be sent, but not for ever
_REMOVAL_AWAITED_S = 0.1
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

    async def __aenter__(self) -> Pool:
        self._scratch = await asyncio.to_thread(Scratch, self.options.scratch)
        try:
            self._nursery = await self._start_zygote()
            self.report = await self._probe()
            self._check_strict()
        except BaseException:
            await self.__aexit__()
            raise
        self._keep(self._fill())
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
                child.on_sent = self._wanted.set
                asyncio.get_running_loop().call_later(_BIRTH_AT_LATEST_S, self._wanted.set)
                return child
            await self._retire(child)

    async def _fill(self) -> None:
        """Keep spares ready, one birth after the other; start the zygote again when it died."""
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._spares.qsize() < self.options.spares + self._waiting:
                try:
                    if self._nursery.dead.is_set():
                        await self._restart_zygote()
                    self._spares.put_nowait(await self._bear(self.options.child_module))
                    failures = 0
                except (ZygoteFailed, ChildFailed, TooWeak, OSError, TimeoutError) as error:
                    failures += 1
                    log.warning("no child could be made ready (%d times in a row): %s", failures, error)
                    await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1])

    async def _start_zygote(self) -> Nursery:
        options = self.options
        start = {name: getattr(options, name) for name in ("memory_bytes", "disk_bytes", "processes", "child_module")}
        inherited = [text for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text.startswith("/")]  # -I takes none
        start |= {"preload": list(options.preload), "python_path": [*map(str, options.python_path), *inherited]}
        start |= {"readable": [str(path) for path in (*options.readable, self._scratch.shared)], "worker_pid": os.getpid()}
        return await Nursery.start(start | {"base": str(self._scratch.base), "shared": str(self._scratch.shared)})

    async def _restart_zygote(self) -> None:
        log.warning("the zygote is gone; starting another")
        await self._nursery.close()
        self._nursery = await self._start_zygote()

    async def _bear(self, module: str) -> Child:
        """Fork a child and wait until it is confined and warm."""
        number = next(self._names)
        name, nursery = f"child-{number}", self._nursery
        uid = surroundings.unprivileged_uid(number, self._uid_base) if nursery.about["own_user"] else None
        root = await asyncio.to_thread(self._scratch.make, name, uid)
        ours, theirs = socket.socketpair()
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        child = Child(nursery, name, root, (ours, out, err), self.options.frame_bytes)
        try:
            try:
                child.pid = await nursery.fork(name, module, root, uid, (theirs.fileno(), out_end, err_end))
            finally:
                theirs.close()
                os.close(out_end)
                os.close(err_end)
            await asyncio.wait_for(child.wait_ready(), _BIRTH_WITHIN_S)
            self._refuse_weak(child)
        except BaseException:
            await asyncio.shield(self._retire(child))
            raise
        return child

    async def _retire(self, child: Child) -> None:
        await child.kill()
        await child.close()
        removal = asyncio.create_task(asyncio.to_thread(remove, child.root))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        await asyncio.wait({removal}, timeout=_REMOVAL_AWAITED_S)  # a million files shall not keep the next task waiting

    async def _probe(self) -> Report:
        child = await self._bear("mecapy_worker.probe")
        try:
            await child.send("probe", {"secret": str(self._scratch.secret), "worker_pid": os.getpid()})
            answer = await asyncio.wait_for(child.receive(), _BIRTH_WITHIN_S)
        finally:
            await self._retire(child)
        through = tuple(answer.header["through"]) if answer else ("probe",)
        strong = not through and all(layer in child.applied for layer in sandbox.NEEDED)
        level = "strict" if strong else "partial" if "seccomp" in child.applied or "landlock" in child.applied else "none"
        about = self._nursery.about
        return Report(level, child.applied, child.missing, through, about["python"], about["packages"], about["threads"])

    def _check_strict(self) -> None:
        if self.options.sandbox == "strict" and self.report.level != "strict":
            raise TooWeak(
                f"MECAPY_SANDBOX=strict, but on this machine a task is not confined well enough: missing {self.report.missing}, "
                f"attacks that succeeded: {list(self.report.through)}. Use a newer kernel (Landlock), or set MECAPY_SANDBOX=best-effort "
                "if you trust everybody who may submit tasks."
            )

    def _refuse_weak(self, child: Child) -> None:
        if self.options.sandbox == "strict" and (gone := [name for name in sandbox.NEEDED if name not in child.applied]):
            raise TooWeak(f"a child came up without {gone}: {child.missing}")

    async def _look(self) -> None:
        """Watch the active children, and stop those that go over what they may use."""
        watch, loop = Watch(), asyncio.get_running_loop()
        for look in itertools.count():
            await self._busy.wait()
            await asyncio.sleep(LOOK_EVERY_S)
            active = {child.pid: child for child in self._active}
            if not active:
                self._busy.clear()
                continue
            report = look % _LOOKS_PER_REPORT == 0
            roots = {pid: child.root for pid, child in active.items()}
            limits = (self.options.memory_bytes, self.options.processes)
            found = await asyncio.to_thread(watch.look, roots, *limits, exact=report)
            for pid, usage in found.items():
                active[pid].observe(usage, loop.time(), report=report)
                await self._stop_if_over(active[pid], usage)

    async def _stop_if_over(self, child: Child, usage: Usage) -> None:
        allowed = {"memory": self.options.memory_bytes, "disk": self.options.disk_bytes, "processes": self.options.processes}
        used = {"memory": usage.memory_bytes, "disk": usage.disk_bytes, "processes": usage.processes}
        for kind, limit in allowed.items():
            if used[kind] > limit and child in self._active:
                await child.stop(kind, used[kind], limit)
                return
