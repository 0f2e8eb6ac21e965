"""Workflows: named graphs of tasks, made at once or task by task; looked at, cancelled, retried and
deleted as a whole. The states of their tasks are those of `tasks`.

    failed, cancelled ──retry──▸ queued | blocked      what was completed is kept
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.store.database import first
from mecapy_backend.store.tables import blobs, task_inputs, tasks, workflows
from mecapy_backend.store.tasks import graph, submission
from mecapy_backend.store.tasks.graph import Stopped
from mecapy_backend.store.tasks.lookup import QUEUED_COLUMNS, QueuedTask
from mecapy_backend.store.tasks.submission import NO_PLACE, TaskPlace
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, TaskRequest, WorkflowStatus, WorkflowTask

_w, _t, _e = workflows.c, tasks.c, task_inputs.c
_T = TypeVar("_T")
_MANY = 500  # rows a statement; a statement may take two seconds
_LISTED = 100


@dataclass(frozen=True, slots=True)
class Node:
    """A task of a new workflow. `needs`: variable → (the node's name, the variable there)."""

    body: JsonObject
    needs: Mapping[str, tuple[str, str]]
    short: bool = False
    place: TaskPlace = NO_PLACE


@dataclass(frozen=True, slots=True)
class _NewTask:
    """`row`: of `tasks`, as far as nothing else decides it."""

    id: str
    row: dict[str, object]
    request: TaskRequest
    parents: frozenset[str]


@dataclass(frozen=True, slots=True)
class MadeWorkflow:
    """`queued`: its tasks that wait for nobody; `ended`: parents that failed before."""

    workflow_id: str
    created: bool
    queued: Sequence[QueuedTask] = ()
    ended: Sequence[str] = ()


def order(nodes: Mapping[str, Node]) -> list[str]:
    """Parents before their children. Raises graphlib.CycleError."""
    parents = {key: {name for name, _ in node.needs.values()} for key, node in nodes.items()}
    return list(TopologicalSorter(parents).static_order())


async def create(
    db: AsyncEngine,
    owner: str,
    name: str,
    nodes: Mapping[str, Node],
    *,
    idempotency_key: str | None = None,
    max_queued: int | None = None,
) -> MadeWorkflow:
    """All of it or nothing. Raises graphlib.CycleError, and what `tasks.submit` raises."""
    keys = order(nodes)
    async with db.execution_options(isolation_level="READ COMMITTED").begin() as connection:
        made = await _add_workflow(connection, owner, name, idempotency_key)
        if not made.created or not nodes:
            return made
        ids = {key: str(uuid.uuid4()) for key in keys}
        new = [_new_task(owner, made.workflow_id, ids, key, nodes[key]) for key in keys]
        await _check_room(connection, owner, len(new), max_queued)
        await _name_blobs(connection, owner, new)
        ended = await _add_tasks(connection, owner, new)
        query = sa.select(*QUEUED_COLUMNS).where(
            _t.workflow == made.workflow_id, _t.state == wire.QUEUED
        )
        queued = [QueuedTask(*row) for row in await connection.execute(query)]
    return MadeWorkflow(made.workflow_id, True, queued, ended)


async def _add_workflow(
    connection: AsyncConnection, owner: str, name: str, key: str | None
) -> MadeWorkflow:
    new = {"id": str(uuid.uuid4()), "owner": owner, "name": name, "idempotency_key": key}
    adding = insert(workflows).values(new).on_conflict_do_nothing().returning(_w.id)
    if (added := (await connection.execute(adding)).scalar()) is not None:
        return MadeWorkflow(added, True)
    known = sa.select(_w.id).where(_w.owner == owner, _w.idempotency_key == key)
    return MadeWorkflow((await connection.execute(known)).scalar_one(), False)


def _new_task(
    owner: str, workflow_id: str, ids: Mapping[str, str], key: str, node: Node
) -> _NewTask:
    inside = {
        variable: str(wire.Need(ids[parent], there))
        for variable, (parent, there) in node.needs.items()
    }
    outside = node.body.get("needs") or {}
    assert isinstance(outside, dict)
    needs: JsonObject = {**outside, **inside}
    name = node.body.get("name") or key
    body: JsonObject = {**node.body, "name": name, "workflow": workflow_id, "needs": needs}
    request = TaskRequest.from_json(body)
    row = submission.new_row(owner, body, request)
    row |= asdict(node.place)
    row |= {"id": ids[key], "short": node.short, "workflow": workflow_id, "awaited": False}
    parents = frozenset(wire.Need.parse(need).task_id for need in request.needs.values())
    return _NewTask(ids[key], row, request, parents)


async def _check_room(
    connection: AsyncConnection, owner: str, count: int, max_queued: int | None
) -> None:
    if max_queued is None:
        return
    waiting = _t.state.in_([wire.QUEUED, wire.BLOCKED])
    query = sa.select(sa.func.count()).select_from(tasks).where(_t.owner == owner, waiting)
    if (await connection.execute(query)).scalar_one() + count > max_queued:
        raise submission.TooManyQueued(max_queued)


async def _name_blobs(connection: AsyncConnection, owner: str, new: Iterable[_NewTask]) -> None:
    payloads = (task.request.payload or wire.Payload() for task in new)
    digests = {digest for payload in payloads for digest in payload.digests}
    named = sa.update(blobs).where(
        blobs.c.owner == owner,
        blobs.c.digest == sa.any_(sa.literal(sorted(digests), ARRAY(sa.Text))),
    )
    named = named.values(used_at=sa.func.clock_timestamp()).returning(blobs.c.digest)
    if digests and (missing := digests - set((await connection.execute(named)).scalars())):
        raise submission.BlobsNotStored(sorted(missing))


async def _add_tasks(connection: AsyncConnection, owner: str, new: Sequence[_NewTask]) -> list[str]:
    """Parents come before their children. Returns the parents elsewhere that have failed."""
    here = {task.id: task.row for task in new}
    needed = {parent for task in new for parent in task.parents} - here.keys()
    elsewhere = await graph.lock(connection, owner, needed)
    if missing := needed - elsewhere.keys():
        raise submission.NoSuchParents(missing)
    for task in new:
        for parent in task.parents:
            _depend(task.row, here.get(parent), elsewhere.get(parent))
    for part in _parts(new):
        await connection.execute(sa.insert(tasks), [task.row for task in part])
    edges = [{"child": task.id, "parent": parent} for task in new for parent in task.parents]
    for part in _parts(edges):
        await connection.execute(sa.insert(task_inputs), part)
    waits = sorted(id for id, parent in elsewhere.items() if parent.state != wire.COMPLETED)
    if waits:
        await connection.execute(sa.update(tasks).where(_t.id.in_(waits)).values(awaited=True))
    return [id for id, parent in elsewhere.items() if parent.state in graph.ENDED_BADLY]


def _depend(
    row: dict[str, object], inside: dict[str, object] | None, outside: graph.Parent | None
) -> None:
    """On a row of the same workflow, or on a task elsewhere."""
    if inside is not None:
        inside["awaited"] = True
        outside = graph.Parent(wire.QUEUED, str(inside["python"]))
    assert outside is not None
    row["python"] = graph.common_python(str(row["python"]), [outside])
    if outside.state != wire.COMPLETED:
        row["state"] = wire.BLOCKED


def _parts(rows: Sequence[_T]) -> Iterable[list[_T]]:
    return (list(rows[at : at + _MANY]) for at in range(0, len(rows), _MANY))


async def page(db: AsyncEngine, owner: str) -> list[WorkflowStatus]:
    """The newest first, at most a hundred, without their tasks."""
    async with db.connect() as connection:
        rows = await connection.execute(_PAGE, {"by": owner, "limit": _LISTED})
        return [WorkflowStatus(row.id, row.name, row.created_at, row.counts or {}) for row in rows]


async def get(db: AsyncEngine, owner: str, workflow_id: str) -> WorkflowStatus | None:
    """With its tasks."""
    head = await first(
        db, sa.select(_w.name, _w.created_at).where(_w.id == workflow_id, _w.owner == owner)
    )
    if head is None:
        return None
    async with db.connect() as connection:
        rows = (await connection.execute(_TASKS, {"workflow": workflow_id, "by": owner})).all()
    counts = dict[str, int]()
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    found = tuple(
        WorkflowTask(row.id, row.name, row.state, tuple(map(str, row.parents))) for row in rows
    )
    return WorkflowStatus(workflow_id, head.name, head.created_at, counts, found)


async def cancel(db: AsyncEngine, owner: str, workflow_id: str) -> list[Stopped]:
    """All its tasks that have not ended; see `tasks.cancel`."""
    async with db.connect() as connection:
        rows = await connection.execute(_CANCEL, {"workflow": workflow_id, "by": owner})
        return [Stopped(*row) for row in rows]


async def failed(db: AsyncEngine, owner: str, workflow_id: str) -> list[str]:
    """What `retry` will run again."""
    query = sa.select(_t.id).where(
        _t.workflow == workflow_id, _t.owner == owner, _t.state.in_(graph.ENDED_BADLY)
    )
    async with db.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def retry(
    db: AsyncEngine, owner: str, workflow_id: str
) -> tuple[list[QueuedTask], list[str]]:
    """What failed or was cancelled runs again, with the next attempt. Returns what is queued now,
    and final parents that are to be settled: tasks outside may have failed.
    """
    which = {"workflow": workflow_id, "by": owner}
    async with db.execution_options(isolation_level="READ COMMITTED").begin() as connection:
        rows = (await connection.execute(_RETRY, which)).all()
        parents = (await connection.execute(_AWAIT, which)).all()
    queued = [QueuedTask(*row[:-1]) for row in rows if row.state == wire.QUEUED]
    return queued, [row.id for row in parents if row.state in wire.FINAL]


async def delete(
    db: AsyncEngine, owner: str, workflow_id: str
) -> tuple[list[str], set[str]] | None:
    """It with all its tasks, which stay counted: their ids, and the digests that they named. None:
    no such workflow. Raises Needed while tasks elsewhere need its results.
    """
    ids, digests = list[str](), set[str]()
    which = {"workflow": workflow_id, "by": owner}
    async with db.connect() as connection:
        if children := list((await connection.execute(_NEEDED_ELSEWHERE, which)).scalars()):
            raise graph.Needed(children)
        while rows := (await connection.execute(_DELETE_TASKS, which | {"limit": _MANY})).all():
            ids += [row.id for row in rows]
            digests |= {digest for row in rows for digest in row.digests}
        gone = sa.delete(workflows).where(_w.id == workflow_id, _w.owner == owner)
        if (await connection.execute(gone.returning(_w.id))).first() is None:
            return None
    return ids, digests


async def forget_old(db: AsyncEngine, keep_s: float) -> None:
    """Those that are as old as tasks become, and of which no task is left."""
    kept = sa.exists().where(_t.workflow == _w.id)
    age = sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.literal(keep_s, sa.Float))
    async with db.connect() as connection:
        await connection.execute(
            sa.delete(workflows).where(_w.created_at < sa.func.clock_timestamp() - age, ~kept)
        )


