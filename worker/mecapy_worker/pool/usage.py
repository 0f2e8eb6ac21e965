"""Measures each running child: processes, memory, disk, CPU time.

Reads /proc and folders, and ends nobody. Memory is the count of the child's control group. Without
one it is `Pss_Dirty`, where pages shared with the zygote or among forks are not counted twice.
`UsageMeter` blocks, so call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mecapy_worker.pool.child_groups import ChildGroup, lies_in_memory
from mecapy_worker.pool.kernel_memory import kernel_bytes, lock_bytes, mapping_bytes
from mecapy_worker.pool.unlinked_files import unlinked
from mecapy_worker.shared import libc

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_O_PATH: int = getattr(os, "O_PATH", 0)  # not on macOS
_DEEPEST, _STAT_BYTES = 100, 4096
ENDLESS = 1 << 62
"""Reported for what cannot be counted: a folder that is too deep, or that the child keeps closing.
"""
_LARGE_BYTES = 1 << 20
LEAST_BYTES = 4096
"""The size of an empty file or folder, because a disk can run out of files, too."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One measurement of one child."""

    processes: int
    memory_bytes: int
    disk_bytes: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Files:
    """One look at a child's files and mappings. `known`: the large ones by inode; `again_at`: not
    before, of the monotonic clock.
    """

    disk_bytes: int = 0
    mapping_bytes: int = 0
    known: dict[int, int] = field(default_factory=dict[int, int])
    again_at: float = 0.0


class UsageMeter:
    """Keeps from one measurement to the next what need not be read again."""

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}
        self._folders: dict[Path, _Files] = {}

    def members(self, children: Collection[int]) -> dict[int, list[int]]:
        """The processes of each group. Cheap and non-blocking. A process that is not ours is read
        once.
        """
        present = libc.pids()
        self._groups = {pid: group for pid, group in self._groups.items() if pid in present}
        for pid in present - self._groups.keys():
            with contextlib.suppress(OSError):
                self._groups[pid] = os.getpgid(pid)
        # Perhaps seen before it had its own group.
        self._groups |= {pid: pid for pid in present.intersection(children)}
        members: dict[int, list[int]] = {group: [] for group in children}
        for pid, group in self._groups.items():
            if group in members:
                members[group].append(pid)
        return members

    def measure(
        self,
        members: Mapping[int, list[int]],
        roots: Mapping[int, Path],
        groups: Mapping[int, ChildGroup | None],
        memory_bytes: int,
        *,
        exact: bool,
    ) -> dict[int, Usage]:
        """Usage by process group.

        Unless `exact`, memory is measured only where a cheap upper bound exceeds `memory_bytes`.
        May take long: reading a process's memory needs a lock that it holds while it forks, and in
        a fork bomb all processes wait for a processor.
        """
        self._folders = {
            root: folder for root, folder in self._folders.items() if root in roots.values()
        }
        return {
            group: self._usage(pids, roots[group], groups[group], memory_bytes, exact)
            for group, pids in members.items()
        }

    def _usage(
        self,
        pids: list[int],
        root: Path,
        group: ChildGroup | None,
        memory_bytes: int,
        exact: bool,
    ) -> Usage:
        files = self._look_at_files(root, pids)
        disk, locks = files.disk_bytes, lock_bytes(pids) if exact else 0
        if group is None:
            memory = files.mapping_bytes + _memory_bytes(pids, memory_bytes, exact)
        else:
            memory = group.memory_bytes()
            if memory > memory_bytes and lies_in_memory(root):  # its files are not counted twice
                memory -= min(disk, memory)
        return Usage(len(pids), memory + locks, disk, sum(map(cpu_s, pids)))

    def _look_at_files(self, root: Path, pids: list[int]) -> _Files:
        """Many files take long to count, so it is done less often, to stay below a tenth of a
        processor. The time that others had the processor does not make it rarer.
        """
        before = self._folders.get(root, _Files())
        if time.monotonic() < before.again_at:
            return before
        began = time.thread_time()
        disk_bytes, mappings_bytes, known = before.disk_bytes, before.mapping_bytes, before.known
        try:
            named: dict[int, int] = {}
            disk_bytes = tree_bytes(_open_folder(str(root)), named)
            hidden = unlinked(root, pids, _private_shm(pids), known)
            disk_bytes += sum(hidden.disk_bytes.values())
            mappings_bytes, known = mapping_bytes(hidden.mappings), named | hidden.disk_bytes
        except PermissionError:
            disk_bytes = ENDLESS
        except OSError:  # it is gone
            pass
        again_at = time.monotonic() + 10 * (time.thread_time() - began)
        found = _Files(disk_bytes, mappings_bytes, known, again_at)
        self._folders[root] = found
        return found


