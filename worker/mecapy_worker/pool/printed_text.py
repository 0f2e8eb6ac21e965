"""What native code and commands write to a child's descriptor, as text. Paths of the task's folder
lead into the notebook's, as in prints (`child/home_paths`).
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from mecapy_worker.shared.channel import ready
from mecapy_worker.shared.messages import HomeMessage

CHUNK_BYTES = 64 * 1024
_PATH_CHARS = 4096
_TIMES_LONGER = 16
"""So much longer the notebook's folder may be than the task's: a child chooses both, and could make
much text of little.
"""


class PrintedText:
    """One descriptor's. `folder`: the child's, below which it may name the task's."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._task, self._home = str(folder), "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = ""

    def lead_home(self, message: HomeMessage) -> None:
        """From here on, unless one of the paths is too long."""
        task, home = message.folder, message.home
        if not task.startswith(self._folder) or len(task) > _PATH_CHARS:
            return
        if len(home) <= _TIMES_LONGER * len(task):
            self._task, self._home = task, home

    def read(self, chunk: bytes) -> str:
        """The text of the next bytes. What may be the beginning of the path waits for the rest."""
        text = self._begun + self._decoder.decode(chunk)
        if not self._task:
            return text
        text = text.replace(self._task, self._home)
        sizes = range(min(len(self._task) - 1, len(text)), 0, -1)
        begun = next((size for size in sizes if text.endswith(self._task[:size])), 0)
        self._begun = text[len(text) - begun :]
        return text[: len(text) - begun]

    def rest(self) -> str:
        """What waits, before anything that was sent after it."""
        text, self._begun = self._begun, ""
        return text


async def read_chunk(fd: int, before: Callable[[], Awaitable[None]] | None = None) -> bytes:
    """The next bytes. `before`: awaited once there are some, before they are read."""
    while True:
        await ready(fd)
        if before is not None:
            await before()
        with contextlib.suppress(BlockingIOError):
            return os.read(fd, CHUNK_BYTES)


async def read_all(fd: int) -> str:
    text = b""
    while len(text) < CHUNK_BYTES and (chunk := await read_chunk(fd)):
        text += chunk
    return text.decode(errors="replace")
