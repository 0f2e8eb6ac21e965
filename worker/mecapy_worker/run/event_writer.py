"""Writes the events of one attempt to two places: joined and soon to the task's Redis stream, and
completely to the stored log. It sees only the size of what a task prints.
"""

from __future__ import annotations

import asyncio
import codecs
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from redis.exceptions import ResponseError

from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import json_text
from mecapy_backend.store.log import events, final_log
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.log import log
from mecapy_worker.retry import backoff, is_transient
from mecapy_worker.run import widget_updates
from mecapy_worker.run.attempt_log import AttemptLog

PAUSE_S = 0.03
BURST_BYTES = 32 * 1024
DISPLAY_BYTES = 16 * 1024 * 1024
BEHIND_BYTES = 1024 * 1024
AWAY_S, CLOSING_S = 60.0, 2.0
ANSWER_S = 2.0
"""A write that is not answered in this time is repeated, so that a broken network does not delay a
task's end by a socket's timeout.
"""

Entry = tuple[str, JsonObject]
"""The type of an event, and its data."""

_Small = (
    wire.StartedEvent | wire.StderrEvent | wire.ProgressEvent | wire.UsageEvent | wire.LimitEvent
)
_TEXT = frozenset({wire.STDOUT, wire.STDERR})
_SHOWN = frozenset({*_TEXT, wire.DISPLAY, wire.COMM})


