"""The state machine: every change of a task's state is one conditional statement here, and no row
back is an answer.

    queued ──start──▸ running ──finish──▸ completed | failed | cancelled
       ▴──── requeue / expired ───┘
    queued, blocked ──cancel──▸ cancelled ◂── start, where the owner is disabled

Its first step is in `submission`, `cancel` in `cancelling`, reading in `lookup`, what waits for
others in `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import first
from mecapy_backend.store.tables import blobs, tasks, users
from mecapy_backend.store.tasks import tally
from mecapy_backend.store.tasks.graph import Needed
from mecapy_backend.store.tasks.leases import run_out, without_waiting
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

_t = tasks.c
_now = sa.func.now()


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    task_id: str
    owner: str
    attempt: int
    request: wire.TaskRequest
    created_at: datetime
    started_at: datetime
    losses: int = 0
    earlier: tuple[str, ...] = ()  # why each attempt before this one ended
    short: bool = False
    barred: bool = False  # not started at all: its owner is disabled
    awaited: bool = False  # others may be blocked by it
    why_there: str = ""  # why its class of machines is not the pool
    checkpoint: str = ""  # a blob: what an earlier attempt kept
    extra_s: float = 0.0  # that it may run longer than it was submitted with


@dataclass(frozen=True, slots=True)
class Finished:
    awaited: bool  # others may be blocked by it: `graph.settle`


async def start(
    db: AsyncEngine, task_id: str, worker_id: str, lease_s: float
) -> StartedAttempt | None:
    """queued → running, with the next attempt's number.

    None: cancelled, deleted, or taken by another worker. A task of a disabled owner is cancelled
    and `barred`, because disabling the owner may have missed it.
    """
    row = await first(db, _START, {"task": task_id, "by": worker_id, "lease_s": lease_s})
    if row is None:
        return None
    return StartedAttempt(
        task_id,
        row.owner,
        row.attempt,
        wire.TaskRequest.from_json(row.request),
        row.created_at,
        row.started_at,
        row.losses,
        _reasons(row.earlier),
        row.short,
        row.barred,
        row.awaited,
        row.why_there,
        row.checkpoint or "",
        row.extra_s,
    )


async def finish(
    db: AsyncEngine,
    task_id: str,
    attempt: int,
    outcome: wire.Outcome,
    log: Sequence[wire.Event] = (),
    log_blob: str = "",
    cpu_s: float = 0.0,
    peak_bytes: int = 0,
    cache_key: str | None = None,
) -> Finished | None:
    """running → the outcome's final state. None: this attempt no longer counts (its lease expired,
    or the task was deleted). `cache_key`: under which the result is kept, unless the task has used
    the network.
    """
    digests = list(outcome.payload.digests if outcome.payload else ()) + (
        [log_blob] if log_blob else []
    )
    new = {
        "state": outcome.state,
        "outcome": outcome.as_json(),
        "log": [asdict(event) for event in log],
        "log_blob": log_blob,
        "cpu_s": cpu_s,
        "peak_bytes": peak_bytes or None,
        "cache_key": cache_key,
    }
    values = {"task": task_id, "number": attempt} | {
        f"new_{name}": value for name, value in new.items()
    }
    if digests:
        values |= {"new_digests": digests, "named": sorted(set(digests))}
    row = await first(db, _FINISH[bool(digests)], values)
    return None if row is None else Finished(row.awaited)


def _reasons(earlier: Sequence[JsonObject]) -> tuple[str, ...]:
    return tuple(str(attempt["why"]) for attempt in earlier)


async def forget(db: AsyncEngine, owner: str, task_id: str) -> list[str] | None:
    """Delete a task in any state; the digests it named. None: no such task. A worker that runs it
    loses its lease. It stays counted. Raises Needed while tasks that are not final need its result.
    """
    values = {"task": task_id, "by": owner}
    if row := await first(db, _FORGET, values):
        return sorted(set(row.digests))
    if row := await first(db, _NEEDED_BY, values):
        raise Needed(row.children)
    return None


# The two statements of every task are built once, because building them took longer than PostgreSQL
# does.


def _start_statement() -> sa.Executable:
    """Starts `task`, by worker `by`, for `lease_s`."""
    asked = (
        sa.select(users.c.id)
        .join(tasks, _t.owner == users.c.id)
        .where(_t.id == sa.bindparam("task"), users.c.disabled)
        .cte("asked")
    )
    barred = sa.exists(sa.select(asked.c.id))
    cancelled = sa.literal(wire.Outcome(wire.CANCELLED).as_json(), _t.outcome.type)
    change = sa.update(tasks).where(
        _t.id == sa.bindparam("task"), _t.state == wire.QUEUED, without_waiting
    )
    change = change.values(
        state=sa.case((barred, wire.CANCELLED), else_=wire.RUNNING),
        attempt=_t.attempt + sa.case((barred, 0), else_=1),
        worker=sa.bindparam("by"),
        started_at=_now,
        lease_until=run_out(sa.bindparam("lease_s", type_=sa.Float)),
        not_before=None,
        completed_at=sa.case((barred, _now)),
        outcome=sa.case((barred, cancelled)),
    )
    about = (
        _t.owner, _t.attempt, _t.request, _t.created_at, _t.started_at, _t.losses, _t.earlier,
        _t.short, _t.awaited, _t.why_there, _t.checkpoint, _t.extra_s,
    )  # fmt: skip
    return change.returning(*about, (_t.state == wire.CANCELLED).label("barred"))


def _finish_statement(*, with_blobs: bool) -> sa.Executable:
    """Finishes attempt `number` of `task`, with the digests it adds, and the same without doubles
    as `named`.
    """
    new = {
        name: sa.bindparam(f"new_{name}", type_=_t[name].type)
        for name in ("state", "outcome", "log", "log_blob", "cpu_s", "peak_bytes", "cache_key")
    }
    change = sa.update(tasks).where(
        _t.id == sa.bindparam("task"),
        _t.state == wire.RUNNING,
        _t.attempt == sa.bindparam("number"),
    )
    change = change.values(
        **new,
        completed_at=_now,
        lease_until=None,
        is_cached=sa.and_(new["cache_key"].is_not(None), ~_t.went_out),
    )
    if not with_blobs:
        return change.returning(_t.awaited)
    added, named = (sa.bindparam(name, type_=ARRAY(sa.Text)) for name in ("new_digests", "named"))
    done = (
        change.values(digests=sa.func.array_cat(_t.digests, added))
        .returning(_t.owner, _t.awaited)
        .cte("done")
    )
    rows = insert(blobs).from_select(
        ["owner", "digest"], sa.select(done.c.owner, sa.func.unnest(named))
    )
    rows = rows.on_conflict_do_update(
        index_elements=["owner", "digest"], set_={"used_at": sa.func.clock_timestamp()}
    )
    return sa.select(done.c.awaited).add_cte(rows.cte("stored"))


# What had not ended counts as cancelled.
_FORGET = sa.text(
    f"""WITH gone AS (
         DELETE FROM tasks WHERE id = :task AND owner = :by
           AND NOT EXISTS (
             SELECT FROM task_inputs AS input JOIN tasks AS child ON child.id = input.child
             WHERE input.parent = tasks.id AND child.completed_at IS NULL)
         RETURNING digests, {tally.GONE}
       ), {tally.TALLIED}
       SELECT digests FROM gone"""
).bindparams(sa.bindparam("task", type_=sa.Uuid(as_uuid=False)))
_NEEDED_BY = sa.text(
    """SELECT array_agg(child.id::text) AS children
       FROM tasks JOIN task_inputs AS input ON input.parent = tasks.id
       JOIN tasks AS child ON child.id = input.child
       WHERE tasks.id = :task AND tasks.owner = :by AND child.completed_at IS NULL
       HAVING count(*) > 0"""
).bindparams(sa.bindparam("task", type_=sa.Uuid(as_uuid=False)))
_START = _start_statement()
_FINISH = {with_blobs: _finish_statement(with_blobs=with_blobs) for with_blobs in (False, True)}
