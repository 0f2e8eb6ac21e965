"""The log of a final task: the row's, or, where that was too long for a row, the blob with all of
it. Opened event by event, never whole.

Written by the worker (`journal`, `jobs`); read by `routes.stream`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store import json_text
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_backend.store.tasks import lookup
from mecapy_jupyter import wire
from mecapy_jupyter.wire import Event

# A Jupyter server silently drops output above 3 MB in 3 s (iopub_data_rate_limit), and our note
# about the limit with it.
LIVE_BYTES = 2 * 1024 * 1024
"""How much of a task's text its stream has, and so a notebook; of displays and widgets' messages
sixteen times as much.
"""

MORE = (
    f"\n[mecapy] More than {LIVE_BYTES >> 20} MiB of output: the rest is not shown live. The "
    f"task's log keeps all of it (%mecapy logs).\n"
)
GONE = "\n[mecapy] The task's log is not stored any more.\n"
_TEXT = frozenset({wire.STDOUT, wire.STDERR})
_SHOWN = frozenset({wire.DISPLAY, wire.COMM})


def charge(kind: str, size_bytes: int) -> int:
    """What an event of this size takes of `LIVE_BYTES`."""
    return size_bytes if kind in _TEXT else size_bytes // 16 if kind in _SHOWN else 0


def note(text: str, after: str) -> EncodedEvent:
    """A note of ours in place of the omitted output; its id resumes where `after` does."""
    return EncodedEvent(after, wire.STDERR, json_text.dumps(wire.StderrEvent(text).as_json()))


async def read(
    db: AsyncEngine, blobs: BlobStore, owner: str, task: lookup.TaskRow, after: tuple[int, int]
) -> AsyncIterator[EncodedEvent]:
    """All events kept, after an id, without the final one."""
    try:
        async for event in (
            _of_blob(blobs, owner, task.log_blob) if task.log_blob else _of_row(db, owner, task.id)
        ):
            if events.parse_id(event.id) > after:
                yield event
    except FileNotFoundError:
        yield note(GONE, "{}-{}".format(*after))


async def _of_row(db: AsyncEngine, owner: str, task_id: str) -> AsyncIterator[EncodedEvent]:
    for event in await lookup.stored_log(db, owner, task_id):
        yield EncodedEvent(event.id, event.type, json_text.dumps(event.data))


async def _of_blob(blobs: BlobStore, owner: str, digest: str) -> AsyncIterator[EncodedEvent]:
    begun: list[bytes] = []
    async for block in blobs.read(owner, digest):
        *lines, rest = block.split(b"\n")
        for line in lines:
            event = Event(**json_text.loads(b"".join((*begun, line))))
            begun = []
            yield EncodedEvent(event.id, event.type, json_text.dumps(event.data))
        begun.append(rest)
