"""Sharing: a task that colleagues may look at, and no more. Its owner decides; a colleague is who
is in the owner's organisation at that moment.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from fastapi import Response

from mecapy_backend.api.auth import Asker
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.permissions import Caller
from mecapy_backend.api.problems import Problem, no_such_task
from mecapy_backend.api.routes.tasks import Mine, task_of
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.api.task_view import attempts_of, status_of
from mecapy_backend.store import tasks
from mecapy_jupyter import wire

router = surface("tasks")
_log = structlog.get_logger()


@router.post("/tasks/{task_id}/share", response_model=dict[str, str], summary="Share a task")
async def share(services: WithServices, asker: Asker, task: Mine) -> Response:
    """Members of my organisation may look at it, at `path`: code, output, error, and the result
    where that is JSON. 409 where I have no organisation.
    """
    await set_shared(services, asker, task, shared=True)
    return json({"task_id": task.id, "path": f"/page/shared/{task.id}"})


@router.delete("/tasks/{task_id}/share", status_code=204, summary="Stop sharing a task")
async def unshare(services: WithServices, asker: Asker, task: Mine) -> Response:
    await set_shared(services, asker, task, shared=False)
    return Response(status_code=204)


@router.get(
    "/shared/{task_id}",
    response_model=answer(wire.TaskStatus),
    summary="Look at a colleague's task",
)
async def look(services: WithServices, asker: Asker, task_id: str) -> Response:
    """One that its owner shares with my organisation."""
    _, task = await shared_task(services, asker, task_id)
    cost = services.placements.cost(task, datetime.now(UTC))
    status = status_of(task, services.settings.keep_s)
    return json(replace(status, history=attempts_of(task), cost=cost).as_json())


async def set_shared(
    services: Services, asker: Caller, task: tasks.TaskRow, *, shared: bool
) -> None:
    """Raises Problem 409."""
    if shared and asker.organisation is None:
        detail = "you are in no organisation, so there is nobody to share it with"
        raise Problem(409, "no-organisation", detail)
    await tasks.set_shared(services.db, asker.owner, task.id, shared)
    _log.info("shared", task=task.id, owner=asker.owner, shared=shared)


async def shared_task(services: Services, asker: Caller, task_id: str) -> tuple[str, tasks.TaskRow]:
    """It and its owner. Raises Problem 404, whether it is not shared or does not exist."""
    try:
        known = str(UUID(task_id))
    except ValueError:
        raise no_such_task(task_id) from None
    owner = await tasks.owner_of_shared(services.db, known, asker.organisation or "")
    if owner is None:
        raise no_such_task(task_id)
    return owner, await task_of(services, owner, known)
