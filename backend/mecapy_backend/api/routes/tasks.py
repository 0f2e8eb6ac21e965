"""Tasks: submit, list, look at, cancel, forget. The row is the task; Redis only makes it start at
once.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from mecapy_backend.api import event_stream, request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.limits.allowance import Admission, queue_full
from mecapy_backend.api.problems import Problem, no_such_task, unavailable
from mecapy_backend.api.schemas.common import State
from mecapy_backend.api.schemas.tasks import (
    CancelView,
    PageView,
    ResultView,
    SubmittedView,
    TaskBody,
    TaskView,
)
from mecapy_backend.api.start_estimate import QueuePosition
from mecapy_backend.api.task_view import history, iso, view
from mecapy_backend.shared import metrics
from mecapy_backend.store import json_text, tasks
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_jupyter import wire

ADMIT_S = 1.8
"""So long may PostgreSQL take over a submission: who submits hears within two seconds, whatever is
away.
"""

router = APIRouter(tags=["tasks"])
_log = structlog.get_logger()


async def task_of(request: Request, owner: Owner, task_id: str) -> tasks.TaskRow:
    """The task an address names, if it is the asker's."""
    try:
        found = await tasks.get(request.app.state.db, owner, str(UUID(task_id)))
    except ValueError:
        found = None
    if found is None:
        raise no_such_task(task_id)
    return found


Mine = Annotated[tasks.TaskRow, Depends(task_of)]
Accept = Annotated[str, Header(max_length=1000, include_in_schema=False)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="repeat a request safely: same key, same task",
    ),
]


@router.post(
    "/tasks",
    status_code=201,
    response_model=SubmittedView,
    openapi_extra=request_body.described(TaskBody),
    summary="Submit a task",
)
async def submit(
    request: Request, owner: Owner, idempotency_key: Key = None, accept: Accept = ""
) -> Response:
    """Queue a task. It exists once this answers; follow it at `/tasks/{task_id}/events` or ask
    `/tasks/{task_id}`.

    With `Accept: text/event-stream` the answer is that event stream itself, its first event
    `queued` with the task's id.
    """
    state, settings, followed = (
        request.app.state,
        request.app.state.settings,
        "text/event-stream" in accept,
    )
    if followed:
        state.open_streams.check(owner)
    task = await request_body.read(request, TaskBody)
    _check_limits(task, settings)
    short = state.paces.short(owner, task.code, task.timeout)
    try:
        granted, done = await _admitted(
            _admit(state, owner, task.model_dump(), idempotency_key, short)
        )
    except tasks.Conflict:
        raise Problem(
            422,
            "key-conflict",
            "this Idempotency-Key was used for another body; use a new key for a new task",
        ) from None
    except tasks.TooManyQueued as over:
        raise queue_full("you", over.args[0]) from None
    except tasks.MissingBlobs as missing:
        detail = (
            "blobs named here are not stored (any more); ask POST /blobs/missing, upload "
            "what it names, and submit again"
        )
        raise Problem(409, "blobs-missing", detail, missing=missing.args[0]) from None
    except ValueError:
        raise Problem(
            422,
            "not-understood",
            "inputs hold a number that JSON cannot carry (NaN, infinite, thousands of digits)",
        ) from None
    position: int | None = None
    if done.state == wire.QUEUED:
        position = await or_none(
            state.queue.enqueue(
                done.task_id,
                owner,
                task.priority,
                short=short,
                python=task.python,
                share=granted.share,
            )
        )
    metrics.submitted.inc(done.created)
    _log.info("submitted", task=done.task_id, owner=owner, created=done.created)
    submitted = {"task_id": done.task_id, "status": done.state, "position": position}
    if followed:
        return event_stream.answer(
            state,
            owner,
            _told(state, owner, task.code, submitted),
            201,
            Location=f"/tasks/{done.task_id}",
        )
    return json(submitted, 201, Location=f"/tasks/{done.task_id}")


async def _told(
    state: Any, owner: str, code: str, submitted: dict[str, Any]
) -> AsyncIterator[events.EncodedEvent | None]:
    """The submission itself, then what follows; how long it took is remembered for next time."""
    yield events.EncodedEvent(events.START, wire.QUEUED, json_text.dumps(submitted))
    async for event in event_stream.follow(state, owner, submitted["task_id"], events.START):
        if event and event.type in wire.FINAL:
            state.paces.learn(owner, code, event.text)
        yield event


async def _admitted(
    admitting: Coroutine[Any, Any, tuple[Admission, tasks.Submitted]],
) -> tuple[Admission, tasks.Submitted]:
    """Not longer than ADMIT_S: then 503, and the client asks again with its key. What hangs is left
    to end by itself: closing a connection that PostgreSQL does not answer on takes as long again.
    """
    admitted = asyncio.create_task(admitting)
    try:
        done, _ = await asyncio.wait({admitted}, timeout=ADMIT_S)
    finally:
        admitted.cancel()
    if not done:
        admitted.add_done_callback(
            lambda late: late.cancelled() or late.exception()
        )  # nobody waits to hear it
        raise unavailable("the database")
    return admitted.result()


async def _admit(
    state: Any, owner: str, request: dict[str, Any], key: str | None, short: bool
) -> tuple[Admission, tasks.Submitted]:
    await state.pythons.check(request["python"])
    granted: Admission = await state.allowances.submission(state.db, owner)
    return granted, await _submit(state, owner, request, key, granted.count_to, short)


