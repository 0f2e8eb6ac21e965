"""Whether an interrupt comes from the user or from the kernel's shutdown.

Jupyter interrupts a kernel before it shuts it down or restarts it, and a task must survive that.
The shutdown request follows at once on the control channel, which has its own thread.
"""

from __future__ import annotations

import threading

from mecapy_jupyter.hooks import ipykernel

FOLLOWS_WITHIN_S = 0.3
"""How long an interrupt waits for a shutdown request; a busy machine may delay it."""

_MESSAGE = "shutdown_request"
_requested = threading.Event()


def watch(shell: object) -> bool:
    """Watch for the kernel's shutdown request. False if there is no kernel, or it cannot receive
    one during a cell.
    """
    handlers = ipykernel.control_handlers(getattr(shell, "kernel", None))
    return handlers is not None and ipykernel.before_handling(handlers, _MESSAGE, _requested.set)


def ends(shell: object) -> bool:
    """Right after an interrupt: whether the kernel is about to end."""
    try:
        return watch(shell) and _requested.wait(FOLLOWS_WITHIN_S)
    except KeyboardInterrupt:  # a second interrupt: do not wait
        return False
