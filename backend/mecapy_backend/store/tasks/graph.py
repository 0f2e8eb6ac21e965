"""Tasks that need results of others: blocked until those are final.

    blocked ──release──▸ queued       once every parent is completed
    blocked ──fail──▸ failed          once a parent is final otherwise; whatever depends on it, too

Whoever ends a task that is `awaited` calls `settle`. It may run twice, and late: the reconciler
settles what a crash in between left (`unsettled`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.store.database import Row, all_rows, changed, column
from mecapy_backend.store.tables import task_inputs, tasks
from mecapy_backend.store.tasks.lookup import QueuedTask
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, State

_t, _e = tasks.c, task_inputs.c
_MANY = 1000
ENDED_BADLY = frozenset({wire.FAILED, wire.CANCELLED})


class OtherPythons(Exception):
    """The results it needs are pickles of several versions of Python, or not of the task's own."""

    def __init__(self, pythons: Collection[str]) -> None:
        super().__init__(sorted(pythons))
        self.pythons = sorted(pythons)


class Needed(Exception):
    """Tasks that are not final need the result of this one."""

    def __init__(self, children: list[str]) -> None:
        super().__init__(children)
        self.children = children


@dataclass(frozen=True, slots=True)
class Parent:
    state: State
    python: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What followed from the end of some tasks. `failed`: each with its outcome."""

    released: list[QueuedTask] = field(default_factory=list[QueuedTask])
    failed: list[tuple[str, wire.Outcome]] = field(default_factory=list[tuple[str, wire.Outcome]])


@dataclass(frozen=True, slots=True)
class ParentResult:
    """What a worker opens for a child: how the parent ended, and what it was sent."""

    id: str
    name: str
    state: State
    outcome: wire.Outcome
    sent: wire.Payload | None


async def lock(
    connection: AsyncConnection, owner: str, task_ids: Collection[str]
) -> dict[str, Parent]:
    """The owner's tasks of these ids (state, python), as they are until the transaction ends: none
    of them can end meanwhile without hearing of a child that this transaction adds.
    """
    chosen = sa.select(_t.id, _t.state, _t.python).where(
        _t.owner == owner, _t.id.in_(list(task_ids))
    )
    locked = chosen.order_by(_t.id).with_for_update(key_share=True)
    return {id: Parent(*of) for id, *of in await connection.execute(locked)}


def common_python(python: str, parents: Iterable[Parent]) -> str:
    """The Python of a task and of the results that it opens; "": any. Raises OtherPythons."""
    pythons = {parent.python for parent in parents} | {python}
    pythons.discard("")
    if len(pythons) > 1:
        raise OtherPythons(pythons)
    return pythons.pop() if pythons else ""


async def add_edges(connection: AsyncConnection, child: str, parents: Mapping[str, Parent]) -> None:
    """Add the edges to a new task, in the transaction that locks its parents."""
    await connection.execute(
        sa.insert(task_inputs), [{"child": child, "parent": parent} for parent in sorted(parents)]
    )
    waits = sorted(parent for parent, row in parents.items() if row.state != wire.COMPLETED)
    if waits:
        await connection.execute(
            sa.update(tasks).where(_t.id.in_(waits), ~_t.awaited).values(awaited=True)
        )


async def settle(db: AsyncEngine, ended: Collection[str], *, completed: bool = False) -> Settled:
    """Release or fail what was blocked by these tasks; those that are not final are left alone.
    `completed`: all of them are known to be.
    """
    settled = Settled()
    ids = sorted(ended)
    for at in range(0, len(ids), _MANY):
        batch = ids[at : at + _MANY]
        which = {"parents": batch}
        for parent in () if completed else await all_rows(db, _ENDED_BADLY, which):
            outcome = _because_of(parent)
            new = {"parent": parent.id, "new_outcome": outcome.as_json()}
            settled.failed.extend((failed, outcome) for failed in await column(db, _FAIL, new))
        settled.released.extend(QueuedTask(*row) for row in await all_rows(db, _RELEASE, which))
    return settled


async def unsettled(db: AsyncEngine) -> list[str]:
    """Final tasks whose end was not settled, because the process that ended them died."""
    return await column(db, _UNSETTLED)


async def release_orphans(db: AsyncEngine) -> None:
    """Blocked tasks whose last parent was deleted at the moment they were added become queued: what
    they lack is found when they start.
    """
    await changed(db, _RELEASE_ORPHANS)


async def results(
    db: AsyncEngine, owner: str, task_ids: Collection[str]
) -> dict[str, ParentResult]:
    """The results of this owner's tasks only."""
    chosen = sa.select(
        _t.id, _t.name, _t.state, _t.outcome, _t.request["payload"].label("sent")
    ).where(_t.owner == owner, _t.id.in_(sorted(task_ids)))
    rows = await all_rows(db, chosen)
    return {
        row.id: ParentResult(
            row.id,
            row.name,
            row.state,
            wire.Outcome.from_json(row.outcome or {}),
            wire.Payload.from_json(row.sent) if row.sent else None,
        )
        for row in rows
    }


