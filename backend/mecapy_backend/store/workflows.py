"""Workflows: named graphs of tasks, made at once or task by task; looked at, cancelled, retried and
deleted as a whole. The states of their tasks are those of `tasks`.

    failed, cancelled ──retry──▸ queued | blocked      what was completed is kept
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, column, first, transaction
from mecapy_backend.store.tables import task_inputs, tasks, workflows
from mecapy_backend.store.tasks import cancelling, graph, tally
from mecapy_backend.store.tasks.lookup import QueuedTask
from mecapy_jupyter import wire
from mecapy_jupyter.wire import WorkflowStatus, WorkflowTask

_w, _t, _e = workflows.c, tasks.c, task_inputs.c
_MANY = 500  # rows a statement; a statement may take two seconds
_LISTED = 100


async def page(db: AsyncEngine, owner: str) -> list[WorkflowStatus]:
    """The newest first, at most a hundred, without their tasks."""
    return [
        WorkflowStatus(row.id, row.name, row.created_at, row.counts or {})
        for row in await all_rows(db, _PAGE, {"by": owner, "limit": _LISTED})
    ]


async def get(db: AsyncEngine, owner: str, workflow_id: str) -> WorkflowStatus | None:
    """The workflow and its tasks."""
    head = await first(
        db, sa.select(_w.name, _w.created_at).where(_w.id == workflow_id, _w.owner == owner)
    )
    if head is None:
        return None
    rows = await all_rows(db, _TASKS, {"workflow": workflow_id, "by": owner})
    counts = dict[str, int]()
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    found = tuple(
        WorkflowTask(row.id, row.name, row.state, tuple(map(str, row.parents))) for row in rows
    )
    return WorkflowStatus(workflow_id, head.name, head.created_at, counts, found)


async def cancel(db: AsyncEngine, owner: str, workflow_id: str) -> list[cancelling.Stopped]:
    """All its tasks that have not ended."""
    return await cancelling.stop(db, owner, _t.workflow == workflow_id)


async def failed(db: AsyncEngine, owner: str, workflow_id: str) -> list[str]:
    """What `retry` will run again."""
    query = sa.select(_t.id).where(
        _t.workflow == workflow_id, _t.owner == owner, _t.state.in_(graph.ENDED_BADLY)
    )
    return await column(db, query)


async def retry(
    db: AsyncEngine, owner: str, workflow_id: str
) -> tuple[list[QueuedTask], list[str]]:
    """What failed or was cancelled runs again, with the next attempt. Returns what is queued now,
    and final parents that are to be settled: tasks outside may have failed.
    """
    which = {"workflow": workflow_id, "by": owner}
    async with transaction(db) as connection:
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
    if children := await column(db, _NEEDED_ELSEWHERE, which):
        raise graph.Needed(children)
    while rows := await all_rows(db, _DELETE_TASKS, which | {"limit": _MANY}):
        ids += [row.id for row in rows]
        digests |= {digest for row in rows for digest in row.digests}
    gone = sa.delete(workflows).where(_w.id == workflow_id, _w.owner == owner)
    return (ids, digests) if await changed(db, gone) else None


async def forget_old(db: AsyncEngine, keep_s: float) -> None:
    """Those that are as old as tasks become, and of which no task is left."""
    kept = sa.exists().where(_t.workflow == _w.id)
    old = _w.created_at < sa.func.clock_timestamp() - timedelta(seconds=keep_s)
    await changed(db, sa.delete(workflows).where(old, ~kept))


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
    f"""WITH gone AS (
         DELETE FROM tasks WHERE id IN (
           SELECT id FROM tasks WHERE workflow = :workflow AND owner = :by
           ORDER BY created_at DESC, id LIMIT :limit)
         RETURNING id, digests, {tally.GONE}
       ), {tally.TALLIED}
       SELECT id::text, digests FROM gone"""
).bindparams(_uuid)
