"""The scaler: each look compares the machines that exist with the recorded ones, and carries out
what `desired` decides.

Every request is recorded before a provider gets it, and every machine is found again by its tag, so
a scaler may die between any two steps. One looks at a time: `looking` holds the lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.fleet import spend_alarm
from mecapy_backend.fleet.classes import CLOUDS, MachineClass
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.desired import Decision, Machine, View, desired
from mecapy_backend.fleet.policy import POLICY, Policy
from mecapy_backend.fleet.provider import Provider, ProviderRefused, Tag
from mecapy_backend.store import machines, workers
from mecapy_backend.store.machines import ClassLoad, FleetRow, MachineRow
from mecapy_backend.store.workers import LiveWorker
from mecapy_jupyter import wire

log = structlog.get_logger()
_REFUSED_S = 60.0
_SILENT_S = 60.0
_NO_LOAD = ClassLoad(0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found. `have`: of each provider that answered, machine → handle. `live`:
    machine → worker; `others`: workers that somebody else started.
    """

    fleet: FleetRow
    rows: Sequence[MachineRow]
    have: Mapping[str, Mapping[str, str]]
    live: Mapping[str, LiveWorker] = field(default_factory=dict[str, LiveWorker])
    others: Sequence[LiveWorker] = ()


@dataclass(slots=True)
class ScalerMemory:
    """What a scaler may forget: votes, at how many looks in a row tasks waited, when a class was
    refused last, since when a worker is silent.
    """

    votes: dict[str, int] = field(default_factory=dict[str, int])
    pressed: dict[str, int] = field(default_factory=dict[str, int])
    refused_s: dict[str, float] = field(default_factory=dict[str, float])
    silent_s: dict[str, float] = field(default_factory=dict[str, float])


