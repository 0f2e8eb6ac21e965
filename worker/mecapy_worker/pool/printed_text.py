"""What native code and commands write to a child's descriptor, as text. Paths of the task's folder
lead into the notebook's, as in prints (`child/home_paths`).
"""

from __future__ import annotations

import codecs
from pathlib import Path

from mecapy_worker.shared.messages import HomeMessage

_PATH_CHARS = 4096


class PrintedText:
    """One descriptor's. `folder`: the child's, below which it may name the task's."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._task, self._home = str(folder), "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = ""

    def lead_home(self, message: HomeMessage) -> None:
        """From here on. A short path in place of a long one cannot make much of little text."""
        if message.folder.startswith(self._folder) and len(message.home) <= _PATH_CHARS:
            self._task, self._home = message.folder, message.home

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
