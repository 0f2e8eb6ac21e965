"""More time for a task that waits or runs."""

from __future__ import annotations

import structlog
from fastapi import Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.routes.tasks import Mine
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.tasks import ExtendBody
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store import tasks
from mecapy_jupyter import wire
from mecapy_jupyter.shared.units import spelled

router = surface("tasks")
_log = structlog.get_logger()


@router.post(
    "/tasks/{task_id}/extend",
    response_model=answer(wire.TaskLimit),
    summary="Let a task run longer",
    openapi_extra=request_body.described(ExtendBody),
)
async def extend(services: WithServices, owner: Owner, task: Mine, request: Request) -> Response:
    """Adds to its `timeout`, also while it runs, up to the most that this gateway allows; a later
    attempt has it too. 409 where it has ended, is being stopped, or has the maximum already.
    """
    wanted = await services.bodies.read(request, ExtendBody)
    most_s = services.settings.max_timeout_s
    answer = await tasks.extend(services.db, owner, task.id, wanted.seconds, most_s)
    if answer is None:
        raise _refused(task, most_s)
    if answer.state == wire.RUNNING:
        await or_none(services.queue.announce_extra(task.id, answer.extra_s))
    _log.info("extended", task=task.id, owner=owner, limit_s=answer.limit_s)
    return json(wire.TaskLimit(task.id, answer.state, answer.limit_s).as_json())


def _refused(task: tasks.TaskRow, most_s: float) -> Problem:
    if task.final:
        return Problem(409, "final", f"the task is {task.state}: it needs no more time")
    if task.cancel_requested:
        return Problem(409, "final", "the task is being stopped")
    detail = (
        f"the task may run {spelled(most_s)} already, the most that this gateway allows; an "
        "operator can raise MECAPY_MAX_TIMEOUT_S"
    )
    return Problem(409, "longest", detail)
