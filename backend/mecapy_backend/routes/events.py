"""The event stream of a task (Server-Sent Events): live from Redis, or from the row where Redis has nothing (any more).

Before it: clients over HTTP. After it: `store.events`, `store.tasks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from redis.exceptions import RedisError

from mecapy_jupyter import wire

from ..auth import Owner
from ..problems import Problem
from ..store import events, jsontext, tasks
from ..store.events import Raw
from .tasks import Mine, or_none

router = APIRouter(tags=["tasks"])

LOOK_S = 2.0
"""How long to wait for Redis before looking at the row: whatever gets lost, nobody waits for ever."""

END = "end"
"""Id of a final event made from the row."""


async def _after(
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", max_length=60, description="resume after this event; none: from the start")
    ] = "",
) -> str:
    if last_event_id and last_event_id != END:
        try:
            ms, seq = events.order(last_event_id)
            return f"{ms}-{seq}"
        except ValueError:
            raise Problem(422, "not-understood", "Last-Event-ID: not the id of an event; leave it out to begin at the start") from None
    return last_event_id or events.START


@router.get("/tasks/{task_id}/events", response_class=EventSourceResponse, summary="Follow a task")
async def follow(
    request: Request,
    owner: Owner,
    task: Mine,
    after: Annotated[str, Depends(_after)],
    follow: Annotated[bool, Query(description="false: end with the last event there is by now")] = True,
) -> AsyncIterator[ServerSentEvent]:
    """Events `queued`, `started`, `stdout`, `stderr`, `display`, `progress`, `usage`, and last the final one, named
    `completed`, `failed` or `cancelled`, whose data is the outcome. Then the stream ends. `data` is JSON."""
    state = request.app.state
    if not follow and not task.final:
        for event in await or_none(events.read_raw(state.streams, task.id, after, None)) or []:
            yield _sent(event)
        return
    if task.state == wire.QUEUED:
        position = await or_none(state.queue.position(task.id))
        yield _sent(Raw(after, wire.QUEUED, jsontext.dumps({"position": position})))
    async for event in _events(state, owner, task, after):
        yield _sent(event)


async def _events(state: Any, owner: str, task: tasks.Task, after: str) -> AsyncIterator[Raw]:
    """From Redis as they come; from the row once the task is final and Redis does not say so."""
    current: tasks.Task | None = task
    while current and after != END:
        new = await _from_redis(state.streams, current, after)
        for event in new:
            yield event
            after = event.id
            if event.type in wire.FINAL:
                return
        if not new:
            if current.final:
                break
            current = await tasks.get(state.db, owner, task.id)
    if current and current.final:
        async for event in _from_row(state, owner, current, after):
            yield event


async def _from_redis(streams: Any, task: tasks.Task, after: str) -> list[Raw]:
    """Waits up to LOOK_S while the task is not final. A final task's stream is whole or not used: the row has it all."""
    try:
        new = await events.read_raw(streams, task.id, after, None if task.final else int(LOOK_S * 1000))
    except (RedisError, OSError):
        if not task.final:
            await asyncio.sleep(LOOK_S / 4)
        return []
    return [] if task.final and not (new and new[-1].type in wire.FINAL) else new


async def _from_row(state: Any, owner: str, task: tasks.Task, after: str) -> AsyncIterator[Raw]:
    """The kept log after an id, then the final event."""
    seen = (2**64, 0) if after == END else events.order(after)
    for event in await tasks.kept_log(state.db, owner, task.id):
        if events.order(event.id) > seen:
            yield Raw(event.id, event.type, jsontext.dumps(event.data))
    yield Raw(END, task.state, jsontext.dumps(task.outcome or wire.Outcome(wire.CANCELLED).as_json()))


def _sent(event: Raw) -> ServerSentEvent:
    return ServerSentEvent(raw_data=event.text, event=event.type, id=event.id)
