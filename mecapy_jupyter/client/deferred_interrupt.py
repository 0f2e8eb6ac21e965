"""Delays an interrupt during a submission until the task's id is known, because nobody could cancel
it before. Only where Python raises KeyboardInterrupt (a cell, a script), and only in the main
thread.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class DeferredInterrupt:
    """The first interrupt inside the block sets `came` and is raised at the block's end, also in
    place of an error, which somebody may take as a reason to try again. A second one is raised at
    once.
    """

    came = False
    _before: Any = None

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
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
            signal.default_int_handler(number, frame)
        self.came = True
