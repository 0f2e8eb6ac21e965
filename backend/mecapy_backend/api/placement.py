"""Which class of machines a submission goes to: the router's answer with what this gateway knows of
classes, workers and the code's history.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from blake3 import blake3
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.problems import Problem
from mecapy_backend.api.schemas.tasks import TaskBody
from mecapy_backend.fleet import router
from mecapy_backend.fleet.classes import MachineClass, MachinesFile, named
from mecapy_backend.fleet.router import NOTHING_KNOWN, TaskEstimate
from mecapy_backend.store import workers
from mecapy_backend.store.tasks import TaskPlace, TaskRow, history
from mecapy_jupyter.shared.units import duration
from mecapy_jupyter.wire import Resources

_CACHED_S = 5.0


class Placements:
    """Of one gateway. What a class does not say of itself, its live workers do."""

    def __init__(self, db: AsyncEngine, file: MachinesFile) -> None:
        self._db, self._file = db, file
        self._looked_s, self._classes = -math.inf, file.classes

    @property
    def file(self) -> MachinesFile:
        return self._file

    async def place(self, owner: str, task: TaskBody) -> TaskPlace:
        """Raises Problem for what no class offers."""
        key = code_key(owner, task.code)
        asked = Resources.from_json(task.resources.model_dump()) if task.resources else Resources()
        if len(self._file.classes) == 1 and asked == Resources():
            return TaskPlace(code_key=key)
        known = await self.estimate(owner, key)
        try:
            placed = router.place(asked, await self.classes(), known)
        except router.NoSuchMachine as none:
            raise Problem(422, "no-such-machine", str(none)) from None
        return TaskPlace(placed.machine_class, placed.why, key, known.runs_s)

    async def estimate(self, owner: str, key: bytes) -> TaskEstimate:
        """From the code's own history; of a file with one class it would change nothing."""
        if len(self._file.classes) == 1:
            return NOTHING_KNOWN
        found = await history.of_code(self._db, owner, key)
        return TaskEstimate(found.runs_s, found.memory_bytes)

    async def classes(self) -> Sequence[MachineClass]:
        """With the sizes that live workers report, where the file says none."""
        unsaid = [one for one in self._file.classes if not (one.cpus and one.memory_bytes)]
        if unsaid and time.monotonic() - self._looked_s > _CACHED_S:
            live = await workers.list_live(self._db)
            self._classes = tuple(_as_reported(one, live) for one in self._file.classes)
            self._looked_s = time.monotonic()
        return self._classes

    def expectation(self, place: TaskPlace) -> str:
        """`~4 min · about €0.002 · large`; "" where there is no history. It is never a limit."""
        if place.estimate_s is None:
            return ""
        kind = named(self._file.classes, place.machine_class)
        euros = place.estimate_s / 3600 * kind.price / kind.slots if kind else 0.0
        cost = [f"about €{euros:.2g}"] if euros else []
        return " · ".join([f"~{duration(place.estimate_s)}", *cost, place.machine_class])

    def cost(self, task: TaskRow, now: datetime) -> float | None:
        """Euros for the last attempt: its share of a machine of its class. None: no price known."""
        kind = named(self._file.classes, task.machine_class)
        if kind is None or not kind.price or task.started_at is None:
            return None
        ran_s = ((task.completed_at or now) - task.started_at).total_seconds()
        return round(max(0.0, ran_s) / 3600 * kind.price / kind.slots, 6)


def code_key(owner: str, code: str) -> bytes:
    return blake3(f"{owner}\0{code}".encode(errors="replace")).digest(length=16)


def _as_reported(machine: MachineClass, live: Sequence[workers.LiveWorker]) -> MachineClass:
    own = [one.info for one in live if one.info.machine_class == machine.name]
    return replace(
        machine,
        cpus=machine.cpus or max((one.cpus for one in own), default=0),
        memory_bytes=machine.memory_bytes or max((one.memory_bytes for one in own), default=0),
    )
