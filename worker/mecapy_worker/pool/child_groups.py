"""A control group for each child, below its pool's.

It counts all memory of the child, kernel memory included (socket buffers, page tables, unmapped
shared memory), and the child that exceeds its limit is ended. Groups are reused, because an empty
one costs a child a single write.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Above the limit of the watch, because kernel memory counts here and not there. So the watch, which
# names the reason, stops ordinary tasks first.
_SPARE_BYTES = 64 << 20
_LEFT_BYTES = 16 << 20


def group_bytes(memory_bytes: int) -> int:
    """What the kernel lets a child have that may use `memory_bytes`."""
    return memory_bytes + memory_bytes // 8 + _SPARE_BYTES


def lies_in_memory(place: Path) -> bool:
    """Whether files written there are memory, which the kernel counts as such."""
    device = place.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == number:
            return after.split()[0] in ("tmpfs", "ramfs")
    return False


class ChildGroup:
    """One group. `limit_bytes`: the kernel's bound on all in it."""

    def __init__(self, folder: Path, version: int, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        folder.mkdir()
        limit, swap, kills = (
            ("memory.max", "memory.swap.max", "memory.events")
            if version == 2
            else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control")
        )
        (folder / limit).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):  # a kernel that does not count swap
            (folder / swap).write_text("0" if version == 2 else str(limit_bytes))
        if version == 2:
            (folder / "memory.oom.group").write_text("1")
        self._kills = folder / kills
        self._killed_before = 0

    def take(self, pid: int) -> None:
        """The child that was just forked, and with it all it will ever start."""
        self._killed_before = self._kills_by_now()
        (self.folder / "cgroup.procs").write_text(str(pid))

    def memory_bytes(self) -> int:
        """Its memory that is not a file on disk: own and shared pages, mapped or not.

        Kernel memory is left out, because it contains caches. The whole limit once Linux has killed
        one of its processes.
        """
        if self.over():
            return self.limit_bytes
        return self._held_bytes()

    def over(self) -> bool:
        """Whether Linux has killed a process in it for memory."""
        return self._kills_by_now() > self._killed_before

    def reusable(self) -> bool:
        """No process is in it, and almost nothing is counted for it."""
        with contextlib.suppress(OSError):
            return (
                not (self.folder / "cgroup.procs").read_text() and self._held_bytes() < _LEFT_BYTES
            )
        return False

    def _held_bytes(self) -> int:
        held = _fields(self.folder / "memory.stat")
        return held.get("anon", held.get("rss", 0)) + held.get("shmem", 0) + held.get("swap", 0)

    def _kills_by_now(self) -> int:
        return _fields(self._kills).get("oom_kill", 0)


def _fields(file: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    with contextlib.suppress(OSError):
        lines = [line.split() for line in file.read_text().splitlines()]
        return {line[0]: int(line[1]) for line in lines if len(line) == 2}
    return {}
