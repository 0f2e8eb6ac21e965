"""Asks Linux whether memory was written since. Elsewhere, and where Linux gives no answer, the
answer is no.

Two questions, both about pages and so about every writer (views, `out=`, C code, other threads,
read(2)). `is_file`: does a private map still show only the file? A written page is a copy
(pagemap(5)). `Guard`: was ordinary memory written since it was guarded? Uses userfaultfd's
asynchronous write protection (Linux 6.7): the first write to a page costs a fault and is recorded.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress
from typing import Any

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

_madvise: Any = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
_DONTNEED = 4
_CHUNK_PAGES = 1 << 17
_PRESENT_BIT, _SWAPPED_BIT, _FILE_BIT = 0x80, 0x40, 0x20  # in the highest byte of an entry

_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY = 1
_FEATURES = 1 | 1 << 13 | 1 << 15  # write protection; of missing pages too; asynchronous
_API, _REGISTER, _UNREGISTER = 0xC018AA3F, 0xC020AA00, 0x8010AA01
_PROTECT, _SCAN = 0xC018AA06, 0xC0606610
_REGISTER_PROTECTION, _PROTECT_NOW, _ONLY_GUARDED = 2, 1, 2
# categories of a page: written, a file's or shared, present or swapped
_WRITTEN, _OF_FILE, _THERE = 2, 4, 8 | 16


def around(address: int, size_bytes: int) -> tuple[int, int]:
    """Start and end of the pages of this memory."""
    return address - address % PAGE_BYTES, -(-(address + size_bytes) // PAGE_BYTES) * PAGE_BYTES


def give_back(address: int, size_bytes: int) -> None:
    """Frees these whole pages: they then hold nothing or, in a private map of a file, the file's
    content. Linux only, where madvise(2) takes effect at once.
    """
    if _madvise is not None:
        _madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), _DONTNEED)


def is_file(address: int, size_bytes: int) -> bool:
    """Whether memory in a private map of a file still equals the file. False if Linux gives no
    answer.
    """
    start, end = around(address, size_bytes)
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with suppress(OSError):
            return not _any(fd, start, end, of=_THERE, no=_OF_FILE)
        with suppress(OSError):  # before Linux 6.7
            return _all_of_file(fd, start, end)
        return False
    finally:
        os.close(fd)


def _all_of_file(pagemap: int, start: int, end: int) -> bool:
    """The same, page by page."""
    for first in range(start // PAGE_BYTES, end // PAGE_BYTES, _CHUNK_PAGES):
        count = min(_CHUNK_PAGES, end // PAGE_BYTES - first)
        entries = os.pread(pagemap, 8 * count, 8 * first)
        if len(entries) != 8 * count or any(map(_is_copy, set(entries[_HIGHEST::8]))):
            return False
    return True


_HIGHEST = 7 if sys.byteorder == "little" else 0


def _is_copy(entry: int) -> bool:
    return bool(entry & _SWAPPED_BIT) or (bool(entry & _PRESENT_BIT) and not entry & _FILE_BIT)


class Guard:
    """Ordinary private memory whose writes Linux records. Raises OSError where that is not
    possible.
    """

    def __init__(self) -> None:
        self._fd = self._pagemap = -1
        number = _USERFAULTFD.get(platform.machine())
        if number is None or sys.platform != "linux" or sys.byteorder != "little":
            raise OSError("no write protection on this platform")
        self._fd = ctypes.CDLL(None, use_errno=True).syscall(
            number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY
        )
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        try:
            _ioctl(self._fd, _API, "QQQ", 0xAA, _FEATURES, 0)
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Guard nothing more."""
        for fd in (self._fd, self._pagemap):
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)
        self._fd = self._pagemap = -1

    def guard(self, address: int, size_bytes: int) -> None:
        """Records writes from now on. OSError for memory that is not this process's own."""
        start, end = around(address, size_bytes)
        _ioctl(self._fd, _REGISTER, "QQQQ", start, end - start, _REGISTER_PROTECTION, 0)
        _ioctl(self._fd, _PROTECT, "QQQ", start, end - start, _PROTECT_NOW)

    def untouched(self, address: int, size_bytes: int) -> bool:
        """Whether no page was written, dropped or replaced since `guard`.

        False for memory that was never guarded, and for pages that others can write too: shared
        memory, and files that have been read.
        """
        start, end = around(address, size_bytes)
        try:
            # Written; or dropped together with its protection, because freed memory reads as zeros.
            asked = ({"of": _WRITTEN}, {"of": _OF_FILE}, {"no": _THERE})
            return not any(
                _any(self._pagemap, start, end, **wanted, flags=_ONLY_GUARDED) for wanted in asked
            )
        except OSError:
            return False

    def release(self, address: int, size_bytes: int) -> None:
        """Stops recording its writes."""
        start, end = around(address, size_bytes)
        with suppress(OSError):
            _ioctl(self._fd, _UNREGISTER, "QQ", start, end - start)


def _any(pagemap: int, start: int, end: int, *, of: int = 0, no: int = 0, flags: int = 0) -> bool:
    """Whether any page is in one of the categories `of` (if given) and in none of `no`. One
    question for all pages: missing parts of the page tables, and large pages, cost nothing.
    """
    found = (ctypes.c_uint64 * 3)()
    asked = 96, flags, start, end, 0, ctypes.addressof(found), 1, 1, no, no, of, of | no
    return _ioctl(pagemap, _SCAN, "12Q", *asked) > 0


def _ioctl(fd: int, request: int, layout: str, *values: int) -> int:
    import fcntl  # not on Windows

    return fcntl.ioctl(fd, request, bytearray(struct.pack(layout, *values)))
