"""Delays an interrupt during a submission until the task's id is known, because nobody could cancel
it before. Only where Python raises KeyboardInterrupt (a cell, a script), and only in the main
thread. And finds one that Python has discarded (`cells/discarded_interrupt`).
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_noted = list[int]()


def raise_noted(number: int, frame: FrameType | None) -> None:
    """A handler that does what Python's own does; `raise_discarded` knows of it."""
    _noted.append(number)
    signal.default_int_handler(number, frame)


def heard() -> None:
    """The interrupts so far have arrived, or are nobody's any more."""
    _noted.clear()


def raise_discarded() -> None:
    """For who waits in the main thread, where no interrupt is under way: one that was raised and
    not heard of is raised again.
    """
    if _noted and threading.current_thread() is threading.main_thread():
        heard()
        raise KeyboardInterrupt


class DeferredInterrupt:
    """The first interrupt inside the block sets `came` and is raised at the block's end, also in
    place of an error, which somebody may take as a reason to try again. A second one is raised at
    once.
    """

    came = False
    _before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(
            signal.SIGINT
        ) in (signal.default_int_handler, raise_noted):
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self.came and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            self._before(number, frame)
        self.came = True