def tree_bytes(folder: int, large: dict[int, int] | None = None, depth: int = 0) -> int:
    """Bytes on disk below an open folder, which is closed; those of `large` files also by inode.
    Follows no link: its owner may change it meanwhile.
    """
    total = 0
    try:
        if depth > _DEEPEST:
            return ENDLESS
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    about = _stat(entry, folder)
                    size = max(about.st_blocks * 512, LEAST_BYTES)
                    total += size
                    if stat.S_ISDIR(about.st_mode):
                        total += tree_bytes(_open_folder(entry.name, folder), large, depth + 1)
                    elif large is not None and size >= _LARGE_BYTES:
                        large[about.st_ino] = size
                except PermissionError:
                    return ENDLESS  # what we have just opened is closed again
                except OSError:  # it went meanwhile
                    continue
    finally:
        os.close(folder)
    return total


def _stat(entry: os.DirEntry[str], folder: int) -> os.stat_result:
    try:
        return entry.stat(follow_symlinks=False)
    except PermissionError:  # a folder that may be listed and not entered
        os.fchmod(folder, 0o700)
        return entry.stat(follow_symlinks=False)


def _open_folder(name: str, parent: int | None = None) -> int:
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=parent)
    except PermissionError:
        # hidden from us, who are the same user: make it readable through a handle that cannot be
        # swapped
        handle = os.open(name, _O_PATH | flags, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
            return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)


def _memory_bytes(pids: list[int], most: int, exact: bool) -> int:
    """The memory, counted without a control group."""
    shm = _private_shm_bytes(pids)
    besides = (shm or 0) + kernel_bytes(pids, exact=exact)
    memory = sum(map(_anonymous_bytes, pids)) + besides
    if exact or memory > most:
        memory = sum(_own_bytes(pid, with_shm=shm is None) for pid in pids) + besides
    return memory


def _anonymous_bytes(pid: int) -> int:
    """A cheap upper bound: resident pages that are not a file's, shared with the zygote or not."""
    with contextlib.suppress(OSError):
        _size, resident, shared, *_rest = Path("/proc", str(pid), "statm").read_text().split()
        return max(0, int(resident) - int(shared)) * _PAGE_BYTES
    return 0


def _own_bytes(pid: int, *, with_shm: bool) -> int:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()[1:]
    except ProcessLookupError:
        return 0
    except OSError:
        return _anonymous_bytes(pid)  # it made itself unreadable
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    private_bytes = sizes.get("Pss_Dirty", sizes.get("Private_Dirty", 0)) + sizes.get("SwapPss", 0)
    return private_bytes if with_shm else max(0, private_bytes - sizes.get("Pss_Shmem", 0))


def _private_shm(pids: list[int]) -> int | None:
    """The device of the child's own /dev/shm; None if it has none."""
    for pid in pids:
        with contextlib.suppress(OSError):
            device = Path("/proc", str(pid), "root", "dev", "shm").stat().st_dev
            return device if device != Path("/dev/shm").stat().st_dev else None
    return None


def _private_shm_bytes(pids: list[int]) -> int | None:
    """The content of the child's own /dev/shm, mapped or not; None if it has none."""
    if _private_shm(pids) is not None:
        for pid in pids:
            with contextlib.suppress(OSError):
                about = os.statvfs(Path("/proc", str(pid), "root", "dev", "shm"))
                return (about.f_blocks - about.f_bfree) * about.f_frsize
    return None


def cpu_s(pid: int) -> float:
    """Processor time of one process, and of its children already reaped."""
    with contextlib.suppress(OSError):
        return sum(map(int, _stat_of(pid)[11:15])) / _TICKS_PER_S
    return 0.0


def _stat_of(pid: int) -> list[bytes]:
    """The fields of proc_pid_stat(5) from the state on."""
    # Twice per task: pathlib would take four times as long.
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _STAT_BYTES).rpartition(b")")[2].split()
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A process' main thread: how long it has run, how long it has waited for a processor that
    others had, and whether it runs or waits for one now, which is in neither yet.
    """

    ran_s: float = 0.0
    waited_s: float = 0.0
    runnable: bool = False


def scheduled(pid: int) -> Scheduled:
    """All zero where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ran, waited = map(int, Path("/proc", str(pid), "schedstat").read_text().split()[:2])
        return Scheduled(ran / 1e9, waited / 1e9, _stat_of(pid)[0] == b"R")
    return Scheduled()
