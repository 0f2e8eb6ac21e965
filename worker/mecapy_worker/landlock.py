"""Landlock: which files a child may open, no TCP, and no signals to anybody outside. See landlock(7).

Only ever takes rights away from the calling thread, so it is called while the child is single-threaded.
`sandbox` says which paths; next in the line is `seccomp`.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from mecapy_worker import libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture
_GET_VERSION, _PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REFER, TRUNCATE, IOCTL_DEV = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14, 1 << 15
_ALL_BY_VERSION = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (1 << 16) - 1 - IOCTL_DEV - (1 << 6) - (1 << 11)  # all but devices: no device node is made, no ioctl on one
NO_LISTING = WRITE & ~(READ_DIR | EXECUTE)  # names must be known: for a place children share

_TCP_BIND_AND_CONNECT = 3  # since version 4
_SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 3  # since version 6


class _Attributes(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # Python 3.14 wants packing named; older ones ignore it
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0: none. 4 brings TCP, 6 signals and abstract sockets."""
    try:
        return libc.syscall(_CREATE, 0, 0, _GET_VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[Path, int]]) -> None:
    """From here on this thread and all it starts reach only these paths, each with its rights. Paths that do not exist are skipped."""
    known = version()
    handled = sum(rights for since, rights in _ALL_BY_VERSION if known >= since)
    attributes = _Attributes(handled, _TCP_BIND_AND_CONNECT if known >= 4 else 0, _SCOPE_ABSTRACT_UNIX_AND_SIGNAL if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = libc.syscall(_CREATE, ctypes.addressof(attributes), size, 0)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        libc.syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        beneath = _Beneath(rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _ON_FILES, fd)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.addressof(beneath), 0)
    finally:
        os.close(fd)
