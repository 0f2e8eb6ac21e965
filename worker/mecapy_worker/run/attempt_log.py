"""The stored log of one attempt: a list for the row, and a file if it grows beyond that."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mecapy_backend.store import json_text
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.shared.units import number
from mecapy_jupyter.wire import JsonObject

ROW_BYTES = 64 * 1024
_KEPT = frozenset({wire.STARTED, wire.STDOUT, wire.STDERR, wire.DISPLAY, wire.COMM, wire.USAGE})
_USAGES = 30


class AttemptLog:
    """`path`: where the file goes, if there is to be one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[wire.Event] = []
        self._size_bytes = 0
        self._file: IO[bytes] | None = None
        self._last_id = (0, 0)
        self._usage = _UsageThinner()

    def last_id_or_now(self) -> tuple[int, int]:
        """The id of the last event; later events have higher ids."""
        if not self._last_id[0]:
            self._last_id = (time.time_ns() // 1_000_000, 0)
        return self._last_id

    async def keep(self, batch: Sequence[tuple[str, str, JsonObject]]) -> None:
        """Events (id, type, data), under the stream's own ids, so that a reader who lost Redis goes
        on in the log. One without an id gets the next.
        """
        lasting: list[wire.Event] = []
        for event_id, kind, data in batch:
            ms, seq = self._last_id
            self._last_id = (
                events.parse_id(event_id)
                if event_id
                else (ms or time.time_ns() // 1_000_000, seq + 1)
            )
            if kind == wire.USAGE:
                data = self._usage.thinned(data)
            if kind in _KEPT and data:
                lasting.append(wire.Event("{}-{}".format(*self._last_id), kind, data))
        lines = [_line(event) for event in lasting]
        self._size_bytes += sum(map(len, lines))
        if self._file is None and self._size_bytes <= ROW_BYTES:
            self._events += lasting
        else:
            await asyncio.to_thread(self._spill, b"".join(lines))

    def _spill(self, lines: bytes) -> None:
        """A log that outgrew the row goes on in a file."""
        if self._file is None:
            self._file = self._created()
            for event in self._events:
                self._file.write(_line(event))
        self._file.write(lines)

    def _created(self) -> IO[bytes]:
        """The file, in its folder, which a cleaner of /tmp may have removed."""
        own_folder(self._path.parent, setting="TMPDIR")
        return self._path.open("x+b")

    async def content(self) -> tuple[list[wire.Event], Path | None]:
        """Its first 64 KiB, and the file with all of it where that is more."""
        if self._file is None:
            return self._events, None
        await asyncio.to_thread(self._close, self._file)
        return self._events, self._path

    def _close(self, file: IO[bytes]) -> None:
        """A file without a name, which a cleaner of /tmp removed, is still whole: copy it."""
        with file:
            file.flush()
            if os.fstat(file.fileno()).st_nlink == 0:
                file.seek(0)
                with self._created() as again:
                    shutil.copyfileobj(file, again)


class _UsageThinner:
    """A task reports its usage each second. All of the first half minute is kept; then each time
    that the run has become twice as long, half as many a minute.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._cpu_percent, self._memory_bytes = 0.0, 0.0

    def thinned(self, data: JsonObject) -> JsonObject:
        """The highest values since the last one that was kept; empty: this one is not."""
        self._seen += 1
        self._cpu_percent = max(self._cpu_percent, number(data.get("cpu_percent")) or 0.0)
        self._memory_bytes = max(self._memory_bytes, number(data.get("memory_bytes")) or 0.0)
        if self._seen % (1 << max(0, (self._seen // _USAGES).bit_length() - 1)):
            return {}
        kept = wire.UsageEvent(self._cpu_percent, int(self._memory_bytes)).as_json()
        self._cpu_percent, self._memory_bytes = 0.0, 0.0
        return kept


def _line(event: wire.Event) -> bytes:
    line = json_text.dumps({"id": event.id, "type": event.type, "data": event.data})
    return line.encode() + b"\n"
