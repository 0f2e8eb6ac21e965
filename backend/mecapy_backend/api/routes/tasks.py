"""Tasks: list, look at, cancel, forget. The row is the task."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, Query, Response

from mecapy_backend.api import metrics
from mecapy_backend.api.audit import audited
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.problems import Problem, misunderstood, no_such_task
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.common import State
from mecapy_backend.api.schemas.tasks import TaskBody
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.api.task_view import attempts_of, iso, status_of
from mecapy_backend.store import tasks
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_backend.store.tasks import settling
from mecapy_backend.store.tasks.user_tasks import end_waiting, tell_stopped
from mecapy_jupyter import wire

router = surface("tasks")
_log = structlog.get_logger()


async def task_of(services: WithServices, owner: Owner, task_id: str) -> tasks.TaskRow:
    """The task an address names, if it is the asker's."""
    try:
        found = await tasks.get(services.db, owner, str(UUID(task_id)))
    except ValueError:
        found = None
    if found is None:
        raise no_such_task(task_id)
    return found


Mine = Annotated[tasks.TaskRow, Depends(task_of)]


@router.get("/tasks", response_model=answer(wire.TaskPage), summary="List my tasks, newest first")
async def page(
    services: WithServices,
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
        raise misunderstood("name: holds a NUL character; leave it out")
    after = open_cursor(cursor) if cursor else None
    found = await tasks.page(
        services.db,
        owner,
        limit=limit,
        after=after,
        state=state,
        name=name,
        since=aware(since),
        until=aware(until),
    )
    keep_s = services.settings.keep_s
    statuses = tuple(replace(status_of(task, keep_s), history=()) for task in found)
    following = cursor_of(found[-1]) if len(found) == limit else None
    return json(wire.TaskPage(statuses, following).as_json())


@router.get("/tasks/{task_id}", response_model=answer(wire.TaskStatus), summary="Look at a task")
async def look(services: WithServices, owner: Owner, task: Mine) -> Response:
    audited().nothing_read = not task.final  # waiting for a result is not recorded in the audit
    status = status_of(task, services.settings.keep_s)
    cost = services.placements.cost(task, datetime.now(UTC))
    status = replace(status, history=attempts_of(task), cost=cost)
    if task.state == wire.QUEUED:
        at = await services.start_estimator.estimate(owner, task)
        status = replace(status, position=at.position, eta_s=at.eta_s, why_there=at.why_there)
    return json(status.as_json())


@router.get("/tasks/{task_id}/request", response_model=TaskBody, summary="What was submitted")
async def submitted(services: WithServices, owner: Owner, task: Mine) -> Response:
    """The body it was submitted with. Python clients open its payload again when they take up a
    task they did not submit.
    """
    return json(await tasks.request(services.db, owner, task.id))


RESULT = answer(wire.Outcome, task_id=str, status=State, state=None, stopped_s=None)


@router.get("/tasks/{task_id}/result", response_model=RESULT, summary="The result of a task")
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


@router.post("/tasks/{task_id}/cancel", response_model=dict[str, str], summary="Stop a task")
async def cancel(
    services: WithServices,
    owner: Owner,
    task: Mine,
    descendants: Annotated[
        bool,
        Query(description="also cancel all that needs its result; else that fails, naming it"),
    ] = False,
) -> Response:
    """A waiting task is cancelled at once, a running one within a second; a final one stays as it
    is. `status` is `running` while the worker is asked to stop it; the final event follows.
    """
    if descendants:
        below = await tasks.cancel_below(services.db, owner, task.id)
        await or_none(tell_stopped(services.queue, below))
    answer = await tasks.cancel(services.db, owner, task.id)
    if answer is None:
        raise no_such_task(task.id)
    if answer.ended:
        metrics.cancelled.inc()
        await or_none(end_waiting(services.queue, task.id))
        if answer.awaited:
            await settling.settle(services.db, services.queue, [task.id])
    elif answer.state == wire.RUNNING:
        await or_none(services.queue.announce_cancel(task.id))
    _log.info("cancel", task=task.id, owner=owner, state=answer.state)
    return json({"task_id": task.id, "status": answer.state})


@router.delete("/tasks/{task_id}", status_code=204, summary="Delete a task")
async def forget(services: WithServices, owner: Owner, task: Mine) -> Response:
    """Also ends it where it runs, and deletes its blobs that no other task names. 409 while tasks
    that have not ended need its result.
    """
    try:
        digests = await tasks.forget(services.db, owner, task.id)
    except tasks.Needed as needed:
        detail = (
            f"{len(needed.children)} tasks that have not ended need its result, such as "
            f"{needed.children[0]}; cancel those first, or wait for them"
        )
        raise Problem(409, "needed", detail, needed_by=needed.children[:100]) from None
    if digests is None:
        raise no_such_task(task.id)
    for say in (
        services.queue.withdraw(task.id),
        services.queue.announce_cancel(task.id),
        events.forget(services.queue, task.id),
    ):
        await or_none(say)
    if digests:
        await blob_rows.delete_unreferenced(services.db, services.blobs, owner, digests)
    _log.info("forgotten", task=task.id, owner=owner)
    return Response(status_code=204)


def aware(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:  # in UTC it is before the year 1, or after 9999
        detail = f"{at.isoformat()} cannot be converted to UTC; use a time closer to now"
        raise misunderstood(detail) from None


def cursor_of(task: tasks.TaskRow) -> str:
    return base64.urlsafe_b64encode(f"{iso(task.created_at)} {task.id}".encode()).decode()


def open_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        at, _, task_id = base64.urlsafe_b64decode(cursor).decode().partition(" ")
        return datetime.fromisoformat(at).astimezone(UTC), str(UUID(task_id))
    except (ValueError, OverflowError):
        raise misunderstood(
            "cursor: not valid; give the `next` of the page before, or leave it out"
        ) from None
