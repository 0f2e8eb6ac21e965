"""A running task belongs to its worker while its lease lasts: renewed, given back by a graceful
stop, or expired because the worker is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first
from mecapy_backend.store.tables import tasks
from mecapy_backend.store.tasks.lookup import QUEUED_COLUMNS, QueuedTask
from mecapy_jupyter import wire

_t = tasks.c
_now = sa.func.now()

LEFT: Final = "worker_left"
"""Why an attempt of a gracefully stopped worker ended. All other values are those of
`wire.ErrorKind`.
"""
LOST: Final = "worker_lost"
_SAID_CHARS = 300
_BATCH = 500  # rows a statement
# The outside effects of such a task must not happen twice, unless its owner allowed it.
_once = sa.and_(_t.went_out, sa.func.coalesce(_t.request["retries"].as_integer(), 0) == 0)
# A lost `start` or lease renewal after a crash of PostgreSQL is made good by the fence, so neither
# waits for the disk.
without_waiting = sa.func.set_config("synchronous_commit", "off", True) == "off"


@dataclass(frozen=True, slots=True)
class Lease:
    task_id: str
    attempt: int
    cancel_requested: bool
    extra_s: float = 0.0  # that it may run longer than it was submitted with


@dataclass(frozen=True, slots=True)
class Expired:
    requeued: list[QueuedTask]
    lost: list[tuple[str, int]]  # (task id, attempt): failed with `worker_lost`, too often
    once: list[tuple[str, int]]  # likewise, the first time: it had used the network
    # (task id, attempt): its worker vanished while it was to be cancelled.
    cancelled: list[tuple[str, int]]
    # Of those that ended, the ones that others may be blocked by.
    awaited: list[str] = field(default_factory=list[str])


async def renew(db: AsyncEngine, worker_id: str, lease_s: float) -> list[Lease]:
    """Extends all leases of a worker; returns the tasks that it still holds. A task that it runs
    and that is not returned belongs to another worker.
    """
    change = (
        sa.update(tasks)
        .where(_t.worker == worker_id, _t.state == wire.RUNNING, without_waiting)
        .values(lease_until=run_out(sa.literal(lease_s, sa.Float)))
    )
    held = _t.id, _t.attempt, _t.cancel_requested, _t.extra_s
    return [Lease(*row) for row in await all_rows(db, change.returning(*held))]


def _running(task_id: str, attempt: int) -> sa.Update:
    return sa.update(tasks).where(_t.id == task_id, _t.state == wire.RUNNING, _t.attempt == attempt)


async def mark_network_used(db: AsyncEngine, task_id: str, attempt: int) -> bool:
    """The attempt is about to use the network. False: it no longer counts."""
    return await changed(db, _running(task_id, attempt).values(went_out=True)) > 0


async def keep_checkpoint(db: AsyncEngine, task_id: str, attempt: int, digest: str) -> bool:
    """What the next attempt gets, in place of the one before. False: it is no longer ours."""
    new = sa.func.array_append(_without_checkpoint, digest)
    change = _running(task_id, attempt).values(checkpoint=digest, digests=new)
    return await changed(db, change) > 0


async def forget_checkpoint(db: AsyncEngine, task_id: str) -> None:
    """Remove the checkpoint of a task that has ended."""
    change = sa.update(tasks).where(_t.id == task_id, _t.state.in_(wire.FINAL))
    change = change.values(checkpoint=None, digests=_without_checkpoint)
    await changed(db, change)


_without_checkpoint = sa.func.array_remove(_t.digests, _t.checkpoint)


async def requeue(
    db: AsyncEngine,
    task_id: str,
    attempt: int,
    why: str = LEFT,
    said: str = "",
    pause_s: float = 0.0,
    machine_class: str = "",
    why_there: str = "",
) -> str:
    """running → queued on purpose: the worker stops, or the task asked for a retry.

    `said`: a text for people. `pause_s`: it waits so long, and `lookup.due_again` finds it then.
    `machine_class`: another one from now on. Returns the state: queued, and the caller enqueues it;
    still running, because it must not run twice, and the caller ends it (`once_outcome`); or "",
    because it is cancelled or no longer ours.
    """
    new = {
        "state": wire.QUEUED,
        "worker": None,
        "lease_until": None,
        "earlier": _with_this(why, said),
        "not_before": run_out(sa.literal(pause_s, sa.Float)) if pause_s else sa.null(),
        "losses": _t.losses + int(why == LOST),
    }
    if machine_class:
        new |= {"machine_class": machine_class, "why_there": why_there}
    change = _running(task_id, attempt).where(~_t.cancel_requested)
    change = change.values(
        {name: sa.case((_once, _t[name]), else_=value) for name, value in new.items()}
    )
    row = await first(db, change.returning(_t.state))
    return row.state if row else ""


async def reclaim_expired(
    db: AsyncEngine, max_losses: int = 3, between: tuple[datetime, datetime] | None = None
) -> Expired:
    """Take back tasks of vanished workers: queued again, failed (after `max_losses`, or if it must
    not run twice), or cancelled if that was requested.

    `between`: nothing at other times of PostgreSQL's clock, which a statement that waited for a
    connection may be late for.
    """
    bounds = dict[str, object](zip(("since", "until"), between or (), strict=False))
    rows = await all_rows(db, _reclaim_statement(max_losses, bounded=bool(bounds)), bounds)
    return Expired(
        [QueuedTask(*row[:-4]) for row in rows if row.state == wire.QUEUED],
        [(row.id, row.attempt) for row in rows if row.state == wire.FAILED and not row.once],
        [(row.id, row.attempt) for row in rows if row.state == wire.FAILED and row.once],
        [(row.id, row.attempt) for row in rows if row.state == wire.CANCELLED],
        [row.id for row in rows if row.awaited and row.state != wire.QUEUED],
    )


@cache  # each worker asks every second, and building it takes longer than PostgreSQL does
def _reclaim_statement(max_losses: int, *, bounded: bool) -> sa.Executable:
    """`bounded`: only from `since` until `until`."""
    over = (
        sa.select(_t.id)
        .where(_t.state == wire.RUNNING, _t.lease_until < _now)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    lost = _t.losses + 1 >= max_losses
    ends = sa.or_(_t.cancel_requested, _once, lost)
    failed, at_once, cancelled = (
        sa.literal(outcome.as_json(), _t.outcome.type)
        for outcome in (lost_outcome(max_losses), once_outcome(), wire.Outcome(wire.CANCELLED))
    )
    change = sa.update(tasks).where(
        _t.id.in_(over), _t.state == wire.RUNNING, _t.lease_until < _now
    )
    if bounded:
        since, until = (
            sa.bindparam(name, type_=sa.DateTime(timezone=True)) for name in ("since", "until")
        )
        change = change.where(_now.between(since, until))
    change = change.values(
        losses=_t.losses + 1,
        state=sa.case(
            (_t.cancel_requested, wire.CANCELLED), (ends, wire.FAILED), else_=wire.QUEUED
        ),
        outcome=sa.case(
            (_t.cancel_requested, cancelled), (_once, at_once), (lost, failed), else_=None
        ),
        earlier=sa.case((ends, _t.earlier), else_=_with_this(LOST)),
        completed_at=sa.case((ends, _now), else_=None),
        worker=sa.case((ends, _t.worker), else_=None),
        lease_until=None,
    )
    return change.returning(*QUEUED_COLUMNS, _t.state, _t.attempt, _t.awaited, _once.label("once"))


def _with_this(why: str, said: str = "") -> sa.ColumnElement[object]:
    """`earlier`, extended by the attempt that ends now, whose description `start` overwrites."""
    about = {
        "attempt": _t.attempt,
        "worker": _t.worker,
        "started_at": _t.started_at,
        "ended_at": sa.func.clock_timestamp(),
    }
    said = said.replace("\0", "")[:_SAID_CHARS]
    texts = {name: sa.literal(text, sa.Text) for name, text in (("why", why), ("said", said))}
    pairs = [
        part
        for name, value in (about | texts).items()
        for part in (sa.literal(name, sa.Text), value)
    ]
    return _t.earlier.op("||")(sa.func.jsonb_build_array(sa.func.jsonb_build_object(*pairs)))


def lost_outcome(max_losses: int) -> wire.Outcome:
    """The outcome of a task whose workers vanish again and again."""
    times = f"{max_losses} times" if max_losses > 1 else "once"
    advice = (
        "If the code can bring down a machine (memory, native code), change it; else submit "
        "it again."
    )
    message = f"the worker that ran this task vanished, {times}. {advice}"
    return wire.Outcome(wire.FAILED, error=wire.ErrorInfo(LOST, "WorkerLost", message))


def once_outcome() -> wire.Outcome:
    """The outcome of a task that lost its worker after it had used the network."""
    message = (
        "the worker that ran this task vanished or was stopped, and the task had used "
        "the network: it was not run again, because what it did outside might be "
        "done twice. See what it has done there, then run it again; or allow that "
        "beforehand, with `--retries 1`."
    )
    return wire.Outcome(wire.FAILED, error=wire.ErrorInfo(LOST, "WorkerLost", message))


def run_out(seconds: sa.ColumnElement[float]) -> sa.ColumnElement[datetime]:
    """When a lease of this many seconds ends."""
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
