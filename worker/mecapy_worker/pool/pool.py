"""The children that a worker keeps ready: forked, confined and warm in advance, used once,
replaced.

`async with Pool(options) as pool:` starts the zygote and tests the confinement (`pool.report`);
`async with pool.child() as child:` lends one and removes everything of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine
from functools import partial

from mecapy_worker.pool.child_factory import ChildFactory, ChildKind
from mecapy_worker.pool.child_handle import ChildFailed, ChildHandle
from mecapy_worker.pool.gpus import Gpu
from mecapy_worker.pool.limits import LimitEnforcer
from mecapy_worker.pool.nest import AddedPackages
from mecapy_worker.pool.nests import Nests
from mecapy_worker.pool.options import ConfinementReport, PoolOptions, TooWeak, too_weak
from mecapy_worker.pool.zygote_client import ZygoteClient, ZygoteFailed

__all__ = ["ChildHandle", "ConfinementReport", "Pool", "PoolOptions", "TooWeak"]

log = logging.getLogger(__name__)

# how long the successor of a used child waits, so that a short task has the processors
_REFILL_DELAY_S = 0.05
_BACKOFF_S = (0.0, 0.1, 0.5, 2.0, 5.0)


class Pool:
    """Open it with `async with`. Survives its zygote."""

    report: ConfinementReport

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self._spares: asyncio.Queue[ChildHandle] = asyncio.Queue()
        self._waiting = 0
        self._wanted, self._returned = asyncio.Event(), asyncio.Event()
        self._factory, self._limits = ChildFactory(options), LimitEnforcer(options)
        self.nests = Nests(self._factory, options)
        self._gpus: asyncio.Queue[Gpu] = asyncio.Queue()
        for gpu in options.gpus:
            self._gpus.put_nowait(gpu)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self.children_started = self.failing = 0

    async def __aenter__(self) -> Pool:
        await self._factory.open()
        try:
            await self._factory.start_zygote()
            self.report = await self._factory.probe()
            self._check_strict()
        except BaseException:
            await self.__aexit__()
            raise
        self._spawn(self._fill())
        self._spawn(self._replace_dead_zygote())
        self._spawn(self._limits.run())
        self._spawn(self.nests.run())
        self._spawn(self._factory.folders.run())
        self._wanted.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._retiring, return_exceptions=True)
        await self.nests.close()
        await self._factory.kill_all()
        while not self._spares.empty():
            await self._spares.get_nowait().close()
        await self._factory.close()

    @contextlib.asynccontextmanager
    async def child(
        self, owner: str = "", added: AddedPackages | None = None
    ) -> AsyncGenerator[ChildHandle, None]:
        """Lend a child that is ready for its task: with what this owner imports, and the packages
        that the task adds. At the end it is killed and its folder removed.
        """
        gpu = await self._gpus.get() if self.options.gpus else None
        try:
            nest = await self.nests.of(owner, added)
            child = await nest.take(gpu) if nest else await self._take(gpu)
        except BaseException:
            if gpu:
                self._gpus.put_nowait(gpu)
            raise
        child.earlier_folder = partial(self._factory.earlier_folder, child, owner)
        self._limits.add(child)
        try:
            yield child
        finally:
            self._limits.active.discard(child)
            if nest:
                nest.give_back()
            self._returned.set()
            await asyncio.shield(_kept(self._retiring, self._retire(child, gpu)))
            self._wanted.set()

    async def renew(self) -> None:
        """Start another zygote, which imports what is installed by now, once no child is lent."""
        while self.busy or self._waiting:
            self._returned.clear()
            await self._returned.wait()
        await self.nests.close()
        spares = [self._spares.get_nowait() for _ in range(self._spares.qsize())]
        await self._zygote.close()
        for child in spares:
            await self._factory.retire(child)

    @property
    def spare(self) -> int:
        return self._spares.qsize()

    @property
    def busy(self) -> int:
        return len(self._limits.active)

    @property
    def memory_bytes(self) -> int:
        """The memory of all children with a task, at their last check."""
        return sum(child.memory_bytes for child in self._limits.active)

    @property
    def _zygote(self) -> ZygoteClient:
        assert self._factory.zygote, "the pool is open"
        return self._factory.zygote

    @property
    def zygote_pid(self) -> int:
        return self._zygote.process.pid

    @property
    def zygote_restarts(self) -> int:
        return self._factory.zygote_restarts

    async def cleaned(self) -> None:
        """Until the folders of all children that were given back are removed."""
        await self._factory.cleaned()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        _kept(self._tasks, work)

    async def _retire(self, child: ChildHandle, gpu: Gpu | None) -> None:
        """Its GPU is lent again when its processes, and so what they hold there, are gone."""
        await self._factory.retire(child)
        if gpu:
            self._gpus.put_nowait(gpu)

    async def _take(self, gpu: Gpu | None) -> ChildHandle:
        """Which GPU is free is known only now, and a child is confined to it when it is forked."""
        while gpu:
            try:
                return await self._factory.start_child(
                    self.options.child_module, warm=False, kind=ChildKind(gpu=gpu)
                )
            except ZygoteFailed:
                self._wanted.set()  # another one comes
                await asyncio.sleep(_BACKOFF_S[1])
        while True:
            self._waiting += 1
            if self._spares.empty():
                self._wanted.set()
            try:
                child = await self._spares.get()
            finally:
                self._waiting -= 1
            if child.alive:
                asyncio.get_running_loop().call_later(_REFILL_DELAY_S, self._wanted.set)
                return child
            await self._factory.retire(child)

    async def _fill(self) -> None:
        """Keep spares ready, one after the other; restart the zygote when it died."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._spares.qsize() < self.options.spares + self._waiting:
                try:
                    if self._zygote.dead.is_set():
                        await self._factory.restart_zygote()
                    # a task that waits would wait for the warm-up, too
                    child = await self._factory.start_child(
                        self.options.child_module, warm=not self._waiting
                    )
                    self._spares.put_nowait(child)
                    self.failing = 0
                    self.children_started += 1
                except (ZygoteFailed, ChildFailed, TooWeak, OSError, TimeoutError) as error:
                    self.failing += 1
                    log.warning(
                        "no child could be made ready (%d times in a row): %s", self.failing, error
                    )
                    await asyncio.sleep(_BACKOFF_S[min(self.failing, len(_BACKOFF_S)) - 1])

    async def _replace_dead_zygote(self) -> None:
        """When the zygote dies, its spares die too: replace them, so that no task waits."""
        while True:
            zygote = self._zygote
            await zygote.dead.wait()
            while not self._spares.empty():
                await self._factory.retire(self._spares.get_nowait())
            while self._zygote is zygote:
                self._wanted.set()
                await asyncio.sleep(_BACKOFF_S[1])

    def _check_strict(self) -> None:
        if self.options.sandbox == "strict" and self.report.level != "strict":
            raise too_weak(self.report.lacking())


def _kept(
    tasks: set[asyncio.Task[None]], work: Coroutine[object, object, None]
) -> asyncio.Task[None]:
    """A task that is among these until it ends."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
