"""Raises an interrupt again that Python has discarded.

Python raises KeyboardInterrupt wherever the main thread is. In a finalizer, a closing generator or
a weak reference's callback (importlib has one for each import) it cannot leave: Python prints
"Exception ignored in …" and the cell would run on. While a file object in Python is freed, as each
answer of the gateway is, Python 3.11 and 3.12 do not even print that; who waits looks whether an
interrupt was `raise_discarded`.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from typing import Self

from mecapy_jupyter.client.deferred_interrupt import heard, raise_noted

_UNTIL_THE_HOOK_ENDS_S = 0.001


class RaisedAgain:
    """Inside this block, in the main thread, no interrupt is discarded."""

    def __enter__(self) -> Self:
        self._guard, self._ended, self._in_hook = threading.Lock(), False, False
        self._before = sys.unraisablehook
        sys.unraisablehook = self._hook
        self._notes = False
        if threading.current_thread() is threading.main_thread():
            heard()
            self._notes = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            if self._notes:
                signal.signal(signal.SIGINT, raise_noted)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.unraisablehook == self._hook:  # else the cell, or that of a subshell, has set one
            sys.unraisablehook = self._before
        with self._guard:
            self._ended = True
        if self._notes and signal.getsignal(signal.SIGINT) is raise_noted:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            heard()

    def _hook(self, discarded: sys.UnraisableHookArgs) -> None:
        """Python runs it in the middle of anything, so it takes no lock: `threading.Thread` would
        take one.
        """
        if discarded.exc_type is not KeyboardInterrupt or self._ended:
            self._before(discarded)
            return
        self._in_hook = True
        heard()  # it comes again
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
