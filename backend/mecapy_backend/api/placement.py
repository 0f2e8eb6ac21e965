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
from mecapy_backend.api.schemas.tasks import PayloadBody, ResourcesBody, TaskBody
from mecapy_backend.api.task_view import attempts_of
from mecapy_backend.fleet import router
from mecapy_backend.fleet.classes import MachineClass, MachinesFile, named
from mecapy_backend.fleet.estimate import estimate
from mecapy_backend.fleet.router import TaskEstimate
from mecapy_backend.store import json_text, workers
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.tasks import TaskPlace, TaskRow, history
from mecapy_jupyter.shared.units import price, size, spelled
from mecapy_jupyter.wire import Attempt, Resources

_CACHED_S = 5.0


class Placements:
    """One gateway's view. What the file of classes omits comes from live workers."""

    def __init__(self, db: AsyncEngine, file: MachinesFile) -> None:
        self._db, self._file = db, file
        self._looked_s, self._classes = -math.inf, file.classes

    @property
    def file(self) -> MachinesFile:
        return self._file

    async def place(
        self, owner: str, task: TaskBody, usual: Resources | None, *, short: bool
    ) -> TaskPlace:
        """Raises Problem for what no class offers. `usual`: the resources of a task that asks for
        none; `short`: it needs no estimate.
        """
        key, asked = code_key(owner, task), usual or Resources()
        if task.resources:
            asked = Resources.from_json(task.resources.model_dump())
        sent = await self._input_bytes(owner, task, ask=not short)
        if short and len(self._file.classes) == 1 and asked == Resources():
            return TaskPlace(code_key=key, input_bytes=sent)
        known = estimate(await history.of_code(self._db, owner, key), sent)
        try:
            placed = router.place(asked, await self.classes(), known)
        except router.NoSuchMachine as none:
            raise Problem(422, "no-such-machine", str(none)) from None
        said = "" if short else self._said(placed.machine_class, known)
        return TaskPlace(placed.machine_class, placed.why, key, known.runs_s, sent, said)

    async def _input_bytes(self, owner: str, task: TaskBody, *, ask: bool) -> int | None:
        """None: not known without asking."""
        payload = task.payload or PayloadBody()
        there = [*payload.buffers, *filter(None, [payload.pickle_blob])]
        if not ask and (there or task.inputs):
            return None
        stored = await blob_rows.total_bytes(self._db, owner, there) if there else 0
        here = len(json_text.dumps(task.inputs)) if task.inputs else 0
        return stored + here + len(payload.pickle) * 3 // 4

    async def classes(self) -> Sequence[MachineClass]:
        """The classes, with the sizes that live workers report where the file gives none."""
        unsaid = [one for one in self._file.classes if not (one.cpus and one.memory_bytes)]
        if unsaid and time.monotonic() - self._looked_s > _CACHED_S:
            live = await workers.list_live(self._db)
            self._classes = tuple(_as_reported(one, live) for one in self._file.classes)
            self._looked_s = time.monotonic()
        return self._classes

    def _said(self, machine_class: str, known: TaskEstimate) -> str:
        """`~3 min 40 s · 2.1 GB · about €0.002 · pool`; "" where there is no history."""
        if known.runs_s is None:
            return ""
        euros = self.euros(machine_class, known.runs_s)
        memory = [size(known.memory_bytes)] if known.memory_bytes else []
        cost = [f"about {price(euros)}"] if euros else []
        return " · ".join([f"~{spelled(known.runs_s)}", *memory, *cost, machine_class])

    def cost(self, task: TaskRow, now: datetime) -> float | None:
        """Euros for its attempts: their shares of machines. None: no price known."""
        found = [self._cost(one, now) for one in attempts_of(task)]
        known = [one for one in found if one is not None]
        return round(sum(known), 6) if known else None

    def _cost(self, attempt: Attempt, now: datetime) -> float | None:
        if attempt.started_at is None or not self.euros(attempt.machine_class, 1.0):
            return None
        ran_s = ((attempt.ended_at or now) - attempt.started_at).total_seconds()
        return self.euros(attempt.machine_class, max(0.0, ran_s))

    def euros(self, machine_class: str, ran_s: float) -> float:
        """Euros for a place on such a machine for that time; 0: no price known."""
        kind = named(self._file.classes, machine_class)
        return ran_s / 3600 * kind.price / kind.slots if kind else 0.0

    def check(self, asked: ResourcesBody) -> None:
        """Raises Problem for what no class offers."""
        try:
            router.place(Resources.from_json(asked.model_dump()), self._classes)
        except router.NoSuchMachine as none:
            raise Problem(422, "no-such-machine", str(none)) from None


def code_key(owner: str, task: TaskBody) -> bytes:
    """Calls of all functions have the same code: there the function's name counts, too."""
    called = task.name if task.payload and not task.cell else ""
    return blake3(f"{owner}\0{called}\0{task.code}".encode(errors="replace")).digest(length=16)


def _as_reported(machine: MachineClass, live: Sequence[workers.LiveWorker]) -> MachineClass:
    own = [one.info for one in live if one.info.machine_class == machine.name]
    return replace(
        machine,
        cpus=machine.cpus or max((one.cpus for one in own), default=0),
        memory_bytes=machine.memory_bytes or max((one.memory_bytes for one in own), default=0),
    )
