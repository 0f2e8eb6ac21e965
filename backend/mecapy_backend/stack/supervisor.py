"""Keeps a whole stack running on one machine: `mecapy up`. Starts the components in order of
dependency, restarts those that die, records the running processes, and stops everything gracefully.
Holds the lock of its data directory; only it writes the state file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mecapy_backend.stack import component_plans, idle_stop, migrate_once, programs, state
from mecapy_backend.stack.component import Component, Plan
from mecapy_backend.stack.growth import Growth, MoreWorkers
from mecapy_backend.stack.live_workers import Roster
from mecapy_backend.stack.secret import fresh
from mecapy_jupyter.shared.data_dir import DataDir
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.processes import boot_id, process_id
from mecapy_jupyter.wire.stack import WORKER, ComponentState, StackState

_READY_S = 180.0  # on a busy machine; one that ends at every start is reported sooner


@dataclass(frozen=True, slots=True)
class StackOptions:
    workers: int = 0  # 0: one, and more while tasks wait
    port: int = 0
    idle_stop_s: float = 0.0  # 0: never

    @property
    def worker_count(self) -> int:
        return self.workers or 1


class Supervisor:
    """One stack, from `run` to its end. `say` gets one line per event."""

    def __init__(
        self,
        data_dir: DataDir,
        options: StackOptions,
        say: Callable[[str], None],
        ready: Callable[[str, str], None],
    ) -> None:
        self._data_dir, self._options, self._say, self._tell_ready = data_dir, options, say, ready
        self._components: list[Component] = []
        self._stop = asyncio.Event()
        self._ready = self._unwritten = False
        self._url = ""
        self._temporary: list[Path] = []
        self._scratch = Path()
        self._roster: Roster | None = None
        self._growth: Growth | None = None
        self._growing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until a signal, idleness, or a component that does not start (`StackError`). Nothing is
        left when it returns.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        listener = component_plans.listen(self._options.port, self._data_dir.port)
        run, temporary = programs.sockets(self._data_dir.data)
        self._scratch = component_plans.scratch()
        self._temporary = [self._scratch, *([run] if temporary else [])]
        try:
            async with asyncio.TaskGroup() as lives:
                try:
                    await self._until_stopped(lives, run, listener)
                finally:
                    self._ready = False
                    self._write()
                    await self._end()
        except* StackError as group:
            raise group.exceptions[0] from None
        finally:
            listener.close()
            for folder in self._temporary:
                shutil.rmtree(folder, ignore_errors=True)
            self._data_dir.state.unlink(missing_ok=True)
            self._data_dir.token.unlink(missing_ok=True)

    async def _until_stopped(
        self, lives: asyncio.TaskGroup, run: Path, listener: socket.socket
    ) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        starting = asyncio.create_task(self._start(lives, run, listener))
        idling: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                token, watch = await starting
                self._ready = True
                self._write()
                self._tell_ready(self._url, token)
                idling = asyncio.create_task(watch.until_idle(self._hide))
                await asyncio.wait({stopping, idling}, return_when=asyncio.FIRST_COMPLETED)
                if not self._stop.is_set():
                    await idling
                    self._say(f"nothing to do for {self._options.idle_stop_s:g} s: stopping")
        finally:
            await _cancelled(starting, stopping, idling)

    async def _start(
        self, lives: asyncio.TaskGroup, run: Path, listener: socket.socket
    ) -> tuple[str, idle_stop.IdleWatch]:
        """Starts in order of dependency; returns the token and the idle watch once a task could
        run. A worker starts first, because its imports take longer than creating the database.
        """
        data_dir = self._data_dir
        # A new token at each start, because anybody could listen on its port while the stack was
        # down.
        token = await asyncio.to_thread(fresh, data_dir.token)
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        database_url = await asyncio.to_thread(programs.postgres_url, data_dir.data, run)
        queue_url = await asyncio.to_thread(programs.valkey_url, data_dir.data, run)
        settings = component_plans.server_settings(data_dir, database_url, queue_url, token)
        roster = self._roster = Roster(database_url)
        workers = [
            component_plans.worker(data_dir, number + 1, self._scratch, roster, settings)
            for number in range(self._options.worker_count)
        ]
        first = self._add(lives, workers[0])
        database = self._add(lives, component_plans.postgres(data_dir, run))
        queue = self._add(lives, component_plans.valkey(data_dir, run))
        await asyncio.gather(database.ready(_READY_S), queue.ready(_READY_S))
        gateway = self._add(lives, component_plans.gateway(data_dir, listener, self._url, settings))
        await migrate_once.upgrade(data_dir, database_url, settings)
        await gateway.ready(_READY_S)
        await first.ready(_READY_S)
        for other in workers[1:]:  # one is enough to begin; the others would only have slowed it
            self._add(lives, other)
        if not self._options.workers:
            log = data_dir.logs / "more-workers.log"
            more = MoreWorkers(database_url, settings, self._scratch / "more", log)
            self._growth = Growth(more, self._write)
            self._growing = lives.create_task(self._growth.run())
        return token, idle_stop.IdleWatch(self._url, database_url, self._options.idle_stop_s)

    def _add(self, lives: asyncio.TaskGroup, plan: Plan) -> Component:
        component = Component(plan, self._say, self._write)
        self._components.append(component)
        lives.create_task(component.run())
        return component

    async def _end(self) -> None:
        """Workers return their tasks while database and queue still run."""
        await _cancelled(self._growing)
        first = [part for part in self._components if part.plan.name in ("worker", "gateway")]
        growth = [self._growth.end()] if self._growth else []
        await asyncio.gather(*(part.stop() for part in first), *growth)
        await asyncio.gather(*(part.stop() for part in self._components if part not in first))

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():  # a second signal: do not wait
            for part in self._components:
                part.kill()
            if self._growth:
                self._growth.kill()
        self._stop.set()

    def _hide(self, hidden: bool) -> None:
        """While hidden, no new notebook joins: they wait for the end and start another stack."""
        self._ready = not hidden
        self._write()

    def _write(self) -> None:
        """A full disk does not stop a stack: the file is written at the next change that finds
        space.
        """
        try:
            state.write(self._data_dir, self._described())
        except OSError as problem:
            if not self._unwritten:
                self._say(
                    "could not record the running processes "
                    f"({problem.strerror or problem}): make room on the disk of "
                    f"{self._data_dir.data}"
                )
            self._unwritten = True
        else:
            self._unwritten = False

    def _described(self) -> StackState:
        there = [one.described() for one in self._components if one.process.pid]
        there += self._growth.components() if self._growth else []
        return StackState(
            process_id(os.getpid()),
            self._url,
            self._ready,
            tuple(self._named(one) for one in there),
            tuple(str(folder) for folder in self._temporary),
            boot_id(),
        )

    def _named(self, state: ComponentState) -> ComponentState:
        if state.name == WORKER and self._roster:
            return replace(state, id=self._roster.id(state.process.pid))
        return state


async def _cancelled(*tasks: asyncio.Task[Any] | None) -> None:
    there = [task for task in tasks if task]
    for task in there:
        task.cancel()
    await asyncio.gather(*there, return_exceptions=True)
