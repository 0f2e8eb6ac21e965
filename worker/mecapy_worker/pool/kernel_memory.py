"""What the kernel may hold for a child's processes, where no control group counts it: an upper
bound from what can be read of them in /proc. Not seen: file locks, mappings by the ten thousand,
sockets that lie unread in sockets.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# What one may hold at most: a socket unread data (net.core.wmem_default; no task can raise it), a
# pipe its pages, the first 64 MiB of a user's; an epoll item; a descriptor's file and what is
# behind it.
_SOCKET_BYTES = 212_992
_PIPE_BYTES, _LATE_PIPE_BYTES, _EARLY_PIPES = 64 << 10, 8 << 10, 1024
_ITEM_BYTES, _FILE_BYTES = 192, 1024
# As many as an ordinary task has are not counted: theirs are empty.
_FREE_SOCKETS, _FREE_PIPES, _FREE_ITEMS, _FREE_FILES = 64, 64, 20_000, 1000


@dataclass(slots=True)
class _Held:
    """Descriptors of all processes together; a socket or a pipe that several hold is one."""

    sockets: set[str] = field(default_factory=set[str])
    pipes: set[str] = field(default_factory=set[str])
    epolls: int = 0
    files: int = 0


def kernel_bytes(pids: Iterable[int]) -> int:
    """For all these processes, which are one child's."""
    held, tables = _Held(), 0
    for pid in pids:
        tables += _page_table_bytes(pid)
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    _note(held, os.readlink(entry.path))  # noqa: PTH115 (thousands, often)
    pipes = max(0, len(held.pipes) - _FREE_PIPES)
    early = min(pipes, _EARLY_PIPES)
    return (
        tables
        + max(0, len(held.sockets) - _FREE_SOCKETS) * _SOCKET_BYTES
        + early * _PIPE_BYTES
        + (pipes - early) * _LATE_PIPE_BYTES
        + max(0, held.epolls * held.files - _FREE_ITEMS) * _ITEM_BYTES
        + max(0, held.files - _FREE_FILES) * _FILE_BYTES
    )


def _note(held: _Held, name: str) -> None:
    held.files += 1
    if name.startswith("socket:"):
        held.sockets.add(name)
    elif name.startswith("pipe:"):
        held.pipes.add(name)
    elif name == "anon_inode:[eventpoll]":
        held.epolls += 1


def _page_table_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), "status").read_text(errors="replace").splitlines():
            if line.startswith("VmPTE:"):
                return int(line.split()[1]) * 1024
    return 0
