"""The machines of the fleet: each has a row before its provider is asked for it. All SQL of the
fleet.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first
from mecapy_backend.store.tables import fleet, machines, tasks
from mecapy_jupyter import wire
from mecapy_jupyter.wire import MachineState

_m, _t, _f = machines.c, tasks.c, fleet.c
_now = sa.func.now()
SCALER_LOCK = 0x6D656361_666C7430
NEVER_STARTED = "never started"


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One machine. `handle`: the provider's name of it, "" while unknown. `worker`: the id with
    which it reported.
    """

    id: str
    machine_class: str
    provider: str
    state: MachineState
    handle: str
    worker: str | None
    created_at: datetime
    age_s: float
    why: str


@dataclass(frozen=True, slots=True)
class FleetRow:
    """`stack`: part of every tag, one per database. `stopped`: by `mecapy fleet stop`. `swept`: a
    sweep has looked once.
    """

    stack: str
    stopped: bool
    swept: bool


async def fleet_row(db: AsyncEngine) -> FleetRow:
    """The fleet's own row; made at the first call."""
    made = insert(fleet).values(one=1, stack=secrets.token_hex(6)).on_conflict_do_nothing()
    await changed(db, made)
    row = await first(db, sa.select(_f.stack, _f.stopped, _f.swept))
    assert row is not None
    return FleetRow(*row)


async def set_stopped(db: AsyncEngine, stopped: bool) -> None:
    await fleet_row(db)
    await changed(db, sa.update(fleet).values(stopped=stopped))


async def set_swept(db: AsyncEngine) -> None:
    await changed(db, sa.update(fleet).values(swept=True))


async def intend(
    db: AsyncEngine, machine_class: str, provider: str, price: float, billing_s: int
) -> str:
    """A machine that will be requested next; returns its id. `billing_s`: it is paid in steps of
    this length.
    """
    machine_id = secrets.token_hex(8)
    row = insert(machines).values(
        id=machine_id,
        machine_class=machine_class,
        provider=provider,
        price=price,
        billing_s=billing_s,
        state=wire.WANTED,
    )
    await changed(db, row)
    return machine_id


async def change(
    db: AsyncEngine,
    machine_id: str,
    state: MachineState,
    *,
    handle: str | None = None,
    worker: str | None = None,
    why: str | None = None,
) -> None:
    """Records a change of a machine that is not gone."""
    values: dict[str, object] = {"state": state}
    named = {"handle": handle, "worker": worker, "why": why}
    values |= {name: value for name, value in named.items() if value is not None}
    if state == wire.GONE:
        values["ended_at"] = _now
    if state == wire.SERVING:
        values["served_at"] = sa.func.coalesce(_m.served_at, _now)
    change = sa.update(machines).where(_m.id == machine_id, _m.state != wire.GONE).values(**values)
    await changed(db, change)


async def alive(db: AsyncEngine) -> list[MachineRow]:
    """All that are not gone, the oldest first."""
    age_s = sa.cast(sa.extract("epoch", sa.func.clock_timestamp() - _m.created_at), sa.Float)
    query = sa.select(
        _m.id, _m.machine_class, _m.provider, _m.state, _m.handle, _m.worker, _m.created_at,
        age_s, _m.why,
    )  # fmt: skip
    query = query.where(_m.state != wire.GONE).order_by(_m.created_at)
    return [MachineRow(*row) for row in await all_rows(db, query)]


async def boot_times(db: AsyncEngine) -> dict[str, float]:
    """Seconds from the order to the first service, by class: the median of its last machines."""
    return {name: float(seconds) for name, seconds in await all_rows(db, _BOOTED)}


_BOOTED = sa.text(
    """SELECT machine_class, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM took))
       FROM (SELECT machine_class, served_at - created_at AS took, row_number() OVER (
               PARTITION BY machine_class ORDER BY served_at DESC) AS number
             FROM machines WHERE served_at IS NOT NULL) AS booted
       WHERE number <= 10 GROUP BY machine_class"""
)


async def refusals(db: AsyncEngine, within_s: float = 600.0) -> dict[str, str]:
    """The reason for each class whose last machine could not start lately."""
    values = {"within_s": within_s, "never": NEVER_STARTED}
    return {row.machine_class: row.why for row in await all_rows(db, _REFUSALS, values)}


_REFUSALS = sa.text(
    """SELECT machine_class, why FROM (
         SELECT DISTINCT ON (machine_class) machine_class, why, state, handle FROM machines
         WHERE created_at > now() - make_interval(secs => :within_s)
         ORDER BY machine_class, created_at DESC) AS last
       WHERE state = 'gone' AND why <> :never
         AND (handle = '' OR why ~ '^(never called home|its image)')"""
)


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """What waits for one class: tasks that may start, their work, and how long the oldest waits."""

    queued: int
    queued_s: float
    oldest_wait_s: float


async def loads(
    db: AsyncEngine, without: Collection[str] = (), python: str = "", cap: int = 0
) -> dict[str, ClassLoad]:
    """The load of each class with queued tasks. Those behind their owner's `max_running` (`cap`,
    where that is not set; 0: none) do not count: more machines would not start them; nor those of
    the organisations `without`, and those that `python` ("3.12"; "": any) cannot run. A task
    without an estimate counts as its owner's mean.
    """
    values = {"without": list(without), "python": python, "cap": cap or None}
    return {name: ClassLoad(*load) for name, *load in await all_rows(db, _LOADS, values)}


_LOADS = sa.text(
    """WITH waiting AS (
         SELECT machine_class, owner, created_at, estimate_s,
                row_number() OVER (PARTITION BY owner ORDER BY created_at) AS place
         FROM tasks WHERE state = 'queued' AND owner NOT IN (
           SELECT id FROM users WHERE organisation = ANY(:without))
           AND (:python = '' OR python IN ('', :python))
       ), owners AS (
         SELECT owner,
                (SELECT count(*) FROM tasks
                 WHERE state = 'running' AND tasks.owner = waiting.owner) AS running,
                coalesce((SELECT max_running FROM users WHERE id = waiting.owner), :cap) AS most,
                (SELECT avg(seconds) FROM (
                   SELECT extract(epoch FROM completed_at - started_at) AS seconds FROM tasks
                   WHERE tasks.owner = waiting.owner AND completed_at IS NOT NULL
                     AND started_at IS NOT NULL
                   ORDER BY completed_at DESC LIMIT 20) AS last) AS mean_s
         FROM (SELECT DISTINCT owner FROM waiting) AS waiting
       )
       SELECT machine_class, count(*) AS queued,
              sum(coalesce(estimate_s, mean_s, 10))::float8 AS queued_s,
              greatest(0, extract(epoch FROM now() - min(created_at)))::float8 AS oldest_s
       FROM waiting JOIN owners USING (owner)
       WHERE most IS NULL OR place <= most - running
       GROUP BY machine_class"""
).bindparams(
    sa.bindparam("without", type_=ARRAY(sa.Text)),
    sa.bindparam("python", type_=sa.Text),
    sa.bindparam("cap", type_=sa.Integer),
)


async def running_by_worker(db: AsyncEngine) -> dict[str, int]:
    query = sa.select(_t.worker, sa.func.count()).where(_t.state == wire.RUNNING)
    rows = await all_rows(db, query.group_by(_t.worker))
    return {worker: count for worker, count in rows if worker}
