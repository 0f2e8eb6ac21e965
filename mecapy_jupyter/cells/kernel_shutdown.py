"""Whether an interrupt is the user's own, or the first step of the kernel's end.

Jupyter interrupts a kernel before it shuts it down or restarts it, and a task must outlive its
notebook's kernel. The request to shut down follows at once, on the control channel, which a kernel
reads in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

FOLLOWS_WITHIN_S = 0.3
"""The two are sent one after another; a busy machine may take some time between them. Every
interrupt of the user's waits so long.
"""

_MESSAGE = "shutdown_request"
_told = threading.Event()


def watch(shell: object) -> bool:
    """Hear the kernel's request to shut down from now on. False where there is no kernel, or none
    that could hear it during a cell.
    """
    kernel: Any = getattr(shell, "kernel", None)
    handlers = getattr(kernel, "control_handlers", None)
    if (
        not isinstance(handlers, dict)
        or getattr(kernel, "control_thread", None) is None
        or _MESSAGE not in handlers
    ):
        return False
    known = cast("dict[str, Callable[..., Awaitable[None]]]", handlers)
    if not hasattr(known[_MESSAGE], "mecapy_hears"):
        known[_MESSAGE] = _heard(known[_MESSAGE])
    return True


def _heard(handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def hear(*arguments: object) -> None:
        _told.set()
        await handle(*arguments)

    hear.mecapy_hears = True  # pyright: ignore[reportFunctionMemberAccess]
    return hear


def ends(shell: object) -> bool:
    """Right after an interrupt: whether the kernel is about to end."""
    try:
        return watch(shell) and _told.wait(FOLLOWS_WITHIN_S)
    except KeyboardInterrupt:  # a second one: somebody is impatient
        return False
