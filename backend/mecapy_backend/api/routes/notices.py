"""The recipients of the note at a task's end, set after its submission."""

from __future__ import annotations

from fastapi import Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.routes.submission import check_notify
from mecapy_backend.api.routes.tasks import Mine
from mecapy_backend.api.schemas.tasks import NotifyBody
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.tasks import notices

router = surface("tasks")


@router.post(
    "/tasks/{task_id}/notify",
    status_code=204,
    summary="Report a task's end",
    openapi_extra=request_body.described(NotifyBody),
)
async def notify(services: WithServices, owner: Owner, task: Mine, request: Request) -> Response:
    """Replaces the recipients named before. A task that has ended reports it at once."""
    wanted = await services.bodies.read(request, NotifyBody)
    await check_notify(services, owner, wanted.notify)
    if not wanted.check:
        await notices.ask(services.db, task.id, wanted.notify)
    return Response(status_code=204)
