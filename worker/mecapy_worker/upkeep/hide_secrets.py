"""Hides the worker's memory and its first environment, which contains secrets, from other processes
of its user, to which the kernel shows both. (Some kernels show the environment to all users, as
reported of gVisor.) Landlock also keeps children out; this holds without it. `main` calls it once,
before there is any child.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from mecapy_worker.shared import libc


def hide() -> None:
    """Let /proc show nothing of our environment, and our memory and descriptors only to
    root. `os.environ` stays as it is.
    """
    # Not Linux, or a /proc that does not say where it lies.
    with contextlib.suppress(OSError, ValueError, IndexError):
        _wipe_environment()
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_DUMPABLE, 0)


def _wipe_environment() -> None:
    """Overwrite the block that exec has put on our stack. Every variable is first copied to the
    heap, because native code still reads it.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # env_start and env_end of proc_pid_stat(5)
    if not start < end:
        return
    for name, value in os.environ.items():
        os.putenv(name, value)  # a new string for each: none points into the old block any more
    ctypes.memset(start, 0, end - start)