async def _submit(
    state: Any,
    owner: str,
    request: dict[str, Any],
    key: str | None,
    max_queued: int | None,
    short: bool,
) -> tasks.Submitted:
    try:
        return await tasks.submit(
            state.db, owner, request, idempotency_key=key, max_queued=max_queued, short=short
        )
    except tasks.MissingBlobs as missing:
        if not state.blobs.direct_uploads:
            raise
        wanted = [(digest, await state.blobs.size(owner, digest)) for digest in missing.args[0]]
    for digest, size in wanted:
        if size is not None:
            await blob_rows.confirm_upload(state.db, state.blobs, owner, digest, size)
    return await tasks.submit(
        state.db, owner, request, idempotency_key=key, max_queued=max_queued, short=short
    )


def _check_limits(task: TaskBody, settings: Any) -> None:
    if len(task.code.encode()) > settings.max_code_bytes:
        raise Problem(
            413,
            "code-too-large",
            f"the code is longer than {settings.max_code_bytes} bytes; pass data as inputs instead",
        )
    if task.timeout > settings.max_timeout_s:
        raise Problem(
            422, "not-understood", f"timeout: at most {settings.max_timeout_s:g} seconds here"
        )


@router.get("/tasks", response_model=PageView, summary="List my tasks, newest first")
async def page(
    request: Request,
    owner: Owner,
    state: State | None = None,
    name: Annotated[str | None, Query(max_length=200, description="may hold `*`")] = None,
    since: Annotated[datetime | None, Query(description="submitted at or after; ISO 8601")] = None,
    until: Annotated[datetime | None, Query(description="submitted before; ISO 8601")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next` of the page before")
    ] = None,
) -> Response:
    if name and "\0" in name:
        raise Problem(422, "not-understood", "name: holds a NUL character; leave it out")
    after = _open_cursor(cursor) if cursor else None
    keep_s: float = request.app.state.settings.keep_s
    found = await tasks.page(
        request.app.state.db,
        owner,
        limit=limit,
        after=after,
        state=state,
        name=name,
        since=_aware(since),
        until=_aware(until),
    )
    return json(
        {
            "tasks": [view(task, keep_s) for task in found],
            "next": _cursor(found[-1]) if len(found) == limit else None,
        }
    )


@router.get("/tasks/{task_id}", response_model=TaskView, summary="Look at a task")
async def look(request: Request, owner: Owner, task: Mine) -> Response:
    place = (
        await request.app.state.forecast.estimate(owner, task)
        if task.state == wire.QUEUED
        else QueuePosition()
    )
    request.state.nothing_read = (
        not task.final
    )  # so that somebody who waits does not fill the audit
    shown = view(task, request.app.state.settings.keep_s)
    return json(
        shown | {"position": place.position, "eta_s": place.eta_s, "history": history(task)}
    )


@router.get("/tasks/{task_id}/request", response_model=TaskBody, summary="What was submitted")
async def submitted(request: Request, owner: Owner, task: Mine) -> Response:
    """The body it was submitted with. Python clients open its payload again when they take up a
    task they did not submit.
    """
    return json(await tasks.request(request.app.state.db, owner, task.id))


@router.get("/tasks/{task_id}/result", response_model=ResultView, summary="The result of a task")
async def result(task: Mine) -> Response:
    """409 while the task is not final. `result` is plain JSON; `payload` is what Python clients
    open.
    """
    if not task.final:
        detail = (
            f"the task is {task.state}; wait for its final event at /tasks/{task.id}/events, "
            f"or ask again"
        )
        raise Problem(
            409, "not-final", detail, headers={"Retry-After": "1"}, status_of_task=task.state
        )
    outcome = task.outcome or {}
    return json(
        {"task_id": task.id, "status": task.state}
        | {name: outcome.get(name) for name in ("result", "error", "seconds", "payload")}
    )


@router.post("/tasks/{task_id}/cancel", response_model=CancelView, summary="Stop a task")
async def cancel(request: Request, owner: Owner, task: Mine) -> Response:
    """A queued task is cancelled at once, a running one within a second; a final one stays as it
    is.
    """
    state = request.app.state
    answer = await tasks.cancel(state.db, owner, task.id)
    if answer is None:
        raise no_such_task(task.id)
    if answer.ended:
        metrics.cancelled.inc()
        await or_none(ended(state.queue, task.id))
    elif answer.state == wire.RUNNING:
        await or_none(state.queue.announce_cancel(task.id))
    _log.info("cancel", task=task.id, owner=owner, state=answer.state)
    return json({"task_id": task.id, "status": answer.state})


async def ended(queue: Any, task_id: str) -> None:
    """Tell whoever follows a task that was cancelled while it waited."""
    await queue.withdraw(task_id)
    await events.append(
        queue, task_id, [(wire.CANCELLED, wire.Outcome(wire.CANCELLED).as_json())], last=True
    )


@router.delete("/tasks/{task_id}", status_code=204, summary="Forget a task")
async def forget(request: Request, owner: Owner, task: Mine) -> Response:
    """Also ends it where it runs, and deletes its blobs that no other task names."""
    state = request.app.state
    digests = await tasks.forget(state.db, owner, task.id)
    if digests is None:
        raise no_such_task(task.id)
    for say in (
        state.queue.withdraw(task.id),
        state.queue.announce_cancel(task.id),
        events.forget(state.queue, task.id),
    ):
        await or_none(say)
    if digests:
        await blob_rows.delete_unreferenced(state.db, state.blobs, owner, digests)
    _log.info("forgotten", task=task.id, owner=owner)
    return Response(status_code=204)


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def _cursor(task: tasks.TaskRow) -> str:
    return base64.urlsafe_b64encode(f"{iso(task.created_at)} {task.id}".encode()).decode()


def _open_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        at, _, task_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(at), str(UUID(task_id))
    except ValueError:
        raise Problem(
            422,
            "not-understood",
            "cursor: not one of ours; give the `next` of the page before, or leave it out",
        ) from None
