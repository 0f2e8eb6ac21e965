"""What a zygote does once, before its first fork: it imports all that children need, and arranges
its memory so that a fork costs little.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
from importlib import import_module

from mecapy_worker.child.hooks import shared_memory, sockets
from mecapy_worker.sandbox import seccomp
from mecapy_worker.shared import libc
from mecapy_worker.shared.zygote_messages import StartZygote
from mecapy_worker.zygote.hooks import hugepages, immortal

_RESERVED_BYTES = 128 << 20  # the default preload makes 90 MB of small objects


def prepare(start: StartZygote) -> dict[str, str]:
    """Import everything; returns package versions by name. A missing package is not an error."""
    for option, value in ((libc.PR_SET_CHILD_SUBREAPER, 1), (libc.PR_SET_DUMPABLE, 0)):
        with contextlib.suppress(OSError):  # macOS, old gVisor
            libc.prctl(option, value)
    if seccomp.known():
        sockets.install(allowed=start.egress)
        if not start.memory_counted:
            shared_memory.install()
    # imports stay: checking them again and again takes a tenth of our start
    gc.disable()
    reserved = hugepages.reserve(_RESERVED_BYTES)
    import_module("mecapy_worker.sandbox.probe")
    # forkserver, Python 3.14's default, needs a unix socket
    multiprocessing.set_start_method("fork", force=True)
    import_module(start.child_module).prepare([*start.preload, *start.learned])
    _settle_memory(reserved)
    _end_library_threads()
    return {
        name: str(getattr(sys.modules[name], "__version__", ""))
        for name in start.preload
        if name in sys.modules
    }


def _settle_memory(reserved: list[bytes]) -> None:
    gc.collect()
    immortal.make()
    # our objects stay shared: a collection in a child would touch, and so copy, every page
    gc.freeze()
    hugepages.fill()
    reserved.clear()
    hugepages.gather()
    hugepages.join()


def _end_library_threads() -> None:
    """OpenBLAS and similar libraries end their threads before a fork and start them when needed
    again, so one fork makes us single-threaded.
    """
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
