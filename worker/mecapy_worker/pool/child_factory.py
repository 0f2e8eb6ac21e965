"""Creates and ends a pool's children: the zygote, a folder for each child, and the limits of all
together.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from mecapy_worker.pool.cgroups import Cgroup
from mecapy_worker.pool.child_files import child_files
from mecapy_worker.pool.child_groups import group_bytes, lies_in_memory
from mecapy_worker.pool.child_handle import ChildHandle
from mecapy_worker.pool.earlier_folders import EarlierFolders, FolderOwner
from mecapy_worker.pool.gpus import Gpu
from mecapy_worker.pool.options import (
    MOST_NESTS,
    NEEDED,
    ConfinementReport,
    PoolOptions,
    lacking,
    too_weak,
)
from mecapy_worker.pool.scratch import Scratch, remove, removed_at_once
from mecapy_worker.pool.uids import Uids
from mecapy_worker.pool.zygote_client import ZygoteClient
from mecapy_worker.shared import libc
from mecapy_worker.shared.message_codec import read
from mecapy_worker.shared.messages import ChildReady, ProbeRequest, ProbeResult
from mecapy_worker.shared.zygote_messages import ForkChild, StartZygote

log = logging.getLogger(__name__)

READY_WITHIN_S = 60.0
_REMOVAL_AWAITED_S = 0.1
_REMOVERS, _MOST_REMOVALS = 2, 8
_ZYGOTE_BYTES, _ZYGOTE_PROCESSES = 2 << 30, 64
_UNCOUNTED = "so the kernel's memory for a task's file locks and many mappings is not bounded"


@dataclass(frozen=True, slots=True)
class ChildKind:
    """What kind of child: of which zygote (None: the pool's), with which folder of packages, what
    of them imported, with which GPU.
    """

    zygote: ZygoteClient | None = None
    environment: str = ""
    ahead: tuple[str, ...] = ()
    gpu: Gpu | None = None


USUAL = ChildKind()
_NO_GPU = Gpu("", ())


class ChildFactory:
    """`open`, then `start_zygote`, at the end `close`. The zygote may die meanwhile:
    `restart_zygote`.
    """

    zygote: ZygoteClient | None = None

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.zygote_restarts = 0
        self._numbers = itertools.count(1)
        self._uids = Uids()
        self._removals: set[asyncio.Future[None]] = set()
        # separate, because a child decides how long it takes
        self._removers = ThreadPoolExecutor(_REMOVERS, "remove")
        self._mover = ThreadPoolExecutor(1, "cgroup")
        self._cgroup: Cgroup | None = None
        self._no_cgroup = ""

    async def open(self) -> None:
        self._scratch = await asyncio.to_thread(Scratch, self.options.scratch)
        self.folders = EarlierFolders(self._scratch.earlier)
        try:
            self._cgroup = Cgroup(*self._of_all(), self._child_bytes())
        except OSError as error:
            self._no_cgroup = str(error)

    async def start_zygote(self) -> None:
        self.zygote = await self.another_zygote(self.options.preload)

    async def another_zygote(
        self, preload: tuple[str, ...], learned: tuple[str, ...] = ()
    ) -> ZygoteClient:
        options = self.options
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)  # -I takes none
        start = StartZygote(
            child_module=options.child_module,
            base=str(self._scratch.base),
            shared=str(self._scratch.shared),
            worker_pid=os.getpid(),
            memory_bytes=options.memory_bytes,
            disk_bytes=options.disk_bytes,
            processes=options.processes,
            preload=preload,
            learned=learned,
            python_path=(
                *map(str, options.python_path),
                *(text for text in inherited if text.startswith("/")),
            ),
            readable=tuple(str(path) for path in (*options.readable, self._scratch.shared)),
            environments=str(options.environments or ""),
            devices=tuple(dict.fromkeys(path for gpu in options.gpus for path in gpu.devices)),
            egress=options.egress,
        )
        return await ZygoteClient.start(start, self._move_into_cgroup)

    async def restart_zygote(self) -> None:
        log.warning("the zygote is gone; starting another")
        self.zygote_restarts += 1
        await self.kill_all()
        await self.start_zygote()

    async def kill_all(self) -> None:
        """The zygote, and so all its children."""
        if self.zygote is not None:
            await self.zygote.close()

    async def close(self) -> None:
        """After the handles of all children are closed."""
        await self.cleaned()
        self._removers.shutdown(wait=False)
        self._mover.shutdown(wait=False)
        self._uids.close()
        await asyncio.to_thread(self._scratch.close)
        if self._cgroup:
            await asyncio.to_thread(self._cgroup.close)

    async def cleaned(self) -> None:
        """Until the folders of all children that were given back are removed."""
        await asyncio.gather(*self._removals)

    async def start_child(
        self, module: str, *, warm: bool = True, kind: ChildKind = USUAL
    ) -> ChildHandle:
        """Fork a child and wait until it is confined and, if wanted, warm."""
        await self._room_on_disk()
        child = await self._fork(module, warm, kind)
        try:
            async with _in_time("a child was not ready"):
                await child.wait_ready()
            self._refuse_weak(child)
        except BaseException:
            await asyncio.shield(self.retire(child))
            raise
        return child

    async def _room_on_disk(self) -> None:
        """Wait until the disk has room again from earlier children."""
        while len(left := [one for one in self._removals if not one.done()]) >= _MOST_REMOVALS:
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)

    async def _fork(self, module: str, warm: bool, kind: ChildKind) -> ChildHandle:
        number, zygote = next(self._numbers), kind.zygote or self.zygote
        assert zygote, "it is started before there are children"
        own_user = zygote.info.own_user
        name = f"child-{number}"
        uid = self._uids.take(name, number) if own_user else None
        root = self._scratch.make(name, uid)
        worker_files, child_ends = child_files(egress=self.options.egress)
        child = ChildHandle(zygote, root, worker_files, self.options.frame_bytes)
        child.uid = uid
        try:
            gpu = kind.gpu or _NO_GPU
            request = ForkChild(
                child.id, module, str(root), uid, warm, kind.environment, kind.ahead,
                gpu.name, gpu.devices,
            )  # fmt: skip
            child.pid = await zygote.fork(request, child_ends.fds)
            if self._cgroup:  # before it runs anything else
                loop = asyncio.get_running_loop()
                child.group = await loop.run_in_executor(
                    self._mover, self._cgroup.take_child, child.pid
                )
        except BaseException:
            await asyncio.shield(self.retire(child))
            raise
        finally:
            child_ends.close()
        return child

    async def retire(self, child: ChildHandle) -> None:
        """When this returns, it and all its processes are dead, and its folder is removed or being
        removed.
        """
        async with self._keeping_folder(child):
            await child.kill()
        await child.close()
        self._uids.give_back(child.id)
        if self._cgroup and child.group:
            self._cgroup.give_back(child.group)
        if removed_at_once(child.root, child.fonts):
            return
        removal = asyncio.get_running_loop().run_in_executor(self._removers, remove, child.root)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        # a million files must not delay the next task
        await asyncio.wait({removal}, timeout=_REMOVAL_AWAITED_S)

    async def earlier_folder(self, child: ChildHandle, owner: str, home: str) -> bool:
        """Once for each child."""
        if child.folder_of is not None:
            return False
        child.folder_of = FolderOwner(owner, home)
        return await self.folders.give(child.folder_of, child.folder, child.uid)

    def _keeping_folder(self, child: ChildHandle) -> AbstractAsyncContextManager[None]:
        if child.folder_of is None:
            return nullcontext()
        return self.folders.taken_back(child.folder_of, child.folder, child.uid)

    async def probe(self) -> ConfinementReport:
        """Tests the confinement with a child that tries to break out."""
        child = await self.start_child("mecapy_worker.sandbox.probe")
        try:
            await child.send(
                ProbeRequest(str(self._scratch.secret), os.getpid(), tuple(libc.threads()))
            )
            async with _in_time("the child that tests the confinement did not answer"):
                answer = await child.receive()
        finally:
            await self.retire(child)
        through = read(ProbeResult, answer.header).through if answer else ("probe",)
        return self._report(child.layers, through)

    def _report(self, found: ChildReady, through: tuple[str, ...]) -> ConfinementReport:
        assert self.zygote, "it has forked the probe"
        info, cgroup = self.zygote.info, self._cgroup
        return ConfinementReport(
            _level(found.applied, through),
            found.applied + (("cgroup",) if cgroup else ()),
            found.missing | ({} if cgroup else {"cgroup": f"{self._no_cgroup}; {_UNCOUNTED}"}),
            through,
            info.landlock,
            info.python,
            info.packages,
            info.threads,
        )

    def _move_into_cgroup(self, zygote_pid: int) -> bool:
        """Whether there is one."""
        if group := self._cgroup:
            try:
                group.take(zygote_pid)
            except OSError as error:  # created, but nothing may be moved into it
                self._no_cgroup, self._cgroup = str(error), None
                group.close()
        return self._cgroup is not None

    def _child_bytes(self) -> int:
        """What Linux allows one child, including its folder if that is memory."""
        options = self.options
        folder_bytes = options.disk_bytes if lies_in_memory(self._scratch.base) else 0
        return group_bytes(options.memory_bytes) + folder_bytes

    def _of_all(self) -> tuple[int, int]:
        """Memory and processes of all children together, waiting ones and the zygote included."""
        children = 2 * self.options.spares + 1 + MOST_NESTS
        return (
            children * self._child_bytes() + _ZYGOTE_BYTES * (1 + MOST_NESTS),
            children * 4 * self.options.processes + _ZYGOTE_PROCESSES,
        )

    def _refuse_weak(self, child: ChildHandle) -> None:
        if self.options.sandbox == "strict" and set(NEEDED) - set(child.layers.applied):
            raise too_weak(lacking(child.layers.missing))


@asynccontextmanager
async def _in_time(what: str) -> AsyncGenerator[None]:
    # wait_for, before Python 3.12, may swallow a cancel that comes with the answer
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            yield
    except TimeoutError:
        within = f"within {READY_WITHIN_S:.0f} s"
        raise TimeoutError(f"{what} {within}; see whether this machine is overloaded") from None


def _level(applied: tuple[str, ...], through: tuple[str, ...]) -> str:
    if not through and all(layer in applied for layer in NEEDED):
        return "strict"
    return "partial" if "seccomp" in applied or "landlock" in applied else "none"