class Scaler:
    """`budget`: euros a day (UTC) beyond which no machine is started; 0: any. `credentials`: what
    machines in a cloud get theirs by.
    """

    def __init__(
        self,
        db: AsyncEngine,
        classes: Sequence[MachineClass],
        providers: Mapping[str, Provider],
        budget: float = 0.0,
        policy: Policy = POLICY,
        credentials: MachineCredentials | None = None,
    ) -> None:
        self._db, self._providers, self._budget, self._policy = db, providers, budget, policy
        self._credentials = credentials
        self._classes = {one.name: one for one in classes if one.provider}
        self._memory = ScalerMemory()

    async def look(self) -> int:
        """One round. Returns how many machines are not gone."""
        seen = await self._see()
        left = await self._round(seen)
        if self._credentials:
            await self._credentials.revoke(seen.fleet.stack)
        return left

    async def _round(self, seen: Seen) -> int:
        await self._sweep(seen)
        rows = [row for row in seen.rows if row.provider in seen.have]
        rows = [row for each in rows if (row := await self._compared(seen, each))]
        if seen.fleet.stopped:
            await self._stop(seen.fleet, [(row, "the fleet was stopped") for row in rows])
            return len(seen.rows)
        await self._replace(seen, rows)
        await self._scale(seen, await machines.alive(self._db))
        return len(seen.rows)

    async def end(self) -> None:
        """Stop every machine."""
        fleet, rows = await machines.fleet_row(self._db), await machines.alive(self._db)
        await self._stop(fleet, [(row, "the scaler ends") for row in rows])

    async def _see(self) -> Seen:
        fleet = await machines.fleet_row(self._db)
        have: dict[str, Mapping[str, str]] = {}
        for name, provider in self._providers.items():
            try:
                have[name] = await asyncio.to_thread(provider.list, fleet.stack)
            except Exception as problem:  # it is away: nothing of it is touched in this round
                log.warning("provider does not answer", provider=name, error=repr(problem))
        rows = await machines.alive(self._db)
        found = await workers.list_live(self._db)
        live = {one.info.machine: one for one in found if one.info.machine}
        return Seen(fleet, rows, have, live, [one for one in found if not one.info.machine])

    async def _sweep(self, seen: Seen) -> None:
        """What carries our tag and is not written down is destroyed; the first sweep of a stack
        only reports it.
        """
        known = {row.id for row in seen.rows}
        for name, there in seen.have.items():
            for machine, handle in there.items():
                if machine in known:
                    continue
                log.warning("not ours to have", machine=machine, provider=name, handle=handle)
                if seen.fleet.swept:
                    await self._destroy(name, handle, Tag(seen.fleet.stack, machine))
        if not seen.fleet.swept:
            await machines.set_swept(self._db)

    async def _compared(self, seen: Seen, row: MachineRow) -> MachineRow | None:
        """The row as the provider and the workers say it is; None: gone."""
        handle = seen.have[row.provider].get(row.id)
        if handle is None:
            ends = {wire.WANTED: machines.NEVER_STARTED, wire.STOPPING: row.why or "stopped"}
            why = ends.get(row.state, "ended by itself")
            await machines.change(self._db, row.id, wire.GONE, why=why)
            log.info("machine gone", machine=row.id, why=why)
            return None
        if row.state == wire.WANTED:  # a scaler died after it had asked
            await machines.change(self._db, row.id, wire.BOOTING, handle=handle)
        worker = seen.live.get(row.id)
        if row.state in (wire.WANTED, wire.BOOTING) and worker:
            await machines.change(self._db, row.id, wire.SERVING, worker=worker.id)
            log.info("machine serves", machine=row.id, after_s=round(row.age_s, 1))
        return row

    async def _replace(self, seen: Seen, rows: Sequence[MachineRow]) -> None:
        """Those that never called home or fell silent are destroyed; those whose hours are over
        drain.
        """
        broken = list[tuple[MachineRow, str]]()
        for row in rows:
            kind = self._classes.get(row.machine_class)
            worker = seen.live.get(row.id)
            if row.state == wire.STOPPING:
                if row.worker is None:  # it failed before it served: the next one waits
                    self._memory.refused_s[row.machine_class] = time.monotonic()
                broken.append((row, row.why))
            elif worker is None and row.state in (wire.WANTED, wire.BOOTING):
                if kind and row.age_s > kind.boot_s * self._policy.late:
                    self._memory.refused_s[row.machine_class] = time.monotonic()
                    broken.append((row, f"never called home in {row.age_s:.0f} s"))
            elif worker is None:
                since_s = self._memory.silent_s.setdefault(row.id, time.monotonic())
                if time.monotonic() - since_s > _SILENT_S:
                    broken.append((row, f"silent for {_SILENT_S:.0f} s"))
            else:
                self._memory.silent_s.pop(row.id, None)
                over = kind is None or row.age_s > kind.hours * 3600
                if over and row.state == wire.SERVING:
                    await self._drain(row, worker, "its hours are over")
        await self._stop(seen.fleet, broken)

    async def _scale(self, seen: Seen, rows: Sequence[MachineRow]) -> None:
        broke = await spend_alarm.check(self._db, self._budget)
        loads = await machines.loads(self._db, broke.organisations)
        running = await machines.running_by_worker(self._db)
        allowed = 0 if broke.all else None
        for kind in self._classes.values():
            if kind.provider not in seen.have:
                continue
            own = [row for row in rows if row.machine_class == kind.name]
            load = loads.get(kind.name, _NO_LOAD)
            fixed = _fixed(seen, kind)
            view = View(
                kind.min,
                kind.max,
                kind.slots,
                [_seen_machine(row, kind, seen.live.get(row.id), running) for row in own],
                load.queued,
                load.queued_s,
                load.oldest_wait_s,
                self._memory.votes.get(kind.name, 0),
                0 if self._was_refused(kind) else allowed,
                sum(one.info.slots for one in fixed),
                sum(running.get(one.id, 0) for one in fixed),
                self._memory.pressed.get(kind.name, 0),
            )
            decision = desired(view, self._policy)
            self._memory.votes[kind.name] = decision.votes
            self._memory.pressed[kind.name] = decision.pressed
            await self._carry_out(seen, kind, decision, {row.id: row for row in own})

    def _was_refused(self, kind: MachineClass) -> bool:
        refused_s = self._memory.refused_s.get(kind.name)
        return refused_s is not None and time.monotonic() - refused_s < _REFUSED_S

    async def _carry_out(
        self, seen: Seen, kind: MachineClass, decision: Decision, own: Mapping[str, MachineRow]
    ) -> None:
        for each in decision.keep:
            if worker := seen.live.get(each):
                await workers.drain(self._db, worker.id, False)
                await machines.change(self._db, each, wire.SERVING, why="")
                log.info("machine taken back", machine=each)
        for each in decision.drain:
            if worker := seen.live.get(each):
                await self._drain(own[each], worker, "not needed")
        await self._stop(seen.fleet, [(own[each], own[each].why) for each in decision.stop])
        for _ in range(decision.start):
            if not await self._start(seen.fleet, kind):
                break

    async def _start(self, fleet: FleetRow, kind: MachineClass) -> bool:
        billing_s = 3600 if kind.billing == "hour" else 0
        provider = self._providers[kind.provider]
        machine = await machines.intend(self._db, kind.name, kind.provider, kind.price, billing_s)
        try:
            token = await self._offered(machine, kind)
            tag = Tag(fleet.stack, machine)
            handle = await asyncio.to_thread(provider.start, tag, kind, token)
        except ProviderRefused as refused:
            await machines.change(self._db, machine, wire.GONE, why=str(refused))
            self._memory.refused_s[kind.name] = time.monotonic()
            log.warning("no machine", machine_class=kind.name, why=str(refused))
            return False
        await machines.change(self._db, machine, wire.BOOTING, handle=handle)
        log.info("machine started", machine=machine, machine_class=kind.name, handle=handle)
        return True

    async def _offered(self, machine: str, kind: MachineClass) -> str:
        if self._credentials is None or kind.provider not in CLOUDS:
            return ""
        return await self._credentials.offer(machine, kind.boot_s * self._policy.late)

    async def _drain(self, row: MachineRow, worker: LiveWorker, why: str) -> None:
        await machines.change(self._db, row.id, wire.DRAINING, why=why)
        await workers.drain(self._db, worker.id, True)
        log.info("machine drains", machine=row.id, why=why)

    async def _stop(self, fleet: FleetRow, rows: Sequence[tuple[MachineRow, str]]) -> None:
        async def stop(row: MachineRow, why: str) -> None:
            await machines.change(self._db, row.id, wire.STOPPING, why=why)
            log.info("machine stops", machine=row.id, why=why)
            await self._destroy(row.provider, row.handle, Tag(fleet.stack, row.id))

        async with asyncio.TaskGroup() as group:
            for row, why in rows:
                group.create_task(stop(row, why))

    async def _destroy(self, provider: str, handle: str, tag: Tag) -> None:
        try:
            await asyncio.to_thread(self._providers[provider].stop, handle, tag)
        except ProviderRefused as refused:  # the next round asks again
            log.warning("machine not destroyed yet", machine=tag.machine, why=str(refused))


def _seen_machine(
    row: MachineRow, kind: MachineClass, worker: LiveWorker | None, running: Mapping[str, int]
) -> Machine:
    state = wire.BOOTING if row.state in (wire.WANTED, wire.BOOTING) else row.state
    tasks = running.get(worker.id, 0) if worker else 0
    if state == wire.DRAINING and worker and not worker.info.drained:
        tasks = max(1, tasks)  # it may still take what the queue gave it
    paid_s = 3600 - row.age_s % 3600 if kind.billing == "hour" else 0.0
    return Machine(row.id, state, tasks, paid_s)


def _fixed(seen: Seen, kind: MachineClass) -> list[LiveWorker]:
    """They serve this class, and the scaler neither starts nor stops them."""
    return [one for one in seen.others if one.info.machine_class == kind.name and not one.draining]
