"""Large pages for the zygote's memory, so that a fork costs little: it copies one entry for 2 MB
instead of 512, and a child's end frees as few. Large pages need memory in one piece, and Python
takes its memory a megabyte at a time, wherever there is room between the libraries it loads. So
`reserve` comes before the imports and `gather` after them.

Measured: fork and end of an empty child take 5 to 7 ms, instead of 10 without `reserve` and 15
without both. What a child writes is still copied by 4 kB. Linux from 6.1 on; elsewhere nothing
happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import sys
from pathlib import Path

from mecapy_worker.shared import libc

_LARGE_BYTES = 2 << 20
_BLOCK_BYTES = 512  # the largest that Python cuts from memory of its own
# Less than it takes at a time (1 MB), so that one block of each piece keeps it.
_PIECE_BYTES = 900 << 10
_READ_AND_EXECUTE = 1 | 4
_POOL_BYTES, _POOL_HEADER_BYTES = 16 << 10, 48
# Of holes of one size; a Python with another allocator has none to find.
_MOST_BYTES = 2 << 20
_HOLE_BYTES = 32 << 10  # larger ones are few
# MADV_COLLAPSE, whatever the setting for transparent huge pages is; later growth stays in small
# pages
_COLLAPSE = 25


def reserve(size_bytes: int) -> list[bytes]:
    """Let Python take this much memory for small objects now, in one piece. It keeps what is used;
    the rest stays while the returned object lives.
    """
    filler = bytes(_BLOCK_BYTES - sys.getsizeof(b""))
    # A list that grew would take its own memory in between.
    blocks = [filler] * (size_bytes // _BLOCK_BYTES)
    for number in range(len(blocks)):
        blocks[number] = bytes(len(filler))
    return blocks[:: _PIECE_BYTES // _BLOCK_BYTES]


def gather() -> None:
    """Move this process's private, writable memory into large pages, where possible."""
    for start, end in _writable():
        start, end = -(-start // _LARGE_BYTES) * _LARGE_BYTES, end // _LARGE_BYTES * _LARGE_BYTES
        if end > start:
            with contextlib.suppress(OSError):  # an older kernel, or memory it was only promised
                libc.madvise(start, end - start, _COLLAPSE)


def fill() -> None:
    """Take the holes of freed memory for good. What a child allocates then lies side by side in
    unused memory, instead of in many pages that it would have to copy.
    """
    take = ctypes.pythonapi.PyObject_Malloc
    take.argtypes, take.restype = (ctypes.c_size_t,), ctypes.c_size_t
    for size in range(16, _BLOCK_BYTES + 1, 16):
        before = 0
        for _ in range(_MOST_BYTES // size):
            at = take(size)
            # The second block of a pool that was empty.
            if at == before + size and at % _POOL_BYTES == _POOL_HEADER_BYTES + size:
                break
            before = at
    libc.fill_heap(24, _HOLE_BYTES)


def join() -> None:
    """Join the three read-only mappings of every library (headers, code, constants), because a fork
    copies them one by one. Constants become executable, which gives an attacker nothing: other code
    can be mapped anyway.
    """
    maps = _maps()
    for (start, end, rights, offset, path), (
        next_start,
        next_end,
        next_rights,
        next_offset,
        next_path,
    ) in itertools.pairwise(maps):
        if (
            path == next_path
            and ".so" in path
            and end == next_start
            and offset + end - start == next_offset
        ):
            with contextlib.suppress(OSError):
                if (rights, next_rights) == ("r--p", "r-xp"):
                    libc.mprotect(start, end - start, _READ_AND_EXECUTE)
                elif (rights, next_rights) == ("r-xp", "r--p"):
                    libc.mprotect(next_start, next_end - next_start, _READ_AND_EXECUTE)


def _writable() -> list[tuple[int, int]]:
    """Private mappings of no file."""
    return [
        (start, end)
        for start, end, rights, _, path in _maps()
        if rights == "rw-p" and path in ("", "[heap]")
    ]


def _maps() -> list[tuple[int, int, str, int, str]]:
    """Start, end, rights, offset in its file and path of every mapping, by address."""
    found: list[tuple[int, int, str, int, str]] = []
    for line in Path("/proc/self/maps").read_text().splitlines() if libc.LINUX else ():
        span, rights, offset, _device, _inode, *path = line.split(maxsplit=5)
        start, end = span.split("-")
        found.append((int(start, 16), int(end, 16), rights, int(offset, 16), "".join(path)))
    return found
