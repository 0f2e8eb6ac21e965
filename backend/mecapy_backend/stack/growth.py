"""More workers beside a stack's first one while tasks wait, and fewer again: the scaler and its
provider `local`. While nothing waits, it costs one question to PostgreSQL now and then; the scaler
is imported when it is needed first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mecapy_backend.stack import sql, state
from mecapy_backend.stack.programs import Program
from mecapy_jupyter.shared.processes import mecapy_command, process_id
from mecapy_jupyter.wire.stack import WORKER, ComponentState, ProcessId

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mecapy_backend.fleet.classes import MachineClass
    from mecapy_backend.fleet.local import LocalProvider
    from mecapy_backend.fleet.scaler import Scaler

_LOOK_S, _END_S, _GRACE_S = 2.0, 30.0, 20.0
_LOG_BYTES = 5_000_000
_MOST = 16
"""Each worker holds four of PostgreSQL's connections."""

_NEEDED = """
    SELECT EXISTS (SELECT FROM tasks WHERE state = 'queued')
           OR EXISTS (SELECT FROM machines WHERE state <> 'gone')
"""


def most_workers(slots: int) -> int:
    """A slot for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST, (cores or 1) // slots))


@dataclass(frozen=True, slots=True)
class MoreWorkers:
    """What the workers beside the first one get: `folder` is for what their tasks write."""

    database_url: str
    settings: Mapping[str, str]
    folder: Path
    log: Path


class Growth:
    """Works from `run` to `end`. `changed` is called when workers start or end."""

    def __init__(self, more: MoreWorkers, changed: Callable[[], None]) -> None:
        self._more, self._changed = more, changed
        self._fleet: _Fleet | None = None
        self._there: dict[str, ProcessId] = {}

    def components(self) -> list[ComponentState]:
        return [ComponentState(WORKER, one, healthy=True) for one in self._there.values()]

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(sql.Unanswered):
                [(needed,)] = await sql.rows(self._more.database_url, _NEEDED)
                if needed:
                    await self._look()

    async def _look(self) -> None:
        self._fleet = self._fleet or _Fleet(self._more)
        await self._fleet.look()
        state.bounded(self._more.log, _LOG_BYTES)
        there = {
            pid: self._there.get(pid) or process_id(int(pid)) for pid in await self._fleet.pids()
        }
        if there != self._there:
            self._there = there
            self._changed()

    async def end(self) -> None:
        """The workers give their tasks back; none is left."""
        if self._fleet:
            await self._fleet.end()
        await asyncio.to_thread(self.kill)

    def kill(self) -> None:
        for process in self._there.values():
            state.end_session(process)


class _Fleet:
    """The scaler of this stack and what it needs."""

    def __init__(self, more: MoreWorkers) -> None:
        from mecapy_backend.fleet import policy
        from mecapy_backend.fleet.local import LocalProvider
        from mecapy_backend.fleet.scaler import Scaler
        from mecapy_backend.shared import logs
        from mecapy_backend.store import database

        logs.configure(component="fleet")
        more.folder.mkdir(mode=0o711, exist_ok=True)
        own = {"MECAPY_TOKEN", "MECAPY_WORKER_PORT"}
        settings = {name: value for name, value in more.settings.items() if name not in own}
        settings["TMPDIR"] = str(more.folder)
        command = Program(WORKER, mecapy_command("worker")).launched()
        self._db: AsyncEngine = database.connect(more.database_url, connections=3)
        self._local: LocalProvider = LocalProvider(settings, more.log, command, _GRACE_S)
        found, budget = _classes(more.settings)
        self._scaler: Scaler = Scaler(
            self._db, found, {"local": self._local}, budget, policy.ONE_MACHINE
        )

    async def look(self) -> None:
        from mecapy_backend.fleet.fleet_command import look

        await look(self._db, self._scaler)

    async def pids(self) -> list[str]:
        return await asyncio.to_thread(self._local.pids)

    async def end(self) -> None:
        with suppress(Exception):  # whatever it is, the processes end
            async with asyncio.timeout(_END_S):
                await self._scaler.end()
        await self._db.dispose()


def _classes(settings: Mapping[str, str]) -> tuple[list[MachineClass], float]:
    """The local ones of MECAPY_MACHINES; without any, as many workers as there are cores."""
    from mecapy_backend.fleet import classes

    file = classes.read(settings.get("MECAPY_MACHINES", ""))
    local = [one for one in file.classes if one.provider == classes.LOCAL]
    slots = int(settings.get("MECAPY_WORKER_SLOTS") or 1)
    pool = classes.MachineClass(
        "pool", provider=classes.LOCAL, slots=slots, max=most_workers(slots) - 1
    )
    return local or [pool], file.budget