_uuid = sa.bindparam("workflow", type_=sa.Uuid(as_uuid=False))
_PAGE = sa.text(
    """SELECT id::text, name, created_at, (
         SELECT json_object_agg(state, count) FROM (
           SELECT state, count(*) AS count FROM tasks WHERE workflow = workflows.id GROUP BY state
         ) AS of_state) AS counts
       FROM workflows WHERE owner = :by ORDER BY created_at DESC, id LIMIT :limit"""
)
_TASKS = sa.text(
    """SELECT id::text, name, state,
              ARRAY(SELECT parent FROM task_inputs WHERE child = tasks.id) AS parents
       FROM tasks WHERE workflow = :workflow AND owner = :by ORDER BY created_at, id"""
).bindparams(_uuid)
_CANCEL = sa.text(
    f"""UPDATE tasks SET {graph.STOP}
        WHERE workflow = :workflow AND owner = :by AND state IN ('blocked', 'queued', 'running')
        RETURNING id::text, state, awaited"""
).bindparams(_uuid, graph.cancelled_outcome)
_RETRY = sa.text(
    f"""UPDATE tasks SET
          state = CASE WHEN {graph.WAITS} THEN 'blocked' ELSE 'queued' END,
          earlier = CASE WHEN attempt > jsonb_array_length(earlier)
            THEN earlier || jsonb_build_array(jsonb_build_object(
              'attempt', attempt, 'worker', worker, 'started_at', started_at,
              'ended_at', completed_at, 'why', 'retried', 'said', ''))
            ELSE earlier END,
          outcome = NULL, completed_at = NULL, started_at = NULL, worker = NULL,
          lease_until = NULL, cancel_requested = false, losses = 0, log = NULL, log_blob = ''
        WHERE workflow = :workflow AND owner = :by AND state IN ('failed', 'cancelled')
        RETURNING {graph.AS_QUEUED}, state"""
).bindparams(_uuid)
_AWAIT = sa.text(
    """UPDATE tasks SET awaited = true
       WHERE id IN (
         SELECT input.parent FROM task_inputs AS input JOIN tasks AS child ON child.id = input.child
         WHERE child.workflow = :workflow AND child.owner = :by AND child.state = 'blocked')
       RETURNING id::text, state"""
).bindparams(_uuid)
_NEEDED_ELSEWHERE = sa.text(
    """SELECT DISTINCT child.id::text
       FROM tasks JOIN task_inputs AS input ON input.parent = tasks.id
       JOIN tasks AS child ON child.id = input.child
       WHERE tasks.workflow = :workflow AND tasks.owner = :by AND child.completed_at IS NULL
         AND child.workflow IS DISTINCT FROM tasks.workflow"""
).bindparams(_uuid)
_DELETE_TASKS = sa.text(
    """WITH gone AS (
         DELETE FROM tasks WHERE id IN (
           SELECT id FROM tasks WHERE workflow = :workflow AND owner = :by
           ORDER BY created_at DESC, id LIMIT :limit)
         RETURNING id, owner, digests,
           CASE WHEN completed_at IS NULL THEN 'cancelled' ELSE state END AS state,
           date_trunc('month', coalesce(completed_at, now()) AT TIME ZONE 'UTC')::date AS month
       ), counted AS (
         INSERT INTO counts (owner, month, state, tasks)
         SELECT owner, month, state, count(*) FROM gone
         GROUP BY owner, month, state ORDER BY owner, month, state
         ON CONFLICT (owner, month, state) DO UPDATE SET tasks = counts.tasks + excluded.tasks
       )
       SELECT id::text, digests FROM gone"""
).bindparams(_uuid)