class EventWriter:
    """`text`, `shown`, `add` return at once and keep the order.

    `async with` around them: at its end everything is written, except the last events of a first
    attempt, which go into the stream with `end`, to save a round trip. Only a first attempt may do
    so, because nobody else writes to its stream and the ids are known.
    """

    def __init__(
        self,
        redis: Queue,
        task_id: str,
        settings: Settings,
        spool: Path,
        first: events.SequenceNumber = (1, 0),
    ) -> None:
        self.total_bytes = 0
        self._at = first  # of the next event in the stream
        self._rest: list[Entry] = []
        self._rest_after: tuple[int, int] | None = None
        self.cpu_s = 0.0  # of the child, as far as it was looked at
        self.peak_bytes = 0  # of its memory, in the same way
        self.checkpoints = 0  # that were kept
        self._redis, self._task_id = redis, task_id
        self._settings, self._log = settings, AttemptLog(spool)
        self._pending: list[Entry] = []
        self._pending_bytes = self._live_bytes = 0
        self._noted = False
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in _TEXT}
        self._wake, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._closing_since: float | None = None
        self._holds_back = first[0] == 1
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> EventWriter:
        await self._group.__aenter__()
        self._group.create_task(self._pump())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._holds_back &= kind is None
        self.close()
        await self._group.__aexit__(kind, error, trace)
        if self._pending:
            self._rest, self._pending = self._pending, []
            self._rest_after = self._log.last_id_or_now()
            await self._log.keep([("", *entry) for entry in self._rest])

    async def end(self, state: str, data: JsonObject) -> None:
        """The final event, once the end is recorded, with what is not in the stream yet."""
        batch = [*self._rest, (state, data)]
        try:
            await events.append(
                self._redis, self._task_id, batch, self._at, after=self._rest_after, last=True
            )
        except ResponseError:  # these ids are used: by a write whose answer was lost
            await events.append(self._redis, self._task_id, batch, self._at, last=True)

    async def flush(self) -> None:
        """The task does not end here and continues elsewhere."""
        rest, self._rest, self._rest_after = self._rest, [], None
        await self._publish(rest)

    @property
    def over(self) -> bool:
        """Whether the task has printed and displayed too much."""
        return self.total_bytes > self._settings.max_output_bytes

    def text(self, name: str, data: bytes) -> None:
        self.total_bytes += len(data)
        if text := self._decoders[name].decode(data):
            self._append(name, {"text": text}, len(data))

    def shown(self, event: wire.DisplayEvent | wire.CommEvent, received_bytes: int = 0) -> None:
        """`received_bytes`: what the child sent for it, if more."""
        data = event.as_json()
        size = len(json_text.dumps(data))
        if event.type == wire.COMM and widget_updates.joined(self._pending, data):
            self.total_bytes += max(0, size - widget_updates.USUAL_BYTES)
            return
        self.total_bytes += max(size, received_bytes)
        if size > DISPLAY_BYTES:
            most = f"one may have {DISPLAY_BYTES >> 20} MiB; save it to a file instead"
            what = "display" if event.type == wire.DISPLAY else "widget's message"
            text = f"[mecapy] A {what} of {size >> 20} MiB is left out: {most}.\n"
            self.add(wire.StderrEvent(text))
        else:
            self._append(event.type, data, size)

    def add(self, event: _Small) -> None:
        self._append(event.type, event.as_json())

    def _append(self, kind: str, data: JsonObject, size: int = 128) -> None:
        last_kind, last = self._pending[-1] if self._pending else ("", JsonObject())
        if last_kind == kind and kind in (wire.PROGRESS, wire.USAGE):
            self._pending[-1] = (kind, data)
        elif last_kind == kind and kind in _TEXT and len(_text(last)) < BURST_BYTES:
            # larger ones would delay every reader
            self._pending[-1] = (kind, {"text": _text(last) + _text(data)})
        else:
            self._pending.append((kind, data))
        self._pending_bytes += size
        self._wake.set()
        if self._pending_bytes >= BURST_BYTES:
            self._full.set()

    async def room(self) -> None:
        """Wait while too much is pending, which slows down a cell that prints faster than Redis
        writes.
        """
        while self._pending_bytes > BEHIND_BYTES and self._closing_since is None:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        if self._closing_since is None:
            for name, decoder in self._decoders.items():
                if rest := decoder.decode(b"", final=True):
                    self._append(name, {"text": rest})
            self._closing_since = time.monotonic()
        for event in (self._wake, self._full, self._room):
            event.set()

    async def _pump(self) -> None:
        """Write at once what comes after a pause, then what came within 30 ms or 32 KiB together. A
        task starts with such 30 ms.
        """
        if self._holds_back:
            await self._pause()
        while self._closing_since is None or (self._pending and not self._leaves_rest()):
            await self._wake.wait()
            batch, self._pending, self._pending_bytes = self._pending, [], 0
            self._room.set()
            if self._closing_since is None:
                self._wake.clear()
                self._full.clear()
            if batch:
                await self._write(batch)
            await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                await self._full.wait()

    def _leaves_rest(self) -> bool:
        """Little output, and far from the stream's bound."""
        return (
            self._holds_back
            and self._pending_bytes < BURST_BYTES
            and self._live_bytes < final_log.LIVE_BYTES // 2
        )

    async def _write(self, batch: list[Entry]) -> None:
        shown = [self._is_shown(*entry) for entry in batch]
        live = [entry for entry, yes in zip(batch, shown, strict=True) if yes]
        if not all(shown) and not self._noted:
            self._noted = True
            live.append((wire.STDERR, {"text": final_log.MORE}))
        ids = iter(await self._publish(live))
        await self._log.keep(
            [
                (next(ids, "") if yes else "", *entry)
                for entry, yes in zip(batch, shown, strict=True)
            ]
        )

    def _is_shown(self, kind: str, data: JsonObject) -> bool:
        """Whether an event goes into the stream: all do, up to the bound."""
        if kind in _SHOWN:
            self._live_bytes += final_log.charge(kind, len(json_text.dumps(data)))
            return self._live_bytes <= final_log.LIVE_BYTES
        return True

    async def _publish(self, batch: Sequence[Entry]) -> list[str]:
        """Write to the stream. While Redis is unavailable, output waits for a limited time; the log
        has it anyway.
        """
        failures, since, first = 0, time.monotonic(), self._at
        self._at = (first[0], first[1] + len(batch))
        while batch:
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await events.append(self._redis, self._task_id, batch, first)
            except Exception as error:
                failures += 1
                closing = (
                    self._closing_since is not None
                    and time.monotonic() - self._closing_since > CLOSING_S
                )
                if not is_transient(error) or closing or time.monotonic() - since > AWAY_S:
                    log.warning("events dropped", task=self._task_id, error=repr(error))
                    break
            await asyncio.sleep(backoff.compute(failures))
        return []

    async def kept(self) -> tuple[list[wire.Event], Path | None]:
        """The log, after the block: its first 64 KiB, and the file with all of it where that is
        more.
        """
        return await self._log.content()


def _text(data: JsonObject) -> str:
    return str(data["text"])
