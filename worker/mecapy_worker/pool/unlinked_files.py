"""Disk space of a child's deleted files that are open or mapped, which no folder shows."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Unlinked:
    """`disk_bytes` by inode; `mappings`: how many each process has, files or not."""

    disk_bytes: dict[int, int]
    mappings: tuple[int, ...]


def unlinked(
    root: Path, pids: list[int], in_memory: int | None, known: Mapping[int, int]
) -> Unlinked:
    """`known`: sizes of files by inode, from when they had a name or were open; `in_memory`: the
    device of files that count as memory.
    """
    sizes: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    about = entry.stat()
                    if about.st_dev == in_memory:
                        continue
                    if about.st_nlink == 0 and stat.S_ISREG(about.st_mode):
                        sizes[about.st_ino] = about.st_blocks * 512
    mapped: dict[int, int] = {}
    mappings = list[int]()
    for pid in pids:
        lines = _mappings(pid)
        mappings.append(len(lines))
        for inode, size in _mapped_and_deleted(pid, lines, bytes(root)):
            if inode not in sizes:
                mapped[inode] = max(size, mapped.get(inode, 0), known.get(inode, 0))
    return Unlinked(sizes | mapped, tuple(mappings))


def _mappings(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "maps").read_bytes().splitlines()
    return []


def _mapped_and_deleted(pid: int, lines: list[bytes], root: bytes) -> Iterator[tuple[int, int]]:
    """The inode and size of each mapped deleted file. If its size may not be read, at least the end
    of the mapping.
    """
    for line in lines:
        if line.endswith(b" (deleted)") and line.split(None, 5)[5].startswith(root + b"/"):
            places, _rights, offset, _device, inode, _name = line.split(None, 5)
            start, end = (int(place, 16) for place in places.split(b"-"))
            size = int(offset, 16) + end - start
            with contextlib.suppress(OSError):  # only root may
                size = os.stat(f"/proc/{pid}/map_files/{start:x}-{end:x}").st_blocks * 512  # noqa: PTH116
            yield int(inode), size
