"""Landlock: which files a child may open, no TCP, and no signals to processes outside. See
landlock(7). Only takes rights away from the calling thread, so it is called while the child is
single-threaded.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mecapy_worker.shared import libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture
_GET_VERSION, _PATH_BENEATH, _NET_PORT, _TCP_CONNECT = 1, 1, 2, 2

EXECUTE = 1
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
_ALL_BY_VERSION = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
# All but devices: no device node is made, no ioctl on one.
WRITE = (1 << 16) - 1 - IOCTL_DEV - (1 << 6) - (1 << 11)
DEVICE = READ_FILE | WRITE_FILE | READ_DIR | IOCTL_DEV
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


@dataclass(frozen=True, slots=True)
class PathRule:
    """What may be done below a path that was opened before (`opened`); `close` it when no child
    needs it any more.
    """

    beneath: _Beneath
    address: int

    def close(self) -> None:
        os.close(self.beneath.parent)


_RULE_FDS_FROM = 16  # must not get a child's descriptor numbers, 0 to 3


def handled() -> int:
    """All rights that this kernel's Landlock can take away."""
    abi = version()
    return sum(rights for since, rights in _ALL_BY_VERSION if abi >= since)


def opened(path: str | Path, rights: int) -> PathRule | None:
    """A rule for `path`; None where it does not exist. The zygote opens what all children share,
    once.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        granted = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _ON_FILES
        beneath = _Beneath(
            granted & handled(), fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _RULE_FDS_FROM)
        )
        return PathRule(beneath, ctypes.addressof(beneath))
    finally:
        os.close(fd)


def restrict(rules: Iterable[PathRule], port: int = 0) -> None:
    """Let this thread and all that it starts reach only what these rules name, and by TCP this
    port alone.
    """
    abi = version()
    attributes = _Attributes(
        handled(),
        _TCP_BIND_AND_CONNECT if abi >= 4 else 0,
        _SCOPE_ABSTRACT_UNIX_AND_SIGNAL if abi >= 6 else 0,
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(_CREATE, ctypes.addressof(attributes), size)
    try:
        for rule in rules:
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule.address)
        if port and abi >= 4:
            reached = (ctypes.c_uint64 * 2)(_TCP_CONNECT, port)
            libc.syscall(_ADD_RULE, ruleset, _NET_PORT, ctypes.addressof(reached))
        libc.syscall(_RESTRICT, ruleset)
    finally:
        os.close(ruleset)
