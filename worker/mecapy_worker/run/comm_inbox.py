"""What a page says to the widgets of a running cell waits here until its child takes it. Moves of
one widget that wait are joined, so that a child that is slow to read gets the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.pool.child_handle import ChildHandle
from mecapy_worker.run.event_writer import EventWriter
from mecapy_worker.run.widget_updates import joined
from mecapy_worker.shared.frames import Frame, FrameError
from mecapy_worker.shared.message_codec import frame_of, read
from mecapy_worker.shared.messages import CommMessage

MOST_WAITING = 1000
_SAID = b"mecapy: the cell takes no messages of the page: some moves and clicks are lost\n"


class CommInbox:
    """Messages for one child. What does not fit any more is lost, and the log reports it once."""

    def __init__(self, child: ChildHandle, writer: EventWriter) -> None:
        self._child, self._writer = child, writer
        self._waiting = deque[tuple[str, JsonObject]]()
        self._some = asyncio.Event()
        self._lost = False

    def hear(self, messages: Sequence[JsonObject]) -> None:
        for message in messages:
            message = {"kind": "comm_msg", "buffers": [], **message}
            if joined(self._waiting, message):
                continue
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((wire.COMM, message))
            elif not self._lost:
                self._lost = True
                self._writer.text(wire.STDERR, _SAID)
        self._some.set()

    async def deliver(self) -> None:
        """Until it is cancelled."""
        while await self._some.wait():
            self._some.clear()
            while self._waiting:
                with contextlib.suppress(FrameError):  # no message of ours
                    await self._child.send_frame(_frame(self._waiting.popleft()[1]))


def _frame(message: JsonObject) -> Frame:
    return frame_of(read(CommMessage, message))
