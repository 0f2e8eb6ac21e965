"""Whether an interrupt is the user's own, or the first step of the kernel's end.

Jupyter interrupts a kernel before it shuts it down or restarts it, and a task must outlive its
notebook's kernel. The request to shut down follows at once, on the control channel, which a kernel
reads in a thread of its own.
"""

from __future__ import annotations

import threading

from mecapy_jupyter.hooks import ipykernel

FOLLOWS_WITHIN_S = 0.3
"""The two are sent one after another; a busy machine may take some time between them. Every
interrupt of the user's waits so long.
"""

_MESSAGE = "shutdown_request"
_requested = threading.Event()


def watch(shell: object) -> bool:
    """Hear the kernel's request to shut down from now on. False where there is no kernel, or none
    that could hear it during a cell.
    """
    handlers = ipykernel.control_handlers(getattr(shell, "kernel", None))
    return handlers is not None and ipykernel.before_handling(handlers, _MESSAGE, _requested.set)


def ends(shell: object) -> bool:
    """Right after an interrupt: whether the kernel is about to end."""
    try:
        return watch(shell) and _requested.wait(FOLLOWS_WITHIN_S)
    except KeyboardInterrupt:  # a second one: somebody is impatient
        return False
