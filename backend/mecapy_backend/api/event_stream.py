"""A task's events as they come: live from Redis, or from the row where Redis has nothing (any
more). Sent as Server-Sent Events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from redis.exceptions import RedisError

from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.start_estimate import QueuePosition
from mecapy_backend.store import json_text, tasks
from mecapy_backend.store.database import AWAY
from mecapy_backend.store.log import events, final_log
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire

_log = structlog.get_logger()

LOOK_S = 2.0
"""How long to wait for Redis before looking at the row: whatever is lost, nobody waits for ever."""

END = "end"
"""Id of a final event made from the row."""

_PING_EVERY = 7  # looks without an event
_PING = b": still here\n\n"


def answer(
    state: Any,
    owner: str,
    told: AsyncIterator[EncodedEvent | None],
    status: int = 200,
    **headers: str,
) -> StreamingResponse:
    """The events as a response; None keeps the connection open. `state.open_streams.check` comes
    first, while it can still be refused.
    """
    never_stored = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _written(state, owner, told), status, never_stored | headers, "text/event-stream"
    )


async def _written(
    state: Any, owner: str, told: AsyncIterator[EncodedEvent | None]
) -> AsyncIterator[bytes]:
    with state.open_streams.one(owner):
        async for event in told:
            yield (
                format_sse_event(data_str=event.text, event=event.type, id=event.id)
                if event
                else _PING
            )


async def follow(
    state: Any, owner: str, task_id: str, after: str, task: tasks.TaskRow | None = None
) -> AsyncIterator[EncodedEvent | None]:
    """All events after an id, the last one final. `task`: its row, where the caller has it; else it
    is looked at when needed.

    Of a task that was begun again: a `started` for each attempt that begins while one follows,
    after the newest only what is its own.
    """
    quiet, place, bites = 0, QueuePosition(), events.ReadSize()
    fresh = await _fresh(state, task_id, after, task)
    while after != END and (task is None or not task.final):
        new = await _from_redis(state.streams, task_id, after, bites)
        for event in new:
            after = event.id
            if fresh(event):
                yield event
            if event.type in wire.FINAL:
                return
        if new:
            quiet = 0
            continue
        quiet += 1
        try:
            task = await tasks.get(state.db, owner, task_id)
            if task is None:
                return
            fresh.known(task.attempt)
            now = await state.forecast.estimate(owner, task) if task.state == wire.QUEUED else place
        except AWAY as error:  # what comes from Redis goes on
            _log.warning("postgres away", task=task_id, error=type(error).__name__)
            task, now = None, place
        if now.roughly != place.roughly:
            place = now
            yield queued(after, place)
        if quiet % _PING_EVERY == 0:
            yield None
    async for event in by_now(state, owner, task_id, after, task):
        yield event


async def by_now(
    state: Any,
    owner: str,
    task_id: str,
    after: str,
    task: tasks.TaskRow | None,
    *,
    whole: bool = False,
) -> AsyncIterator[EncodedEvent]:
    """What there is after an id, without waiting. Of a final task with a long log: as much as was
    shown live, or the `whole`.
    """
    ended = task if task is not None and task.final else None
    if after != END and not (
        ended
        and (
            (whole and ended.log_blob)
            or not await or_none(events.is_complete(state.streams, task_id))
        )
    ):
        fresh, bites = await _fresh(state, task_id, after, task), events.ReadSize()
        while new := await or_none(events.read_encoded(state.streams, task_id, after, None, bites)):
            for event in new:
                after = event.id
                if fresh(event):
                    yield event
        return
    if not ended:
        return
    if after != END:
        async for event in _kept(state, owner, ended, after, whole=whole):
            yield event
    yield EncodedEvent(
        END, ended.state, json_text.dumps(ended.outcome or wire.Outcome(wire.CANCELLED).as_json())
    )


async def _kept(
    state: Any, owner: str, task: tasks.TaskRow, after: str, *, whole: bool
) -> AsyncIterator[EncodedEvent]:
    """From the store. Not `whole`: a notebook that comes back gets no more than one that stayed."""
    shown_bytes = 0
    async for event in final_log.of(state.db, state.blobs, owner, task, events.parse_id(after)):
        shown_bytes += final_log.charge(event.type, len(event.text))
        if not whole and shown_bytes > final_log.LIVE_BYTES:
            yield final_log.note(final_log.MORE, after)
            return
        yield event
        after = event.id


async def _fresh(
    state: Any, task_id: str, after: str, task: tasks.TaskRow | None
) -> events.NewEvents:
    """What a reader has not had who comes (back) with this id."""
    had = (
        await or_none(events.sequence_of(state.streams, task_id, after))
        if after not in (events.START, END)
        else None
    )
    return events.NewEvents(task.attempt if task else 0, had)


def queued(after: str, place: QueuePosition) -> EncodedEvent:
    """A `queued` event: the row's, not the stream's; its id resumes where `after` does."""
    return EncodedEvent(after, wire.QUEUED, json_text.dumps(place.as_json()))


async def _from_redis(
    streams: Any, task_id: str, after: str, bites: events.ReadSize
) -> list[EncodedEvent]:
    try:
        return await events.read_encoded(streams, task_id, after, int(LOOK_S * 1000), bites)
    except (RedisError, OSError):
        await asyncio.sleep(LOOK_S / 4)
        return []
