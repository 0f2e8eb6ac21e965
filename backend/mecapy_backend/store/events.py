"""The live log of a task: one Redis stream each. Lost with Redis; then the row's kept log takes its place.

Written by the worker's relay, read by `routes.events`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from mecapy_jupyter import wire

from .. import keys
from . import jsontext

START = "0-0"
"""The id before the first event."""

MAX_EVENTS = 20_000
KEPT_S = 3600
_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")


@dataclass(frozen=True, slots=True)
class Raw:
    """An event whose data is still JSON text, for passing on."""

    id: str
    type: str
    text: str


async def append(redis: Redis, task_id: str, events: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """Add events in one round trip; their ids."""
    key = keys.events(task_id)
    async with redis.pipeline(transaction=False) as pipe:
        for kind, data in events:
            pipe.xadd(key, {"type": kind, "data": jsontext.dumps(data)}, maxlen=MAX_EVENTS, approximate=True)
        return [entry.decode() for entry in await pipe.execute()]


async def read(redis: Redis, task_id: str, after_id: str = START, block_ms: int | None = None) -> list[wire.Event]:
    """Events after an id; waits up to `block_ms` for the first. Empty: none came."""
    return [wire.Event(event.id, event.type, jsontext.loads(event.text)) for event in await read_raw(redis, task_id, after_id, block_ms)]


async def read_raw(redis: Redis, task_id: str, after_id: str = START, block_ms: int | None = None) -> list[Raw]:
    """Like `read`, data unopened. `block_ms` must stay below `queue.SOCKET_TIMEOUT_S`."""
    answer: Any = await redis.xread({keys.events(task_id): after_id}, count=500, block=block_ms)
    return [
        Raw(entry.decode(), field[b"type"].decode(), field[b"data"].decode()) for _, entries in answer or () for entry, field in entries
    ]


async def close(redis: Redis, task_id: str) -> None:
    """The task is final: its stream stays for an hour."""
    await redis.expire(keys.events(task_id), KEPT_S)


async def forget(redis: Redis, task_id: str) -> None:
    await redis.delete(keys.events(task_id))


def order(event_id: str) -> tuple[int, int]:
    """Sorts ids; ValueError for what is none."""
    parts = _ID.fullmatch(event_id)
    ms, seq = (int(part) for part in parts.groups("0")) if parts else (2**64, 0)
    if max(ms, seq) >= 2**64:
        raise ValueError(f"not the id of an event: {event_id!r}")
    return ms, seq
