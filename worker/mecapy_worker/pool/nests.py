"""The nests of a pool: which there are, when one begins and when it ends."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Iterable

from mecapy_worker.pool.child_factory import ChildFactory
from mecapy_worker.pool.nest import AddedPackages, Nest
from mecapy_worker.pool.options import MOST_NESTS, PoolOptions
from mecapy_worker.pool.zygote_client import ZygoteClient, ZygoteFailed

log = logging.getLogger(__name__)

_IDLE_S, _LOOK_S = 600.0, 15.0
_MEMORY_LEFT = 0.15  # of the machine: below it no nest begins, and the longest unused ends
_MOST_LEARNED = 300
_AGAIN_S = 600.0  # after what an owner imports could not be imported here
_NAME = re.compile(r"[A-Za-z]\w{0,63}(\.[A-Za-z]\w{0,63})?")


class Nests:
    """`installed`: the top-level modules of the worker's packages; only those are learned."""

    def __init__(self, factory: ChildFactory, options: PoolOptions) -> None:
        self._factory, self._options = factory, options
        self._most_spares = 0 if options.gpus else options.spares
        self._nests = dict[tuple[str, str], Nest]()  # by owner and folder of packages
        self._lean: ZygoteClient | None = None
        self._lean_starts = asyncio.Lock()
        self._learning = set[str]()
        self._failed = dict[str, float]()
        self._work = set[asyncio.Task[None]]()
        self.installed = frozenset[str]()

    async def of(self, owner: str, added: AddedPackages | None) -> Nest | None:
        """None: the usual children will do."""
        if added is None:
            nest = self._nests.get((owner, ""))
            return nest if nest and nest.alive else None
        nest = self._nests.get((owner, added.folder))
        if nest is None or not nest.alive:
            nest = await self._with_packages(owner, added)
        return nest

    def learn(self, owner: str, added: AddedPackages | None, imported: Iterable[str]) -> None:
        """What a task of this owner has imported: its next ones find it imported."""
        names = dict.fromkeys(name for name in imported if _NAME.fullmatch(name))
        if added is not None:
            nest = self._nests.get((owner, added.folder))
            new = dict.fromkeys(list(names)[: _MOST_LEARNED - len(nest.learned)]) if nest else {}
            if nest and new.keys() - nest.learned.keys():
                self.spawn(nest.learn(new))
            return
        names = {name: None for name in names if name.partition(".")[0] in self.installed}
        nest = self._nests.get((owner, ""))
        known = nest.learned if nest else {}
        failed_s = time.monotonic() - self._failed.get(owner, -_AGAIN_S)
        if names.keys() - known.keys() and owner not in self._learning and failed_s >= _AGAIN_S:
            self._learning.add(owner)
            self.spawn(self._begin(owner, known | names))

    async def run(self) -> None:
        """End what is not used, forever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            idle = [key for key, nest in self._nests.items() if now - nest.used_s > _IDLE_S]
            for key in idle or ([] if _memory_left() else self._longest_unused()):
                self._end(key)
            if self._lean and not self._work and not any(folder for _, folder in self._nests):
                lean, self._lean = self._lean, None
                await lean.close()

    async def close(self) -> None:
        """All of them. No child may be lent."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        nests, self._nests = list(self._nests.values()), {}
        for nest in nests:
            await nest.close()
        if self._lean:
            await self._lean.close()
            self._lean = None

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _with_packages(self, owner: str, added: AddedPackages) -> Nest:
        """A nest of the usual zygote, unless that has loaded one of these modules already."""
        lean = not added.modules.isdisjoint(self._usual().info.loaded)
        if lean:
            async with self._lean_starts:
                if self._lean is None or self._lean.dead.is_set():
                    self._lean = await self._factory.another_zygote(())
        zygote = self._lean_one if lean else self._usual
        nest = Nest(
            self._factory,
            self._options.child_module,
            min(1, self._most_spares),
            zygote,
            added.folder,
        )
        self._put((owner, added.folder), nest)
        return nest

    async def _begin(self, owner: str, names: dict[str, None]) -> None:
        """A zygote that has imported these."""
        try:
            if not _memory_left():
                return
            wanted = tuple(names)[-_MOST_LEARNED:]
            zygote = await self._factory.another_zygote(self._options.preload, wanted)
            if zygote.info.threads > self._usual().info.threads:
                await zygote.close()
                raise ZygoteFailed("it has threads then, and a fork would copy only one")
            options = self._options
            nest = Nest(
                self._factory, options.child_module, self._most_spares, lambda: zygote, "", zygote
            )
            nest.learned = dict.fromkeys(wanted)
            self._put((owner, ""), nest)
            nest.refill()
        except (ZygoteFailed, OSError, TimeoutError) as error:
            self._failed[owner] = time.monotonic()
            log.warning("what an owner imports cannot be imported ahead: %s", error)
        finally:
            self._learning.discard(owner)

    def _put(self, key: tuple[str, str], nest: Nest) -> None:
        if key in self._nests:
            self._end(key)
        self._nests[key] = nest
        while len(self._nests) > MOST_NESTS and (ended := self._longest_unused(key)):
            self._end(*ended)

    def _end(self, key: tuple[str, str]) -> None:
        self.spawn(self._nests.pop(key).close_unused())

    def _longest_unused(self, *but: tuple[str, str]) -> list[tuple[str, str]]:
        unused = sorted(
            (nest.used_s, key)
            for key, nest in self._nests.items()
            if not nest.lent and key not in but
        )
        return [key for _, key in unused[:1]]

    def _usual(self) -> ZygoteClient:
        assert self._factory.zygote, "the pool is open"
        return self._factory.zygote

    def _lean_one(self) -> ZygoteClient:
        return self._lean or self._usual()


def _memory_left() -> bool:
    import psutil  # only a worker with learned imports needs it

    memory = psutil.virtual_memory()
    return memory.available > _MEMORY_LEFT * memory.total
