"""A task's events as Server-Sent Events: live from Redis, or from the row if Redis has none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from redis.exceptions import RedisError

from mecapy_backend.api.callers import RECHECK_S
from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.services import Services
from mecapy_backend.api.start_estimate import reads_alike
from mecapy_backend.store import json_text, tasks
from mecapy_backend.store.database import AWAY
from mecapy_backend.store.log import events, final_log
from mecapy_backend.store.log.events import EncodedEvent, NewEvents
from mecapy_jupyter import wire

_log = structlog.get_logger()

LOOK_S = 2.0
"""How long to wait for Redis before reading the row, so that a lost event does not block forever.
"""

END = "end"
"""Id of a final event made from the row."""

_PING_EVERY = 7  # reads without an event
_PING = b": still here\n\n"


def stream_response(
    services: Services,
    owner: str,
    still: Callable[[], Awaitable[bool]],
    stream: AsyncIterator[EncodedEvent | None],
    status: int = 200,
    **headers: str,
) -> StreamingResponse:
    """The events as a response to `owner`; None: nothing new. `still`: whether they may go on.
    `stream_limit.check` comes first, while it can still be refused.
    """
    never_stored = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _encode(services, owner, still, stream), status, never_stored | headers, "text/event-stream"
    )


async def _encode(
    services: Services,
    owner: str,
    still: Callable[[], Awaitable[bool]],
    stream: AsyncIterator[EncodedEvent | None],
) -> AsyncIterator[bytes]:
    """Also ends soon after the reader's token is revoked or their account disabled."""
    quiet, checked_s = 0, time.monotonic()
    with services.stream_limit.one(owner):
        async for event in stream:
            if time.monotonic() - checked_s > RECHECK_S:
                if not await still():
                    return
                checked_s = time.monotonic()
            quiet = 0 if event else quiet + 1
            if event:
                yield format_sse_event(data_str=event.text, event=event.type, id=event.id)
            elif quiet % _PING_EVERY == 0:
                yield _PING


async def follow(
    services: Services, owner: str, task_id: str, after: str, task: tasks.TaskRow | None = None
) -> AsyncIterator[EncodedEvent | None]:
    """All events after an id, the last one final.

    `task`: its row, if the caller has it. Of a repeated task: a `started` for each attempt that
    begins meanwhile, and after the newest only the newest's events.
    """
    position, size = wire.QueuedEvent(), events.ReadSize()
    is_new = await new_after(services, task_id, after, task)
    while after != END and (task is None or not task.final):
        read = await _wait(services, task_id, after, size)
        for event in read:
            after = event.id
            if is_new(event):
                yield event
            if event.type in wire.FINAL:
                return
        if read:
            continue
        try:
            task = await tasks.get(services.db, owner, task_id)
            if task is None:
                return
            is_new.note_attempt(task.attempt)
            now = position
            if task.state in wire.WAITING:
                now = await services.start_estimator.estimate(owner, task)
        except AWAY as error:  # what comes from Redis goes on
            _log.warning("postgres away", task=task_id, error=type(error).__name__)
            task, now = None, position
        if not reads_alike(now, position):
            position = now
            yield queued(after, position)
        yield None
    async for event in by_now(services, owner, task_id, after, task):
        yield event


async def by_now(
    services: Services,
    owner: str,
    task_id: str,
    after: str,
    task: tasks.TaskRow | None,
    *,
    whole: bool = False,
) -> AsyncIterator[EncodedEvent]:
    """The existing events after an id, without waiting. Of a final task with a long log: as much as
    was shown live, or the `whole`.
    """
    ended = task if task is not None and task.final else None
    if after != END and not (ended and await _only_stored(services, ended, whole=whole)):
        async for event in _from_redis(services, task_id, after, task):
            yield event
        return
    if not ended:
        return
    if after != END:
        async for event in _from_store(services, owner, ended, after, whole=whole):
            yield event
    outcome = ended.outcome or wire.Outcome(wire.CANCELLED).as_json()
    yield EncodedEvent(END, ended.state, json_text.dumps(outcome))


async def _only_stored(services: Services, task: tasks.TaskRow, *, whole: bool) -> bool:
    """Whether Redis lacks some of a final task's events."""
    if whole and task.log_blob:
        return True
    return not await or_none(events.is_complete(services.stream_redis, task.id))


async def _from_redis(
    services: Services, task_id: str, after: str, task: tasks.TaskRow | None
) -> AsyncIterator[EncodedEvent]:
    is_new, size = await new_after(services, task_id, after, task), events.ReadSize()
    while read := await or_none(
        events.read_encoded(services.stream_redis, task_id, after, None, size)
    ):
        for event in read:
            after = event.id
            if is_new(event):
                yield event
            if event.type in wire.FINAL:
                return


async def _from_store(
    services: Services, owner: str, task: tasks.TaskRow, after: str, *, whole: bool
) -> AsyncIterator[EncodedEvent]:
    """Not `whole`: a notebook that resumes gets no more than one that stayed."""
    sent_bytes = 0
    log = final_log.read(services.db, services.blobs, owner, task, events.parse_id(after))
    async for event in log:
        sent_bytes += final_log.charge(event.type, len(event.text))
        if not whole and sent_bytes > final_log.LIVE_BYTES:
            yield final_log.note(final_log.MORE, after)
            return
        yield event
        after = event.id


async def new_after(
    services: Services, task_id: str, after: str, task: tasks.TaskRow | None
) -> NewEvents:
    """The events that a reader with this id has not had."""
    had = None
    if after not in (events.START, END):
        had = await or_none(events.sequence_of(services.stream_redis, task_id, after))
    return NewEvents(task.attempt if task else 0, had)


def queued(after: str, position: wire.QueuedEvent) -> EncodedEvent:
    """A `queued` event from the row, not the stream; its id resumes at `after`."""
    return EncodedEvent(after, position.type, json_text.dumps(position.as_json()))


async def _wait(
    services: Services, task_id: str, after: str, size: events.ReadSize
) -> list[EncodedEvent]:
    try:
        return await events.read_encoded(
            services.stream_redis, task_id, after, int(LOOK_S * 1000), size
        )
    except (RedisError, OSError):
        await asyncio.sleep(LOOK_S / 4)
        return []
