"""The bar of a loop that runs here and not in a task: a live block with its bar, and a last line
that stays. In a notebook it lasts as long as the cell, in a script until no loop runs any more.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Any

from IPython.core.getipython import get_ipython

from mecapy_jupyter import wire
from mecapy_jupyter.block.live import LiveBlock

AFTER_S = 0.5
_TICK_S = 0.2
_lock = threading.RLock()
_current: _LocalBar | None = None


class _LocalBar:
    """One block for all loops of a cell. A thread ticks it, because one step of a loop may take
    long.
    """

    def __init__(self) -> None:
        self._began_s, self._text, self._over = time.monotonic(), "", threading.Event()
        self._block = LiveBlock("", after_s=AFTER_S)
        self._block.event(wire.Event.of(wire.StartedEvent()))
        threading.Thread(target=self._tick, name="mecapy bar", daemon=True).start()

    def show(self, fraction: float | None, text: str) -> None:
        self._text = text or self._text
        self._block.event(wire.Event.of(wire.ProgressEvent(fraction, text)))

    def end(self, state: wire.State, error: str) -> None:
        self._over.set()
        stands = [self._text] if self._text else []
        self._block.finish(
            wire.Outcome(state, seconds=time.monotonic() - self._began_s), stands, error
        )

    def _tick(self) -> None:
        while not self._over.wait(_TICK_S):
            with _lock:
                if not self._over.is_set():
                    self._block.tick()


def show(fraction: float | None, text: str) -> None:
    """Show the progress that `tracking` reports outside of a task."""
    global _current
    shell: Any = get_ipython()
    idle = fraction is None and not text
    with _lock:
        if _current is None:
            if idle:
                return
            _current = _LocalBar()
            if shell is None:
                atexit.register(end)
            else:
                shell.events.register("post_run_cell", _cell_ended)
        _current.show(fraction, text)
        if shell is None and (idle or fraction == 1.0):
            end()


def end(state: wire.State = wire.COMPLETED, error: str = "") -> None:
    """Leave the last line, if there is a bar."""
    global _current
    with _lock:
        ended, _current = _current, None
        if ended is not None:
            ended.end(state, error)


def _cell_ended(result: Any = None) -> None:
    shell: Any = get_ipython()
    shell.events.unregister("post_run_cell", _cell_ended)
    error = getattr(result, "error_in_exec", None)
    stopped = isinstance(error, KeyboardInterrupt)
    end(
        wire.CANCELLED if stopped else wire.FAILED if error else wire.COMPLETED,
        type(error).__name__ if error and not stopped else "",
    )
