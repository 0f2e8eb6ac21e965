"""Raises an interrupt again that Python has discarded.

Python raises KeyboardInterrupt wherever the main thread is. In a finalizer, a closing generator or
a weak reference's callback (importlib has one for each import) it cannot leave: Python prints
"Exception ignored in …" and the cell would run on.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from typing import Self

_UNTIL_THE_HOOK_ENDS_S = 0.001


class RaisedAgain:
    """Inside this block, in the main thread, no interrupt is discarded."""

    def __enter__(self) -> Self:
        self._guard, self._ended, self._in_hook = threading.Lock(), False, False
        self._before = sys.unraisablehook
        sys.unraisablehook = self._hook
        return self

    def __exit__(self, *_: object) -> None:
        if sys.unraisablehook == self._hook:  # else the cell, or that of a subshell, has set one
            sys.unraisablehook = self._before
        with self._guard:
            self._ended = True

    def _hook(self, discarded: sys.UnraisableHookArgs) -> None:
        """Python runs it in the middle of anything, so it takes no lock: `threading.Thread` would
        take one.
        """
        if discarded.exc_type is not KeyboardInterrupt or self._ended:
            self._before(discarded)
            return
        self._in_hook = True
        _thread.start_new_thread(self._again, ())
        self._in_hook = False

    def _again(self) -> None:
        """In its own thread, once the hook has ended: in it, Python would discard this one too."""
        while self._in_hook and not self._ended:
            time.sleep(_UNTIL_THE_HOOK_ENDS_S)
        with self._guard:  # the next cell is not interrupted
            if not self._ended:
                _interrupt_main()


def _interrupt_main() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # this wakes a sleeping main thread too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
