"""What a page says to the widgets of a running cell, on its way to the task's worker."""

from __future__ import annotations

from fastapi import Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.request_body import BodyReader
from mecapy_backend.api.routes.tasks import Mine
from mecapy_backend.api.schemas.tasks import CommsBody
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_jupyter import wire

router = surface("tasks")
_bodies = BodyReader(wire.COMMS_BYTES, "give a cell's widgets less, and put files into `--files`")


@router.post(
    "/tasks/{task_id}/comms",
    response_model=dict[str, int],
    summary="Move a running cell's widgets",
    openapi_extra=request_body.described(CommsBody),
)
async def comms(services: WithServices, _: Owner, task: Mine, request: Request) -> Response:
    """Jupyter's `comm_msg` messages to models that the cell has opened, whose handlers run while
    the cell runs. 409 where the task does not run. What has arrived at its worker is not kept: a
    cell that ends first has not seen it.
    """
    wanted = await _bodies.read(request, CommsBody)
    if task.state != wire.RUNNING or task.worker is None or task.cancel_requested:
        raise Problem(
            409, "not-running", f"the task is {task.state}, so its widgets cannot be moved"
        )
    messages = [each.model_dump() for each in wanted.messages]
    sent = services.queue.send_comms(task.worker, task.id, messages)
    if not await or_none(sent):
        detail = "the task's worker cannot be reached at the moment; move the widget once more"
        raise Problem(503, "busy", detail, headers={"Retry-After": "2"})
    return json({"delivered": len(messages)})
