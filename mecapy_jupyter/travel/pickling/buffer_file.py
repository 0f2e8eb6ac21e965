"""A buffer as a new file, written so that neither its writer nor its readers wait for the kernel
longer than for the copy itself.

Both matter on the way of an array: blocks that are set aside at once cost less than one at a time
(a third of all the writing on ext4), and the pieces in which a file is written are the pages it has
in memory: of 2 MiB, a reader maps all of one in one fault.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

PIECE_BYTES = 4 << 20
LARGE_PAGE_BYTES = 2 << 20

_SET_ASIDE_BYTES = 1 << 20  # below, the call costs what it saves


def write(
    path: str, buffer: memoryview, written: Callable[[int, int], object] = lambda start, end: None
) -> None:
    """Write it, and say so after each piece: `written(start, end)`. Raises OSError, FileExistsError
    too.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if buffer.nbytes >= _SET_ASIDE_BYTES:
            _set_aside(fd, buffer.nbytes)
        end = 0
        while end < buffer.nbytes:
            start, upto = (
                end,
                (end // PIECE_BYTES + 1) * PIECE_BYTES,
            )  # after a write that was cut short, aligned again
            end += os.write(fd, buffer[start:upto])
            written(start, end)
    finally:
        os.close(fd)


def _set_aside(fd: int, size_bytes: int) -> None:
    """Where it is not done (another system, another file system, no room), the writing does it or
    says why not. Not by `os.posix_fallocate`: where the file system cannot, that writes to every
    block.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(size_bytes))
