"""Sends a page's messages to the task's widgets, in a thread, because they arrive where nothing may
wait: in a subshell of the kernel while a cell runs (JupyterLab with ipykernel 7), or in the kernel
itself while it is free (`--bg`).

What does not arrive is undone in the page: a slider goes back to where the task has it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mecapy_jupyter import wire
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.wire import JsonObject

_EVERY_S = 0.1
_MOST_AT_ONCE = 100
_MOST_BYTES = wire.COMMS_BYTES // 2 - 10_000
"""The largest message. A request ends with the message that reaches it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message to a model of the task. `undo`: shows the page what the task has."""

    message: JsonObject
    undo: Callable[[], None]

    @property
    def size_bytes(self) -> int:
        return len(json.dumps(self.message))


class PageMessages:
    """The messages of one task. `lost`: why a message did not arrive, if one did not."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._thread: threading.Thread | None = None
        self._waiting = queue.SimpleQueue[Said | None]()
        self._lock = threading.Lock()
        self._open = True
        self.lost = ""

    def say(self, said: Said) -> None:
        with self._lock:
            if self._open and said.size_bytes <= _MOST_BYTES:
                self._waiting.put(said)
                self._start()
                return
        if self._open:
            self.lost = f"it has more than {_MOST_BYTES >> 10} kB"
        said.undo()

    def close(self) -> None:
        """The task has ended."""
        with self._lock:
            self._open = False
            self._waiting.put(None)

    def _start(self) -> None:
        if self._thread is None:
            name = f"mecapy widgets {self._task.id[:8]}"
            self._thread = threading.Thread(target=self._send, name=name, daemon=True)
            self._thread.start()

    def _send(self) -> None:
        while self._open or not self._waiting.empty():
            batch, size_bytes = list[Said](), 0
            while (said := self._waiting.get()) is not None:
                batch.append(said)
                size_bytes += said.size_bytes
                is_full = len(batch) >= _MOST_AT_ONCE or size_bytes >= _MOST_BYTES
                if is_full or self._waiting.empty():
                    break
            self._send_batch(batch)
            time.sleep(_EVERY_S)

    def _send_batch(self, batch: list[Said]) -> None:
        try:
            if self._open and batch:
                self._task.say_to_widgets([said.message for said in batch])
                return
        except errors.MecapyError as error:
            self.lost = str(error)
        for said in batch:
            said.undo()
