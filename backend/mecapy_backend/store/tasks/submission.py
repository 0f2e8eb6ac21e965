"""A task's first step: from a checked request to a queued row, in one statement; or to a blocked
one with its edges, in one transaction. `tasks` passes these names on.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.store import json_text
from mecapy_backend.store.database import Row, first, transaction
from mecapy_backend.store.tables import workflows
from mecapy_backend.store.tasks import graph, submission_sql
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, State, TaskRequest


class Conflict(Exception):
    """The idempotency key was used for another body."""


class TooManyQueued(Exception):
    """The owner has as many queued tasks as one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class BlobsNotStored(Exception):
    """The request names blobs that are not (or no longer) stored."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(digests)
        self.digests = digests


class NoSuchParents(Exception):
    """The request needs results of tasks that the owner does not have."""

    def __init__(self, task_ids: Collection[str]) -> None:
        super().__init__(sorted(task_ids))
        self.task_ids = sorted(task_ids)


class NoSuchWorkflow(Exception):
    """The owner has no such workflow."""


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Where a task goes, why, and what its history predicts, in words as `expected`."""

    machine_class: str = wire.POOL
    why_there: str = ""
    code_key: bytes | None = None
    estimate_s: float | None = None
    input_bytes: int | None = None
    expected: str = ""

    def columns(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if name != "expected"}


@dataclass(frozen=True, slots=True)
class Submitted:
    """`ended`: parents that have failed already; the caller settles them."""

    task_id: str
    created: bool  # False: the same request came before, with the same idempotency key
    state: State = wire.QUEUED
    ended: tuple[str, ...] = ()
    place: TaskPlace = TaskPlace()
    python: str = ""  # of the worker that it waits for
    cached: wire.CachedRun | None = None  # nothing was submitted: this one ran earlier
    same_runs: bool = False  # nor here: another submission of the same has not ended


NO_PLACE = TaskPlace()
_Execute = Callable[[sa.Executable, Mapping[str, object]], Awaitable["Row | None"]]


_AT_ONCE = datetime.fromtimestamp(0, UTC)  # due once it has ended


async def submit(
    db: AsyncEngine,
    owner: str,
    body: JsonObject,
    *,
    idempotency_key: str | None = None,
    max_queued: int | None = None,
    short: bool = False,
    place: TaskPlace = NO_PLACE,
) -> Submitted:
    """Commit a new task, queued or blocked. `body` is `TaskRequest.as_json()`, checked by the
    caller. `max_queued` None: need not be counted.

    Raises Conflict, TooManyQueued, BlobsNotStored; ValueError for what JSON cannot hold (NaN). Of
    one with `needs` or `workflow` also NoSuchParents, OtherPythons, NoSuchWorkflow.
    """
    request = TaskRequest.from_json(body)
    row = new_row(owner, body, request) | {
        "idempotency_key": idempotency_key,
        "short": short,
        "cache_key": request.cache.key if request.cache else None,
    }
    done = await _committed(db, row | place.columns(), request, max_queued)
    return replace(done, place=place) if done.created else done


async def _committed(
    db: AsyncEngine, row: dict[str, object], request: TaskRequest, max_queued: int | None
) -> Submitted:
    if not (request.needs or request.workflow):
        return await _insert(partial(first, db), row, max_queued)
    async with transaction(db) as connection:
        return await _insert_in_graph(connection, row, request, max_queued)


def new_row(owner: str, body: JsonObject, request: TaskRequest) -> dict[str, object]:
    """The columns of a queued task that belongs to nothing. Raises ValueError."""
    text = json_text.encode(body)
    return {
        "id": str(uuid.uuid4()),
        "owner": owner,
        "name": request.name,
        "state": wire.QUEUED,
        "priority": request.priority,
        "request": text,
        "request_digest": blake3(text.encode("ascii")).digest(),
        "idempotency_key": None,
        "digests": sorted(set(request.payload.digests)) if request.payload else [],
        "short": False,
        "python": request.python,
        "workflow": None,
        "cache_key": None,
        "notify": list(request.notify),
        "notify_at": _AT_ONCE if request.notify else None,
        **NO_PLACE.columns(),
    }


async def _insert_in_graph(
    connection: AsyncConnection,
    row: dict[str, object],
    request: TaskRequest,
    max_queued: int | None,
) -> Submitted:
    """In a transaction, in which no parent can end unnoticed."""
    owner = str(row["owner"])
    needed = {wire.Need.parse(need).task_id for need in request.needs.values()}

    async def execute(statement: sa.Executable, values: Mapping[str, object]) -> Row | None:
        return (await connection.execute(statement, values)).first()

    parents = await graph.lock(connection, owner, needed)
    if missing := needed - parents.keys():
        if known := await _known(execute, row):
            return known
        raise NoSuchParents(missing)
    row |= {"python": graph.common_python(request.python, parents.values())}
    if request.workflow:
        await check_workflow(connection, owner, request.workflow)
        row |= {"workflow": request.workflow}
    if any(parent.state != wire.COMPLETED for parent in parents.values()):
        row |= {"state": wire.BLOCKED}
    submitted = await _insert(execute, row, max_queued)
    if submitted.created and parents:
        await graph.add_edges(connection, submitted.task_id, parents)
    ended = [id for id, parent in parents.items() if parent.state in graph.ENDED_BADLY]
    return replace(submitted, ended=tuple(ended))


async def check_workflow(connection: AsyncConnection, owner: str, workflow_id: str) -> None:
    """Raises NoSuchWorkflow. It is not deleted before the transaction ends."""
    chosen = sa.select(workflows.c.id).where(
        workflows.c.id == workflow_id, workflows.c.owner == owner
    )
    if (
        await connection.execute(chosen.with_for_update(read=True, key_share=True))
    ).first() is None:
        raise NoSuchWorkflow


async def _insert(
    execute: _Execute, row: Mapping[str, object], max_queued: int | None
) -> Submitted:
    digests, values = row["digests"], {f"new_{name}": value for name, value in row.items()}
    if max_queued is not None:
        values["max_queued"] = max_queued
    for _ in range(3):
        if await execute(submission_sql.SUBMIT[bool(digests), max_queued is not None], values):
            state = cast("State", row["state"])
            return Submitted(str(row["id"]), True, state, python=str(row["python"]))
        if known := await _known(execute, row, max_queued):
            return known
        # else: what prevented it does not exist any more
    raise TooManyQueued(max_queued or 0)


async def _known(
    execute: _Execute, row: Mapping[str, object], max_queued: int | None = None
) -> Submitted | None:
    """The task that the same request made before. Raises what keeps a row from being added."""
    digests = cast("list[str]", row["digests"])
    names = ("owner", "digests", "idempotency_key")
    found = await execute(submission_sql.WHY_NOT, {name: row[name] for name in names})
    assert found is not None  # it always has one row
    if found.id:
        if found.request_digest != row["request_digest"]:
            raise Conflict
        placed = TaskPlace(found.machine_class, found.why_there)
        python = str(row["python"])
        return Submitted(found.id, False, found.state, place=placed, python=python)
    if row["cache_key"] is not None:
        keys = {name: row[name] for name in ("owner", "cache_key")}
        if same := await execute(submission_sql.SAME_RUNS, keys):
            return Submitted(same.id, False, same.state, same_runs=True)
    if max_queued is not None and found.queued >= max_queued:
        raise TooManyQueued(max_queued)
    if missing := sorted(set(digests) - set(found.stored)):
        raise BlobsNotStored(missing)
    return None
