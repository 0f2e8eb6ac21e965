"""Tasks: submit, list, look at, cancel, forget. The row is the task; Redis only makes it start at once.

Before it: clients over HTTP. After it: `store.tasks`, `queue`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from mecapy_jupyter import wire

from ..auth import Owner
from ..problems import Problem, no_such_task
from ..store import blob_rows, events, jsontext, tasks, workers
from . import body, stream
from .models import CancelView, PageView, ResultView, State, SubmittedView, TaskBody, TaskView
from .reply import json, or_none

router = APIRouter(tags=["tasks"])
_log = structlog.get_logger()


async def task_of(request: Request, owner: Owner, task_id: str) -> tasks.Task:
    """The task an address names, if it is the asker's."""
    try:
        found = await tasks.get(request.app.state.db, owner, str(UUID(task_id)))
    except ValueError:
        found = None
    if found is None:
        raise no_such_task(task_id)
    return found


Mine = Annotated[tasks.Task, Depends(task_of)]
Accept = Annotated[str, Header(max_length=1000, include_in_schema=False)]
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, description="repeat a request safely: same key, same task")
]


@router.post("/tasks", status_code=201, response_model=SubmittedView, openapi_extra=body.described(TaskBody), summary="Submit a task")
async def submit(request: Request, owner: Owner, idempotency_key: Key = None, accept: Accept = "") -> Response:
    """Queue a task. It exists once this answers; follow it at `/tasks/{task_id}/events` or ask `/tasks/{task_id}`.

    With `Accept: text/event-stream` the answer is that event stream itself, its first event `queued` with the task's id.
    """
    state, settings = request.app.state, request.app.state.settings
    task = await body.read(request, TaskBody)
    _check_limits(task, settings)
    try:
        done = await _admit(state, owner, task.model_dump(), idempotency_key)
    except tasks.Conflict:
        raise Problem(422, "key-conflict", "this Idempotency-Key was used for another body; use a new key for a new task") from None
    except tasks.TooManyQueued:
        detail = f"you have {settings.max_queued_tasks} queued tasks, as many as you may; wait until some have started, or cancel some"
        raise Problem(429, "queue-full", detail, headers={"Retry-After": "5"}) from None
    except tasks.MissingBlobs as missing:
        detail = "blobs named here are not stored (any more); ask POST /blobs/missing, upload what it names, and submit again"
        raise Problem(409, "blobs-missing", detail, missing=missing.args[0]) from None
    except ValueError:
        raise Problem(422, "not-understood", "inputs hold a number that JSON cannot carry (NaN, infinite, thousands of digits)") from None
    position = await or_none(state.queue.enqueue(done.task_id, task.priority)) if done.state == wire.QUEUED else None
    _log.info("submitted", task_id=done.task_id, owner=owner, created=done.created)
    submitted = {"task_id": done.task_id, "status": done.state, "position": position}
    if "text/event-stream" in accept:
        return stream.answer(_told(state, owner, submitted), 201, Location=f"/tasks/{done.task_id}")
    return json(submitted, 201, Location=f"/tasks/{done.task_id}")


async def _told(state: Any, owner: str, submitted: dict[str, Any]) -> AsyncIterator[events.Raw | None]:
    """The submission itself, then what follows."""
    yield events.Raw(events.START, wire.QUEUED, jsontext.dumps(submitted))
    async for event in stream.follow(state, owner, submitted["task_id"], events.START):
        yield event


async def _admit(state: Any, owner: str, request: dict[str, Any], key: str | None) -> tasks.Submitted:
    max_queued = await state.backlog.limit(state.db, owner)
    try:
        return await tasks.submit(state.db, owner, request, idempotency_key=key, max_queued=max_queued)
    except tasks.MissingBlobs as missing:
        if not state.blobs.direct_uploads:
            raise
        wanted = [(digest, await state.blobs.size(owner, digest)) for digest in missing.args[0]]
    for digest, size in wanted:
        if size is not None:
            await blob_rows.found(state.db, state.blobs, owner, digest, size)
    return await tasks.submit(state.db, owner, request, idempotency_key=key, max_queued=max_queued)


def _check_limits(task: TaskBody, settings: Any) -> None:
    if len(task.code.encode()) > settings.max_code_bytes:
        raise Problem(413, "code-too-large", f"the code is longer than {settings.max_code_bytes} bytes; pass data as inputs instead")
    if task.timeout > settings.max_timeout_s:
        raise Problem(422, "not-understood", f"timeout: at most {settings.max_timeout_s:g} seconds here")


