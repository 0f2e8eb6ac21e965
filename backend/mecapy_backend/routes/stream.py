"""A task's events as they come: live from Redis, or from the row where Redis has nothing (any more). Sent as Server-Sent Events.

Before it: `routes.tasks` (a submission that follows itself) and `routes.events`. After it: `store.events`, `store.tasks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from redis.exceptions import RedisError

from mecapy_jupyter import wire

from ..store import events, jsontext, tasks
from ..store.events import Raw
from .reply import or_none

LOOK_S = 2.0
"""How long to wait for Redis before looking at the row: whatever gets lost, nobody waits for ever."""

END = "end"
"""Id of a final event made from the row."""

_PING_EVERY = 7  # looks without an event
_PING = b": still here\n\n"


def answer(told: AsyncIterator[Raw | None], status: int = 200, **headers: str) -> StreamingResponse:
    """The events as a response; None keeps the connection open."""
    never_stored = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_written(told), status, never_stored | headers, "text/event-stream")


async def _written(told: AsyncIterator[Raw | None]) -> AsyncIterator[bytes]:
    async for event in told:
        yield format_sse_event(data_str=event.text, event=event.type, id=event.id) if event else _PING


async def follow(state: Any, owner: str, task_id: str, after: str, task: tasks.Task | None = None) -> AsyncIterator[Raw | None]:
    """All events after an id, the last one final. `task`: its row, where the caller has it; else it is looked at when needed."""
    quiet, position = 0, None
    while after != END and (task is None or not task.final):
        new = await _from_redis(state.streams, task_id, after)
        for event in new:
            yield event
            after = event.id
            if event.type in wire.FINAL:
                return
        if new:
            quiet = 0
            continue
        task = await tasks.get(state.db, owner, task_id)
        if task is None:
            return
        if task.state == wire.QUEUED and (now := await or_none(state.queue.position(task_id))) != position:
            position = now
            yield queued(after, position)
        quiet += 1
        if quiet % _PING_EVERY == 0:
            yield None
    for event in await by_now(state, owner, task_id, after, task):
        yield event


async def by_now(state: Any, owner: str, task_id: str, after: str, task: tasks.Task | None) -> list[Raw]:
    """What there is after an id, without waiting. A final task's stream is whole or not used: the row has it all."""
    new = await or_none(events.read_raw(state.streams, task_id, after, None)) if after != END else []
    if task is None or not task.final or (new and new[-1].type in wire.FINAL):
        return new or []
    seen = (2**64, 0) if after == END else events.order(after)
    kept = [Raw(event.id, event.type, jsontext.dumps(event.data)) for event in await tasks.kept_log(state.db, owner, task_id)]
    end = Raw(END, task.state, jsontext.dumps(task.outcome or wire.Outcome(wire.CANCELLED).as_json()))
    return [*(event for event in kept if events.order(event.id) > seen), end]


def queued(after: str, position: int | None) -> Raw:
    """A `queued` event: the row's, not the stream's; its id resumes where `after` does."""
    return Raw(after, wire.QUEUED, jsontext.dumps({"position": position}))


async def _from_redis(streams: Any, task_id: str, after: str) -> list[Raw]:
    try:
        return await events.read_raw(streams, task_id, after, int(LOOK_S * 1000))
    except (RedisError, OSError):
        await asyncio.sleep(LOOK_S / 4)
        return []
