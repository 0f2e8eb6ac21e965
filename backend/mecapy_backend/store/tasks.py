"""The state machine: every change of a task's state is one conditional statement here, and no row back is an answer.

    queued ──start──▸ running ──finish──▸ completed | failed | cancelled
       ▴──── requeue / expired ───┘            queued ──cancel──▸ cancelled

Called by `routes.tasks` (submit, cancel) and by the worker (start, renew, finish, requeue, expired). Its first step is in
`submission`, reading in `lookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_jupyter import wire

# Passed on, so that callers say `tasks.submit` and `tasks.get`.
from .lookup import Task as Task
from .lookup import get as get
from .lookup import kept_log as kept_log
from .lookup import pace as pace
from .lookup import page as page
from .lookup import queued as queued
from .lookup import request as request
from .lookup import waiting as waiting
from .submission import Conflict as Conflict
from .submission import MissingBlobs as MissingBlobs
from .submission import Submitted as Submitted
from .submission import TooManyQueued as TooManyQueued
from .submission import submit as submit
from .tables import blobs, tasks

_t = tasks.c
_now = sa.func.now()
# A lost `start` or lease renewal after a crash of PostgreSQL is made good by the fence, so neither waits for the disk.
_without_waiting = sa.func.set_config("synchronous_commit", "off", True) == "off"


@dataclass(frozen=True, slots=True)
class Started:
    task_id: str
    owner: str
    attempt: int
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    task_id: str
    attempt: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    state: str  # now: `cancelled` at once for a queued task, `running` while its worker is being told
    ended: bool  # this call ended it


@dataclass(frozen=True, slots=True)
class Expired:
    requeued: list[tuple[str, int]]  # (task id, priority)
    lost: list[tuple[str, int]]  # (task id, attempt): failed with `worker_lost`
    cancelled: list[tuple[str, int]]  # (task id, attempt): its worker vanished while it was to be cancelled


async def start(db: AsyncEngine, task_id: str, worker_id: str, lease_s: float) -> Started | None:
    """queued → running, with the next attempt's number. None: cancelled, forgotten, or taken by another worker."""
    change = sa.update(tasks).where(_t.id == task_id, _t.state == wire.QUEUED, _without_waiting)
    change = change.values(state=wire.RUNNING, attempt=_t.attempt + 1, worker=worker_id, lease_until=_in(lease_s), started_at=_now)
    row = await _first(db, change.returning(_t.owner, _t.attempt, _t.request))
    return Started(task_id, row.owner, row.attempt, row.request) if row else None


async def finish(
    db: AsyncEngine, task_id: str, attempt: int, outcome: wire.Outcome, log: Sequence[wire.Event] = (), log_blob: str = ""
) -> bool:
    """running → the outcome's final state. False: this attempt no longer counts (its lease ran out, or the task was forgotten)."""
    digests = list(outcome.payload.digests if outcome.payload else ()) + ([log_blob] if log_blob else [])
    change = sa.update(tasks).where(_t.id == task_id, _t.state == wire.RUNNING, _t.attempt == attempt)
    change = change.values(
        state=outcome.state, outcome=outcome.as_json(), log=[asdict(event) for event in log], log_blob=log_blob, completed_at=_now,
        lease_until=None, digests=sa.func.array_cat(_t.digests, sa.literal(digests, ARRAY(sa.Text))),
    )  # fmt: skip
    if not digests:
        return await _first(db, change.returning(_t.id)) is not None
    done = change.returning(_t.owner).cte("done")
    named = insert(blobs).from_select(
        ["owner", "digest"], sa.select(done.c.owner, sa.func.unnest(sa.literal(sorted(set(digests)), ARRAY(sa.Text))))
    )
    named = named.on_conflict_do_update(index_elements=["owner", "digest"], set_={"used_at": sa.func.clock_timestamp()}).returning(
        blobs.c.digest
    )
    return await _first(db, named) is not None


async def requeue(db: AsyncEngine, task_id: str, attempt: int) -> bool:
    """running → queued, on purpose: the worker leaves, or the task asked for a retry. Counts no loss. The caller enqueues it."""
    change = sa.update(tasks).where(_t.id == task_id, _t.state == wire.RUNNING, _t.attempt == attempt, ~_t.cancel_requested)
    change = change.values(state=wire.QUEUED, worker=None, lease_until=None)
    return await _first(db, change.returning(_t.id)) is not None


