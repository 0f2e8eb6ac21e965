"""Spare children beside the usual ones: for an owner who imports much, or for tasks that add
packages. A nest keeps some ready while it is used.

An owner's imports are made in a zygote of their own: modules of the worker's packages alone, which
the operators trust. What tasks add is never imported in a zygote, but in the confined child.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mecapy_worker.pool.child_factory import ChildFactory, ChildKind
from mecapy_worker.pool.child_handle import ChildFailed, ChildHandle
from mecapy_worker.pool.gpus import Gpu
from mecapy_worker.pool.options import TooWeak
from mecapy_worker.pool.zygote_client import ZygoteClient, ZygoteFailed

log = logging.getLogger(__name__)

_REFILL_DELAY_S = 0.05


@dataclass(frozen=True, slots=True)
class AddedPackages:
    """What a task adds: the folder, and the top-level modules in it."""

    folder: str
    modules: frozenset[str] = frozenset()


class Nest:
    """`zygote`: of its children, as it is now; `learned`: what that has imported, or what each
    child does (`environment`); `own`: the zygote that ends with it.
    """

    def __init__(
        self,
        factory: ChildFactory,
        module: str,
        spares: int,
        zygote: Callable[[], ZygoteClient],
        environment: str = "",
        own: ZygoteClient | None = None,
    ) -> None:
        self._factory, self._module, self._spares = factory, module, spares
        self._zygote, self._environment, self._own = zygote, environment, own
        self._ready = list[ChildHandle]()
        self._refilling: asyncio.Task[None] | None = None
        self.learned = dict[str, None]()
        self.lent, self.used_s = 0, time.monotonic()
        self._returned = asyncio.Event()

    @property
    def alive(self) -> bool:
        return not self._zygote().dead.is_set()

    @property
    def is_full(self) -> bool:
        return len(self._ready) >= self._spares

    async def take(self, gpu: Gpu | None = None) -> ChildHandle:
        """One that is ready, or else a new one; with a GPU it is always new."""
        self.used_s = time.monotonic()
        self.lent += 1
        try:
            while self._ready and not gpu:
                child = self._ready.pop(0)
                if child.alive:
                    return child
                await self._factory.retire(child)
            return await self._start(gpu, warm=False)
        except BaseException:
            self.lent -= 1
            raise
        finally:
            self.refill(_REFILL_DELAY_S)

    def give_back(self) -> None:
        self.lent -= 1
        self.used_s = time.monotonic()
        self._returned.set()

    async def learn(self, names: dict[str, None]) -> None:
        """Import these ahead: the children that are ready have not."""
        self.learned |= names
        old, self._ready = self._ready, []
        for child in old:
            await self._factory.retire(child)
        self.refill()

    def refill(self, after_s: float = 0.0) -> None:
        if self._refilling is None or self._refilling.done():
            self._refilling = asyncio.create_task(self._refill(after_s))

    async def close_unused(self) -> None:
        """Close it once none of its children runs a task, which would end with its zygote."""
        while self.lent:
            self._returned.clear()
            await self._returned.wait()
        await self.close()

    async def close(self) -> None:
        if self._refilling:
            self._refilling.cancel()
            await asyncio.gather(self._refilling, return_exceptions=True)
        for child in self._ready:
            await self._factory.retire(child)
        self._ready.clear()
        if self._own:
            await self._own.close()

    async def _start(self, gpu: Gpu | None = None, *, warm: bool) -> ChildHandle:
        ahead = tuple(self.learned) if self._environment and warm else ()
        kind = ChildKind(self._zygote(), self._environment, ahead, gpu)
        return await self._factory.start_child(self._module, warm=warm, kind=kind)

    async def _refill(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while not self.is_full:
            try:
                child = await self._start(warm=True)
            except (ZygoteFailed, ChildFailed, TooWeak, OSError, TimeoutError) as error:
                return log.warning("no child of a nest could be made ready: %s", error)
            self._ready.append(child)  # after the wait, because `learn` replaces the list
