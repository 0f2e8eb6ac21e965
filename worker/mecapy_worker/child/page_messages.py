"""What a page says to the widgets of a running cell. A thread, started with the first widget, calls
their handlers while the cell runs, so that a loop sees a slider move or a flag that a button sets,
as in a kernel whose comms have a thread of their own (subshells). A cell that runs an event loop
has them called in that loop when it yields, as any kernel does. No handler begins after the cell
has ended, and one that runs is waited for.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import traceback
from collections.abc import Callable
from typing import Any

from mecapy_jupyter.wire import JsonObject
from mecapy_worker.child import observation
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.frames import FrameError
from mecapy_worker.shared.message_codec import read
from mecapy_worker.shared.messages import CommMessage

Handler = Callable[[dict[str, Any]], None]

_YIELDS_WITHIN_S = 0.5  # else the loop is blocked, and the thread calls the handler
_STOPS_WITHIN_S = 0.2  # a handler of a cell that is told to stop

_channel: Channel | None = None
_thread: threading.Thread | None = None
_handlers: dict[str, Handler] = {}
_calling = threading.RLock()
_open = False
_loop_of_cell: Callable[[], asyncio.AbstractEventLoop | None] | None = None
_yielded = threading.Event()  # the loop has come to what it was last asked for


def connect(channel: Channel) -> None:
    """In a child that has its task: messages of the page come on this channel."""
    global _channel
    _channel = channel


def begin(loop: Callable[[], asyncio.AbstractEventLoop | None]) -> None:
    """Before the cell. `loop`: that of the cell, if it has one."""
    global _open, _loop_of_cell
    _open, _loop_of_cell = True, loop
    _yielded.set()


def end(*, told_to_stop: bool) -> None:
    """After the cell: no handler begins any more."""
    global _open
    _open = False
    if _calling.acquire(timeout=_STOPS_WITHIN_S if told_to_stop else -1):
        _calling.release()


def hear(comm_id: str, handler: Handler | None) -> None:
    """Call `handler` with each message to this model; None: no longer."""
    global _thread
    if handler is None:
        _handlers.pop(comm_id, None)
        return
    _handlers[comm_id] = handler
    if _thread is None and _channel is not None and _channel.owned:
        _thread = threading.Thread(target=_listen, name="mecapy widgets", daemon=True)
        _thread.start()


def _listen() -> None:
    while _channel is not None:
        try:
            frame = _channel.receive()
            if frame is None:
                return
            if frame.kind == CommMessage.tag:
                _deliver(read(CommMessage, frame.header))
        except (FrameError, OSError):
            return


def _then_yielded(call: Callable[[], None]) -> None:
    try:
        call()
    finally:
        _yielded.set()


def _deliver(message: CommMessage) -> None:
    """Calls it in the cell's loop if that yields soon, else here; at once while the loop is still
    blocked.
    """
    taken = threading.Lock()

    def call() -> None:
        if taken.acquire(blocking=False):
            _call(message)

    loop = _loop_of_cell() if _loop_of_cell else None
    if loop is not None and loop.is_running() and _yielded.is_set():
        _yielded.clear()
        loop.call_soon_threadsafe(lambda: _then_yielded(call))
        _yielded.wait(_YIELDS_WITHIN_S)
    call()


def _call(message: CommMessage) -> None:
    with _calling:
        handler = _handlers.get(message.comm_id)
        if not _open or handler is None:
            return
        content: JsonObject = {"comm_id": message.comm_id, "data": message.data}
        buffers = [memoryview(base64.b64decode(each)) for each in message.buffers]
        observation.note("its widgets were moved in the page")
        try:
            handler({"content": content, "buffers": buffers})
        except (Exception, SystemExit):  # it ends neither this thread nor the cell
            traceback.print_exc()
