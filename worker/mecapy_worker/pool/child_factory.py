"""Where a pool's children come from and how they end: the zygote, one folder for each, what bounds
all of them together.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import socket
from concurrent.futures import ThreadPoolExecutor

from mecapy_worker.pool.cgroups import Cgroup
from mecapy_worker.pool.child_handle import ChildHandle
from mecapy_worker.pool.options import NEEDED, ConfinementReport, PoolOptions, lacking, too_weak
from mecapy_worker.pool.scratch import Scratch, remove, removed_at_once
from mecapy_worker.pool.zygote_client import ZygoteClient
from mecapy_worker.shared import libc
from mecapy_worker.zygote import host_capabilities

log = logging.getLogger(__name__)

READY_WITHIN_S = 30.0
_REMOVAL_AWAITED_S = 0.1
_REMOVERS, _MOST_REMOVALS = 2, 8
_ZYGOTE_BYTES, _ZYGOTE_PROCESSES = 2 << 30, 64


class ChildFactory:
    """`open`, then `start`, at the end `close`. The zygote may die meanwhile: `renew` starts
    another.
    """

    zygote: ZygoteClient

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.zygote_restarts = 0
        self._names = itertools.count(1)
        self._uid_base = random.randrange(4096)
        self._removals: set[asyncio.Future[None]] = set()
        self._removers = ThreadPoolExecutor(
            _REMOVERS, "remove"
        )  # a child decides how long it takes, so nothing else waits for it
        self._group: Cgroup | None = None
        self._no_group = ""

    async def open(self) -> None:
        self._scratch = await asyncio.to_thread(Scratch, self.options.scratch)
        try:
            self._group = Cgroup(*self._of_all())
        except OSError as error:
            self._no_group = str(error)

    async def start(self) -> None:
        """The zygote."""
        options = self.options
        start = {
            name: getattr(options, name)
            for name in ("memory_bytes", "disk_bytes", "processes", "child_module", "egress")
        }
        inherited = [
            text
            for text in os.environ.get("PYTHONPATH", "").split(os.pathsep)
            if text.startswith("/")
        ]  # -I takes none
        start |= {
            "preload": list(options.preload),
            "python_path": [*map(str, options.python_path), *inherited],
        }
        start |= {
            "readable": [str(path) for path in (*options.readable, self._scratch.shared)],
            "worker_pid": os.getpid(),
        }
        start |= {"base": str(self._scratch.base), "shared": str(self._scratch.shared)}
        self.zygote = await ZygoteClient.start(start, self._enclose)

    async def end_all(self) -> None:
        """The zygote, and so all its children."""
        if zygote := getattr(self, "zygote", None):
            await zygote.close()

    async def close(self) -> None:
        """Once the ends of all children are let go of."""
        await self.cleaned()
        self._removers.shutdown(wait=False)
        await asyncio.to_thread(self._scratch.close)
        if self._group:
            await asyncio.to_thread(self._group.close)

    async def cleaned(self) -> None:
        """Until the folders of all children that were given back are removed."""
        await asyncio.gather(*self._removals)

    async def renew(self) -> None:
        log.warning("the zygote is gone; starting another")
        self.zygote_restarts += 1
        await self.zygote.close()
        await self.start()

    async def start_child(self, module: str) -> ChildHandle:
        """Fork a child and wait until it is confined and warm. Before that, until not too much of
        those before it is still on the disk.
        """
        while (
            len(left := [removal for removal in self._removals if not removal.done()])
            >= _MOST_REMOVALS
        ):
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        number = next(self._names)
        name, zygote = f"child-{number}", self.zygote
        uid = (
            host_capabilities.unprivileged_uid(number, self._uid_base)
            if zygote.about["own_user"]
            else None
        )
        root = self._scratch.make(name, uid)
        ours, theirs = socket.socketpair()
        egress_socket, way_out = (
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if self.options.egress
            else (None, None)
        )
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        child = ChildHandle(
            zygote, name, root, (ours, out, err), self.options.frame_bytes, egress_socket
        )
        try:
            try:
                beside = (way_out.fileno(),) if way_out else ()
                child.pid = await zygote.fork(
                    name, module, root, uid, (theirs.fileno(), out_end, err_end, *beside)
                )
            finally:
                theirs.close()
                if way_out:
                    way_out.close()
                os.close(out_end)
                os.close(err_end)
            async with asyncio.timeout(
                READY_WITHIN_S
            ):  # wait_for, before Python 3.12, may swallow a cancel that comes with the answer
                await child.wait_ready()
            self._refuse_weak(child)
        except BaseException:
            await asyncio.shield(self.retire(child))
            raise
        return child

    async def retire(self, child: ChildHandle) -> None:
        """When this returns it is dead with all it started, and its folder is removed or being
        removed.
        """
        await child.kill()
        await child.close()
        if removed_at_once(child.root, self.zygote.about["fonts"]):
            return
        removal = asyncio.get_running_loop().run_in_executor(self._removers, remove, child.root)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        await asyncio.wait(
            {removal}, timeout=_REMOVAL_AWAITED_S
        )  # a million files shall not keep the next task waiting

    async def probe(self) -> ConfinementReport:
        """What confinement is worth here, by a child that tries to break out."""
        child = await self.start_child("mecapy_worker.sandbox.probe")
        try:
            us = {"worker_pid": os.getpid(), "worker_threads": libc.threads()}
            await child.send("probe", {"secret": str(self._scratch.secret)} | us)
            async with asyncio.timeout(READY_WITHIN_S):
                answer = await child.receive()
        finally:
            await self.retire(child)
        through = tuple(answer.header["through"]) if answer else ("probe",)
        strong = not through and all(layer in child.applied for layer in NEEDED)
        level = (
            "strict"
            if strong
            else "partial"
            if "seccomp" in child.applied or "landlock" in child.applied
            else "none"
        )
        about = self.zygote.about
        layers = child.applied + (("cgroup",) if self._group else ())
        missing = child.missing | ({} if self._group else {"cgroup": self._no_group})
        return ConfinementReport(
            level,
            layers,
            missing,
            through,
            about["landlock"],
            about["python"],
            about["packages"],
            about["threads"],
        )

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
        return (
            children * self.options.memory_bytes + _ZYGOTE_BYTES,
            children * 4 * self.options.processes + _ZYGOTE_PROCESSES,
        )

    def _refuse_weak(self, child: ChildHandle) -> None:
        if self.options.sandbox == "strict" and any(name not in child.applied for name in NEEDED):
            raise too_weak(lacking(child.missing))
