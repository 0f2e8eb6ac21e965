"""The buffers of a result, written into files for the worker to take over. Part of the child, and nearly the last thing it does.

The memory behind a buffer is given back piece by piece as it is written: the file's pages can then be those the buffer had, where a
machine would first have to find as many new ones, which takes longer than all the copying. Before it: `results`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mecapy_jupyter import known, pages

_PIECE_BYTES = 256 << 10  # small enough that what one write gives back is there for the next
_DONTNEED = 4


def write(outbox: Path, buffers: Sequence[memoryview]) -> list[str]:
    """Write each buffer into a file of its own; their names, in order. The buffers do not hold their content afterwards."""
    places = [(known.address_of(buffer), buffer.nbytes) for buffer in buffers]
    give_back = _giver()
    for number, buffer in enumerate(buffers):
        address, _ = places[number]
        needed_later = address is None or any(_overlap(places[number], later) for later in places[number + 1 :])
        _write(outbox / str(number), buffer, None if needed_later else address, give_back)
    return [str(number) for number in range(len(buffers))]


def _overlap(one: tuple[int | None, int], other: tuple[int | None, int]) -> bool:
    if one[0] is None or other[0] is None:
        return True
    return one[0] < other[0] + other[1] + pages.PAGE_BYTES and other[0] < one[0] + one[1] + pages.PAGE_BYTES


def _write(path: Path, buffer: memoryview, address: int | None, give_back: Callable[[int, int], Any] | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < buffer.nbytes:
            begun = written
            written += os.write(fd, buffer[begun : begun + _PIECE_BYTES])
            if address is not None and give_back is not None:
                first = -(-(address + begun) // pages.PAGE_BYTES) * pages.PAGE_BYTES
                last = (address + written) // pages.PAGE_BYTES * pages.PAGE_BYTES
                if last > first:
                    give_back(first, last - first)
    finally:
        os.close(fd)


def _giver() -> Callable[[int, int], Any] | None:
    """madvise(2), where that gives pages back at once."""
    if sys.platform != "linux":
        return None
    madvise = ctypes.CDLL(None).madvise
    return lambda address, size_bytes: madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), _DONTNEED)
