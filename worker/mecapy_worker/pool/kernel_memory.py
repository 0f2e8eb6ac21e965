"""An upper bound of the memory that the kernel may hold for a child's processes, from /proc, for
machines without a control group. Not seen: sockets that lie unread in a socket that lies unread
itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# The most that one may hold: a socket its unread data (net.core.wmem_default; no task can raise
# it), a pipe its pages (the first 64 MiB of a user's), an epoll item, a descriptor its file and
# what is behind it.
_SOCKET_BYTES = 212_992
_PIPE_BYTES, _LATE_PIPE_BYTES, _EARLY_PIPES = 64 << 10, 8 << 10, 1024
_ITEM_BYTES, _FILE_BYTES = 192, 1024
_MAPPING_BYTES, _LOCK_BYTES = 320, 256
_MOST_SOCKETS = 4096
# An ordinary task has this many, and they are empty, so they are not counted.
_FREE_SOCKETS, _FREE_PIPES, _FREE_ITEMS, _FREE_FILES = 64, 64, 20_000, 1000
_FREE_MAPPINGS, _FREE_LOCKS = 4000, 1000
_FEW_LOCKS_BYTES = 64 << 10  # the list of all locks of a machine, where nobody has many
_MOST_READ_BYTES = 4 << 20
_MOST_LOCKS = 1 << 23
COUNTLESS = 1 << 50


@dataclass(slots=True)
class _Held:
    """Descriptors of all processes together; a socket or pipe that several hold counts once."""

    sockets: set[str] = field(default_factory=set[str])
    pipes: set[str] = field(default_factory=set[str])
    epolls: int = 0
    files: int = 0
    unread: int = 0


def mapping_bytes(counts: Iterable[int]) -> int:
    """Memory for the mappings of each process."""
    return sum(max(0, count - _FREE_MAPPINGS) for count in counts) * _MAPPING_BYTES


def kernel_bytes(pids: Iterable[int], *, exact: bool) -> int:
    """Memory for all processes of one child. What takes long to find is counted only if `exact`."""
    held, tables = _Held(), 0
    for pid in pids:
        tables += _page_table_bytes(pid)
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    name = os.readlink(entry.path)  # noqa: PTH115 (thousands, often)
                    is_new_socket = name.startswith("socket:") and name not in held.sockets
                    _note(held, name)
                    if exact and is_new_socket and len(held.sockets) < _MOST_SOCKETS:
                        held.unread += _unread(f"/proc/{pid}/fdinfo/{entry.name}")
    pipes = max(0, len(held.pipes) - _FREE_PIPES)
    early = min(pipes, _EARLY_PIPES)
    return (
        tables
        + max(0, len(held.sockets) + held.unread - _FREE_SOCKETS) * _SOCKET_BYTES
        + early * _PIPE_BYTES
        + (pipes - early) * _LATE_PIPE_BYTES
        + max(0, held.epolls * held.files - _FREE_ITEMS) * _ITEM_BYTES
        + max(0, held.files - _FREE_FILES) * _FILE_BYTES
    )


def lock_bytes(pids: Iterable[int]) -> int:
    """Memory for the file locks of these processes, which control groups do not count either."""
    found = 0
    if not _many_locks():
        return 0
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path).startswith("/"):  # noqa: PTH115
                        found += _locks(f"/proc/{pid}/fdinfo/{entry.name}")
                    if found >= _MOST_LOCKS:
                        return COUNTLESS
    return max(0, found - _FREE_LOCKS) * _LOCK_BYTES


def _note(held: _Held, name: str) -> None:
    held.files += 1
    if name.startswith("socket:"):
        held.sockets.add(name)
    elif name.startswith("pipe:"):
        held.pipes.add(name)
    elif name == "anon_inode:[eventpoll]":
        held.epolls += 1


def _unread(fdinfo: str) -> int:
    """How many descriptors lie in a socket unread: each may be a full socket."""
    with open(fdinfo, "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"scm_fds:"):
                return int(line.split()[1])
    return 0


def _many_locks() -> bool:
    """Whether any process on this machine holds many locks; reading all of them would take long."""
    with contextlib.suppress(OSError), Path("/proc/locks").open("rb") as file:
        return len(file.read(_FEW_LOCKS_BYTES)) == _FEW_LOCKS_BYTES
    return False


def _locks(fdinfo: str) -> int:
    """The locks of one file; a number above the limit if there are more than are read."""
    with open(fdinfo, "rb") as file:  # noqa: PTH123
        text = file.read(_MOST_READ_BYTES)
    return text.count(b"\nlock:") if len(text) < _MOST_READ_BYTES else COUNTLESS


def _page_table_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), "status").read_text(errors="replace").splitlines():
            if line.startswith("VmPTE:"):
                return int(line.split()[1]) * 1024
    return 0