async def renew(db: AsyncEngine, worker_id: str, lease_s: float) -> list[Held]:
    """Extend all leases of a worker; what it still holds. What it runs and is not named here is no longer its own."""
    change = sa.update(tasks).where(_t.worker == worker_id, _t.state == wire.RUNNING, _without_waiting).values(lease_until=_in(lease_s))
    async with db.connect() as connection:
        rows = await connection.execute(change.returning(_t.id, _t.attempt, _t.cancel_requested))
        return [Held(*row) for row in rows]


async def cancel(db: AsyncEngine, owner: str, task_id: str) -> CancelAnswer | None:
    """queued → cancelled at once; a running task is marked, its worker ends it. None: no such task. Final tasks stay as they are."""
    queued = _t.state == wire.QUEUED
    outcome = sa.literal(wire.Outcome(wire.CANCELLED).as_json(), _t.outcome.type)
    change = sa.update(tasks).where(_t.id == task_id, _t.owner == owner, _t.state.in_([wire.QUEUED, wire.RUNNING]))
    change = change.values(
        cancel_requested=True,
        state=sa.case((queued, wire.CANCELLED), else_=_t.state),
        completed_at=sa.case((queued, _now), else_=None),
        outcome=sa.case((queued, outcome), else_=_t.outcome),
    )
    if row := await _first(db, change.returning(_t.state)):
        return CancelAnswer(row.state, row.state == wire.CANCELLED)
    row = await _first(db, sa.select(_t.state).where(_t.id == task_id, _t.owner == owner))
    return CancelAnswer(row.state, False) if row else None


async def expired(db: AsyncEngine, max_losses: int = 3, limit: int = 500) -> Expired:
    """Take back what vanished workers held: queued again, failed after `max_losses`, or cancelled if that was asked for."""
    over = sa.select(_t.id).where(_t.state == wire.RUNNING, _t.lease_until < _now).limit(limit).with_for_update(skip_locked=True)
    lost = _t.losses + 1 >= max_losses
    ends = sa.or_(_t.cancel_requested, lost)
    failed, cancelled = (
        sa.literal(outcome.as_json(), _t.outcome.type) for outcome in (lost_outcome(max_losses), wire.Outcome(wire.CANCELLED))
    )
    change = sa.update(tasks).where(_t.id.in_(over), _t.state == wire.RUNNING, _t.lease_until < _now)
    change = change.values(
        losses=_t.losses + 1,
        state=sa.case((_t.cancel_requested, wire.CANCELLED), (lost, wire.FAILED), else_=wire.QUEUED),
        outcome=sa.case((_t.cancel_requested, cancelled), (lost, failed), else_=None),
        completed_at=sa.case((ends, _now), else_=None),
        worker=sa.case((ends, _t.worker), else_=None),
        lease_until=None,
    )
    async with db.connect() as connection:
        rows = (await connection.execute(change.returning(_t.id, _t.state, _t.priority, _t.attempt))).all()
    return Expired(
        [(row.id, row.priority) for row in rows if row.state == wire.QUEUED],
        [(row.id, row.attempt) for row in rows if row.state == wire.FAILED],
        [(row.id, row.attempt) for row in rows if row.state == wire.CANCELLED],
    )


def lost_outcome(max_losses: int) -> wire.Outcome:
    """How a task ends whose workers keep vanishing."""
    times = f"{max_losses} times" if max_losses > 1 else "once"
    advice = "If the code can bring down a machine (memory, native code), change it; else submit it again."
    message = f"the worker that ran this task vanished, {times}. {advice}"
    return wire.Outcome(wire.FAILED, error=wire.ErrorInfo("worker_lost", "WorkerLost", message))


async def forget(db: AsyncEngine, owner: str, task_id: str) -> list[str] | None:
    """Delete a task in any state; the digests it named. None: no such task. A worker that runs it loses its lease."""
    row = await _first(db, sa.delete(tasks).where(_t.id == task_id, _t.owner == owner).returning(_t.digests))
    return None if row is None else sorted(set(row.digests))


def _in(seconds: float) -> Any:
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.literal(seconds, sa.Float))


async def _first(db: AsyncEngine, statement: Any) -> Any:
    async with db.connect() as connection:
        return (await connection.execute(statement)).first()
