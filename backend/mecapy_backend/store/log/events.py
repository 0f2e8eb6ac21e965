"""The live log of a task: one Redis stream.

If Redis loses it, the row's log takes over. A write whose answer was lost is repeated, and a worker
that lost its task may still write; so each entry has a number (`SequenceNumber`), and readers
accept only newer ones (`NewEvents`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from mecapy_backend.queue import keys
from mecapy_backend.store import json_text
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

START = "0-0"
"""The id before the first event."""

MAX_EVENTS = 20_000
ENDED_TTL_S = 3600
LIVE_TTL_S = 26 * 3600
"""An abandoned stream expires, also if the worker died before its last event. Longer than a task
may run.
"""
READ_BYTES = 128 * 1024
_FIRST, _MOST = 8, 500  # the events of a short task arrive together
_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")


SequenceNumber = tuple[int, int]
"""An event's attempt, and its number in that attempt."""

_MOST_NUMBERS = 1 << 24


def first_number(attempt: int, started_at: datetime) -> SequenceNumber:
    """Where the events of an attempt begin. A start that PostgreSQL loses in a crash is repeated
    under the same attempt: its events come after those of the first one.
    """
    return attempt, int(started_at.timestamp() * 1000) * _MOST_NUMBERS


_Entry = tuple[bytes, Mapping[bytes, bytes]]
_Streams = list[tuple[bytes, list[_Entry]]]
"""What redis-py answers with: of each stream its entries."""


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event whose data is still JSON text, for passing on."""

    id: str
    type: str
    text: str
    number: SequenceNumber | None = None

    def decoded(self) -> wire.Event:
        return wire.Event(self.id, self.type, json_text.loads(self.text))


class NewEvents:
    """Filters the events that a reader has not had: each once, and none of an older attempt. The
    final one always counts, because only the process that recorded the end writes it.
    """

    def __init__(self, attempt: int = 0, had: SequenceNumber | None = None) -> None:
        self._last = max((attempt, -1), had or (0, -1))

    def note_attempt(self, attempt: int) -> None:
        """A newer attempt exists, so events of earlier ones are ignored."""
        self._last = max(self._last, (attempt, -1))

    def __call__(self, event: EncodedEvent) -> bool:
        if event.number is None or event.type in wire.FINAL:
            return True
        new, self._last = event.number > self._last, max(self._last, event.number)
        return new


class ReadSize:
    """How many events to read at a time: about `READ_BYTES`, by what the last ones had. A reader
    that stops holds at most that.
    """

    def __init__(self) -> None:
        self.count = _FIRST

    def adapt(self, read: list[EncodedEvent]) -> None:
        if read:
            mean_bytes = 1 + sum(len(event.text) for event in read) // len(read)
            # Small ones say little of the next.
            self.count = max(1, min(2 * self.count, _MOST, READ_BYTES // mean_bytes))


async def append(
    redis: Redis,
    task_id: str,
    events: Iterable[tuple[str, JsonObject]],
    first: SequenceNumber | None = None,
    *,
    after: tuple[int, int] | None = None,
    last: bool = False,
) -> list[str]:
    """Add events in one round trip; their ids. `first`: where in which attempt they begin. `after`:
    the id that theirs follow one by one, where nobody else writes; else Redis finds them. `last`:
    the final one is among them, so the stream stays for an hour.
    """
    key = keys.events(task_id)
    async with redis.pipeline(transaction=False) as pipe:
        for number, (kind, data) in enumerate(events):
            entry = {"type": kind, "data": json_text.dumps(data)} | (
                {"at": f"{first[0]}.{first[1] + number}"} if first else {}
            )
            at = f"{after[0]}-{after[1] + 1 + number}" if after else "*"
            pipe.xadd(key, entry, at, maxlen=MAX_EVENTS, approximate=True)  # pyright: ignore[reportArgumentType]
        pipe.expire(key, ENDED_TTL_S if last else LIVE_TTL_S)
        *entries, _ = await pipe.execute()
    return [entry.decode() for entry in entries]


async def append_end(redis: Redis, task_id: str, outcome: wire.Outcome) -> None:
    """The last event of a task."""
    await append(redis, task_id, [(outcome.state, outcome.as_json())], last=True)


async def read(
    redis: Redis, task_id: str, after_id: str = START, block_ms: int | None = None
) -> list[wire.Event]:
    """Events after an id; waits up to `block_ms` for the first. Empty: none came."""
    return [event.decoded() for event in await read_encoded(redis, task_id, after_id, block_ms)]


async def read_encoded(
    redis: Redis,
    task_id: str,
    after_id: str = START,
    block_ms: int | None = None,
    size: ReadSize | None = None,
) -> list[EncodedEvent]:
    """Like `read`, data unopened. `block_ms` must stay below `queue.SOCKET_TIMEOUT_S`."""
    answer: _Streams | None = await redis.xread(
        {keys.events(task_id): after_id}, count=size.count if size else _MOST, block=block_ms
    )
    found = [_parse(*entry) for _, entries in answer or () for entry in entries]
    if size:
        size.adapt(found)
    return found


async def sequence_of(redis: Redis, task_id: str, event_id: str) -> SequenceNumber | None:
    """The position of the last event that a returning reader had; None: not known (any more)."""
    found: list[_Entry] = await redis.xrange(keys.events(task_id), event_id, event_id)  # pyright: ignore[reportUnknownMemberType]
    return _parse(*found[0]).number if found else None


async def latest(
    redis: Redis, task_ids: Iterable[str], count: int = 30
) -> list[list[EncodedEvent]]:
    """The last few events of each task, the newest first, in one round trip."""
    found = await newest(redis, [(task_id, "") for task_id in task_ids], count)
    return [entries[::-1] for entries in found]


async def newest(
    redis: Redis, tasks: Iterable[tuple[str, str]], count: int
) -> list[list[EncodedEvent]]:
    """The last few events of each task after an id ("": of all), the oldest first, in one round
    trip.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for task_id, after in tasks:
            least = f"({after}" if after else "-"
            pipe.xrevrange(keys.events(task_id), min=least, count=count)  # pyright: ignore[reportUnknownMemberType]
        found: list[list[_Entry]] = await pipe.execute()
    return [[_parse(*entry) for entry in reversed(entries)] for entries in found]


async def is_complete(redis: Redis, task_id: str) -> bool:
    """Whether the stream is still there from its beginning to its final event."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.xrange(keys.events(task_id), count=1)  # pyright: ignore[reportUnknownMemberType]
        pipe.xrevrange(keys.events(task_id), count=1)  # pyright: ignore[reportUnknownMemberType]
        ends: list[list[_Entry]] = await pipe.execute()
    return (
        all(ends)
        and _parse(*ends[0][0]).type == wire.STARTED
        and _parse(*ends[1][0]).type in wire.FINAL
    )


def _parse(entry: bytes, field: Mapping[bytes, bytes]) -> EncodedEvent:
    attempt, _, number = field.get(b"at", b"").partition(b".")
    return EncodedEvent(
        entry.decode(),
        field[b"type"].decode(),
        field[b"data"].decode(),
        (int(attempt), int(number)) if number else None,
    )


async def forget(redis: Redis, *task_ids: str) -> None:
    await redis.unlink(*map(keys.events, task_ids))


def parse_id(event_id: str) -> tuple[int, int]:
    """Sorts ids; ValueError for what is none."""
    parts = _ID.fullmatch(event_id)
    ms, seq = (int(part) for part in parts.groups("0")) if parts else (2**64, 0)
    if max(ms, seq) >= 2**64:
        raise ValueError(f"not the id of an event: {event_id!r}")
    return ms, seq
