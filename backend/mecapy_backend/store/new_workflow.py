"""A new workflow: a named graph of tasks, added at once. `workflows` does all that comes later."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeVar

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.store import json_text
from mecapy_backend.store.blobs.blob_rows import of_owner
from mecapy_backend.store.database import transaction
from mecapy_backend.store.tables import blobs, task_inputs, tasks, workflows
from mecapy_backend.store.tasks import graph, submission
from mecapy_backend.store.tasks.lookup import QUEUED_COLUMNS, QueuedTask
from mecapy_backend.store.tasks.submission import NO_PLACE, TaskPlace
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, TaskRequest

_w, _t, _e = workflows.c, tasks.c, task_inputs.c
_T = TypeVar("_T")
_MANY = 500  # rows a statement; a statement may take two seconds


@dataclass(frozen=True, slots=True)
class Node:
    """A task of a new workflow. `needs`: variable → (the node's name, the variable there)."""

    body: JsonObject
    needs: Mapping[str, tuple[str, str]]
    short: bool = False
    place: TaskPlace = NO_PLACE


@dataclass(frozen=True, slots=True)
class _NewTask:
    """The columns of its row in `tasks`."""

    id: str
    row: dict[str, object]
    request: TaskRequest
    parents: frozenset[str]


@dataclass(frozen=True, slots=True)
class MadeWorkflow:
    """`queued`: its tasks without open parents; `ended`: parents that failed before."""

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
    """Adds all of it or nothing. Raises graphlib.CycleError, and what `tasks.submit` raises."""
    keys, digest = order(nodes), _digest(name, nodes)
    async with transaction(db) as connection:
        made = await _add_workflow(connection, owner, name, idempotency_key, digest)
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
    connection: AsyncConnection, owner: str, name: str, key: str | None, digest: bytes
) -> MadeWorkflow:
    new = {"id": str(uuid.uuid4()), "owner": owner, "name": name, "request_digest": digest}
    adding = (
        insert(workflows)
        .values(new | {"idempotency_key": key})
        .on_conflict_do_nothing()
        .returning(_w.id)
    )
    if (added := (await connection.execute(adding)).scalar()) is not None:
        return MadeWorkflow(added, True)
    known = sa.select(_w.id, _w.request_digest)
    known = known.where(_w.owner == owner, _w.idempotency_key == key)
    earlier = (await connection.execute(known)).one()
    if earlier.request_digest not in (None, digest):
        raise submission.Conflict
    return MadeWorkflow(earlier.id, False)


def _digest(name: str, nodes: Mapping[str, Node]) -> bytes:
    tasks_of = {key: [node.body, dict(node.needs)] for key, node in nodes.items()}
    text = json_text.encode([name, sorted(tasks_of.items())])
    return blake3(text.encode("ascii")).digest()


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
    row |= node.place.columns()
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
    named = sa.update(blobs).where(of_owner(owner, digests))
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
    """An edge to a row of the same workflow, or to a task elsewhere."""
    if inside is not None:
        inside["awaited"] = True
        outside = graph.Parent(wire.QUEUED, str(inside["python"]))
    assert outside is not None
    row["python"] = graph.common_python(str(row["python"]), [outside])
    if outside.state != wire.COMPLETED:
        row["state"] = wire.BLOCKED


def _parts(rows: Sequence[_T]) -> Iterable[list[_T]]:
    return (list(rows[at : at + _MANY]) for at in range(0, len(rows), _MANY))