def label(name: str, task_id: str) -> str:
    """A task in a sentence."""
    return f"{name!r} ({task_id[:8]})" if name else f"{task_id[:8]}"


def _because_of(parent: Row) -> wire.Outcome:
    """The outcome of whatever depends on a task that ended like this. It names the first one in the
    chain.
    """
    error: JsonObject = parent.error or {}
    if error.get("kind") == "parent":
        return wire.Outcome(wire.FAILED, error=wire.ErrorInfo.from_json(error))
    named = f"the task {label(parent.name, parent.id)}, whose result this one needs,"
    if parent.state == wire.CANCELLED:
        kind, what = "TaskCancelled", "was cancelled"
        advice = "submit both again"
    else:
        kind = str(error.get("type") or "TaskFailed")
        message = " ".join(str(error.get("message") or "no reason given").split())
        what, advice = f"failed: {kind}: {message}", "correct it, then submit both again"
    info = wire.ErrorInfo("parent", kind, f"{named} {what.rstrip('.')}; {advice}")
    return wire.Outcome(wire.FAILED, error=info)


_ids = sa.bindparam("parents", type_=ARRAY(sa.Uuid(as_uuid=False)))
_FINAL_BADLY = "('failed', 'cancelled')"
_ENDED_BADLY = (
    sa.text(
        f"""SELECT id::text, name, state, outcome->'error' AS error FROM tasks
            WHERE id = ANY(:parents) AND state IN {_FINAL_BADLY}"""
    )
    .bindparams(_ids)
    .columns(sa.column("id"), _t.name, _t.state, sa.column("error", _t.outcome.type))
)
_FAIL = sa.text(
    """WITH RECURSIVE below AS (
         SELECT child FROM task_inputs WHERE parent = :parent
         UNION
         SELECT edge.child FROM task_inputs AS edge JOIN below ON edge.parent = below.child
       )
       UPDATE tasks SET state = 'failed', outcome = :new_outcome, completed_at = now()
       WHERE id IN (SELECT child FROM below) AND state = 'blocked'
       RETURNING id::text"""
).bindparams(
    sa.bindparam("parent", type_=sa.Uuid(as_uuid=False)),
    sa.bindparam("new_outcome", type_=_t.outcome.type),
)
WAITS = """EXISTS (
         SELECT FROM task_inputs AS edge JOIN tasks AS parent ON parent.id = edge.parent
         WHERE edge.child = tasks.id AND parent.state <> 'completed')"""
AS_QUEUED = "id::text, owner, short, python, machine_class, priority, created_at"
_RELEASE = sa.text(
    f"""UPDATE tasks SET state = 'queued'
        WHERE id IN (SELECT child FROM task_inputs WHERE parent = ANY(:parents))
          AND state = 'blocked' AND NOT {WAITS}
        RETURNING {AS_QUEUED}"""
).bindparams(_ids)
_RELEASE_ORPHANS = sa.text(
    """UPDATE tasks SET state = 'queued'
       WHERE state = 'blocked'
         AND NOT EXISTS (SELECT FROM task_inputs AS edge WHERE edge.child = tasks.id)"""
)
_UNSETTLED = sa.text(
    f"""SELECT DISTINCT ended.id::text
        FROM tasks JOIN task_inputs AS input ON input.child = tasks.id
        JOIN tasks AS ended ON ended.id = input.parent
        WHERE tasks.state = 'blocked'
          AND (ended.state IN {_FINAL_BADLY}
               OR (ended.state = 'completed' AND NOT {WAITS}))
        LIMIT {_MANY}"""
)
