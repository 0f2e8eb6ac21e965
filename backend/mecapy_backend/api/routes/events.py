"""The event stream of a task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Response

from mecapy_backend.api import event_stream
from mecapy_backend.api.auth import WithReader
from mecapy_backend.api.openapi import OpenApiResponses
from mecapy_backend.api.problems import misunderstood
from mecapy_backend.api.routes.tasks import Mine
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire

router = surface("tasks")


async def _after(
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            max_length=60,
            description="resume after this event; none: from the start",
        ),
    ] = "",
) -> str:
    if last_event_id and last_event_id != event_stream.END:
        try:
            ms, seq = events.parse_id(last_event_id)
            return f"{ms}-{seq}"
        except ValueError:
            raise misunderstood(
                "Last-Event-ID: not the id of an event; leave it out to begin at the start"
            ) from None
    return last_event_id or events.START


_ONE = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("event", "id", "data")},
    "required": ["event", "data"],
}
_EVENTS: OpenApiResponses = {
    200: {"content": {"text/event-stream": {"schema": _ONE}}, "description": "Server-Sent Events"}
}


@router.get(
    "/tasks/{task_id}/events", response_class=Response, responses=_EVENTS, summary="Follow a task"
)
async def follow(
    services: WithServices,
    reader: WithReader,
    task: Mine,
    after: Annotated[str, Depends(_after)],
    follow: Annotated[
        bool,
        Query(
            description="false: end with the last event there is by now; of a finished task, its "
            "whole log"
        ),
    ] = True,
) -> Response:
    """Events `queued`, `started`, `stdout`, `stderr`, `display`, `comm`, `progress`, `usage`, and
    last the final one, named `completed`, `failed` or `cancelled`, whose data is the outcome. Then
    the stream ends. `data` is JSON.
    """
    owner = reader.caller.owner
    services.stream_limit.check(owner)

    async def stream() -> AsyncIterator[EncodedEvent | None]:
        if task.state in wire.WAITING:
            position = await services.start_estimator.estimate(owner, task)
            yield event_stream.queued(after, position)
        if follow:
            async for event in event_stream.follow(services, owner, task.id, after, task):
                yield event
        else:
            async for event in event_stream.by_now(
                services, owner, task.id, after, task, whole=True
            ):
                yield event

    return event_stream.stream_response(services, owner, reader.still(services.callers), stream())