@router.get("/tasks", response_model=PageView, summary="List my tasks, newest first")
async def page(
    request: Request,
    owner: Owner,
    state: State | None = None,
    name: Annotated[str | None, Query(max_length=200, description="may hold `*`")] = None,
    since: Annotated[datetime | None, Query(description="submitted at or after; ISO 8601")] = None,
    until: Annotated[datetime | None, Query(description="submitted before; ISO 8601")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before")] = None,
) -> Response:
    if name and "\0" in name:
        raise Problem(422, "not-understood", "name: holds a NUL character; leave it out")
    after = _open_cursor(cursor) if cursor else None
    found = await tasks.page(
        request.app.state.db, owner, limit=limit, after=after, state=state, name=name, since=_aware(since), until=_aware(until)
    )
    return json({"tasks": [view(task) for task in found], "next": _cursor(found[-1]) if len(found) == limit else None})


@router.get("/tasks/{task_id}", response_model=TaskView, summary="Look at a task")
async def look(request: Request, owner: Owner, task: Mine) -> Response:
    state, position, eta_s = request.app.state, None, None
    if task.state == wire.QUEUED and (position := await or_none(state.queue.position(task.id))):
        slots = sum(int(worker.info.get("slots", 1)) for worker in await workers.alive(state.db))
        pace_s = await tasks.pace(state.db, owner)
        eta_s = round(math.floor((position - 1) / slots + 0.5) * pace_s, 1) if slots and pace_s is not None else None
    return json(view(task) | {"position": position, "eta_s": eta_s})


@router.get("/tasks/{task_id}/request", response_model=TaskBody, summary="What was submitted")
async def submitted(request: Request, owner: Owner, task: Mine) -> Response:
    """The body it was submitted with. Python clients open its payload again when they take up a task they did not submit."""
    return json(await tasks.request(request.app.state.db, owner, task.id))


@router.get("/tasks/{task_id}/result", response_model=ResultView, summary="The result of a task")
async def result(task: Mine) -> Response:
    """409 while the task is not final. `result` is plain JSON; `payload` is what Python clients open."""
    if not task.final:
        detail = f"the task is {task.state}; wait for its final event at /tasks/{task.id}/events, or ask again"
        raise Problem(409, "not-final", detail, headers={"Retry-After": "1"}, status_of_task=task.state)
    outcome = task.outcome or {}
    return json(
        {"task_id": task.id, "status": task.state} | {name: outcome.get(name) for name in ("result", "error", "seconds", "payload")}
    )


@router.post("/tasks/{task_id}/cancel", response_model=CancelView, summary="Stop a task")
async def cancel(request: Request, owner: Owner, task: Mine) -> Response:
    """A queued task is cancelled at once, a running one within a second; a final one stays as it is."""
    state = request.app.state
    answer = await tasks.cancel(state.db, owner, task.id)
    if answer is None:
        raise no_such_task(task.id)
    if answer.ended:
        await or_none(_ended(state.queue, task.id))
    elif answer.state == wire.RUNNING:
        await or_none(state.queue.announce_cancel(task.id))
    _log.info("cancel", task_id=task.id, owner=owner, state=answer.state)
    return json({"task_id": task.id, "status": answer.state})


async def _ended(queue: Any, task_id: str) -> None:
    await queue.withdraw(task_id)
    await events.append(queue, task_id, [(wire.CANCELLED, wire.Outcome(wire.CANCELLED).as_json())])
    await events.close(queue, task_id)


@router.delete("/tasks/{task_id}", status_code=204, summary="Forget a task")
async def forget(request: Request, owner: Owner, task: Mine) -> Response:
    """Also ends it where it runs, and deletes its blobs that no other task names."""
    state = request.app.state
    digests = await tasks.forget(state.db, owner, task.id)
    if digests is None:
        raise no_such_task(task.id)
    for say in (state.queue.withdraw(task.id), state.queue.announce_cancel(task.id), events.forget(state.queue, task.id)):
        await or_none(say)
    if digests:
        await blob_rows.release(state.db, state.blobs, owner, digests)
    _log.info("forgotten", task_id=task.id, owner=owner)
    return Response(status_code=204)


def view(task: tasks.Task) -> dict[str, Any]:
    outcome = task.outcome or {}
    return {
        "task_id": task.id, "name": task.name, "status": task.state, "position": None, "eta_s": None, "attempts": task.attempt,
        "priority": task.priority, "created_at": _iso(task.created_at), "started_at": _iso(task.started_at),
        "completed_at": _iso(task.completed_at), "worker": task.worker, "cancel_requested": task.cancel_requested,
        "result": outcome.get("result"), "error": outcome.get("error"),
    }  # fmt: skip


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def _cursor(task: tasks.Task) -> str:
    return base64.urlsafe_b64encode(f"{_iso(task.created_at)} {task.id}".encode()).decode()


def _open_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        at, _, task_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(at), str(UUID(task_id))
    except ValueError:
        raise Problem(422, "not-understood", "cursor: not one of ours; give the `next` of the page before, or leave it out") from None
