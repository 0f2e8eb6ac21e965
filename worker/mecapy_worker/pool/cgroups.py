"""A control group around all children of one pool, where the worker may create one, and in it one
for each child. The outer one bounds memory and processes, the inner one memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

from mecapy_worker.pool.child_groups import ChildGroup
from mecapy_worker.shared import folder_lock, libc

_NAMES = itertools.count(1)
_PREFIX = "mecapy-"
_GONE_WITHIN_S = 2.0
_CONTROLLERS = ("memory", "pids")
_ZYGOTE, _CHILD = "zygote", "child-"
_MOST_IDLE = 8


class Cgroup:
    """Raises OSError with the reason if it cannot be created; `close` it when all in it are
    dead.
    """

    def __init__(self, memory_bytes: int, processes: int, child_bytes: int) -> None:
        if not libc.LINUX:
            raise OSError("control groups exist on Linux only")
        self._child_bytes, self._numbers = child_bytes, itertools.count(1)
        self._idle: list[ChildGroup] = []
        self.version, places = _ours()
        self._folders, self._locks = dict[str, Path](), list[int]()
        try:
            for place in dict.fromkeys(places.values()):
                self._make_below(place, [one for one in places if places[one] == place])
            limit = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
            (self._folders["memory"] / limit).write_text(str(memory_bytes))
            (self._folders["pids"] / "pids.max").write_text(str(processes))
            if self.version == 2:
                (self._folders["memory"] / _ZYGOTE).mkdir()
                _give_controllers(self._folders["memory"])
            self._idle.append(self._new_child_group())
        except OSError as error:
            self.close()
            raise OSError(
                f"none is delegated to us ({error.strerror}: {error.filename or places['memory']})"
            ) from error

    def _make_below(self, place: Path, controllers: list[str]) -> None:
        """And remove what crashed workers left there."""
        for left in folder_lock.left(place.glob(_PREFIX + "*")):
            with contextlib.suppress(OSError):  # a process of theirs lives
                _remove(left)
        folder, lock = folder_lock.made(lambda: _made(place))
        self._folders |= dict.fromkeys(controllers, folder)
        self._locks.append(lock)

    def take(self, zygote: int) -> None:
        """Add the zygote, and with it everything it starts."""
        for folder in dict.fromkeys(self._folders.values()):
            place = folder / _ZYGOTE if self.version == 2 else folder
            (place / "cgroup.procs").write_text(str(zygote))

    def take_child(self, pid: int) -> ChildGroup:
        """Put a newly forked child into its own group. OSError if impossible."""
        group = next((one for one in self._idle if one.reusable()), None)
        if group is None:
            group = self._new_child_group()
        else:
            self._idle.remove(group)
        try:
            group.take(pid)
        except OSError:
            self.give_back(group)
            raise
        return group

    def give_back(self, group: ChildGroup) -> None:
        """Its child is dead. Its memory may be counted for a while."""
        self._idle.append(group)
        if len(self._idle) > _MOST_IDLE:
            with contextlib.suppress(OSError):
                self._idle.pop(0).folder.rmdir()

    def _new_child_group(self) -> ChildGroup:
        folder = self._folders["memory"] / f"{_CHILD}{next(self._numbers)}"
        return ChildGroup(folder, self.version, self._child_bytes)

    def close(self) -> None:
        until = time.monotonic() + _GONE_WITHIN_S
        for folder in dict.fromkeys(self._folders.values()):
            while folder.exists():
                try:
                    _remove(folder)
                except OSError:  # the last process is dead, but its pages are still counted
                    if time.monotonic() > until:
                        break  # the next worker removes it
                    time.sleep(0.01)
        while self._locks:
            os.close(self._locks.pop())


def _ours() -> tuple[int, dict[str, Path]]:
    """The version, and where our own group lies for each controller."""
    mounts = {(kind, option): place for place, kind, options in _mounts() for option in options}
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    named = {
        controller: path
        for _number, controllers, path in lines
        for controller in controllers.split(",")
    }
    if all(("cgroup", controller) in mounts and controller in named for controller in _CONTROLLERS):
        return 1, {
            controller: mounts["cgroup", controller] / named[controller].lstrip("/")
            for controller in _CONTROLLERS
        }
    unified = next((place for place, kind, _options in _mounts() if kind == "cgroup2"), None)
    if unified is None or "" not in named:
        raise OSError("no control groups for memory and processes are mounted")
    group = unified / named[""].lstrip("/")
    _enable(group)
    return 2, dict.fromkeys(_CONTROLLERS, group)


def _mounts() -> list[tuple[Path, str, list[str]]]:
    found: list[tuple[Path, str, list[str]]] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(before.split()[4]), kind, options.split(",")))
    return found


def _enable(group: Path) -> None:
    """Version 2 allows controllers only below groups without processes, so move aside if this
    process is alone in its group.
    """
    if set(_CONTROLLERS) <= set((group / "cgroup.subtree_control").read_text().split()):
        return
    if not set(_CONTROLLERS) <= set((group / "cgroup.controllers").read_text().split()):
        raise OSError("memory and pids are not delegated to our control group")
    if (group / "cgroup.procs").read_text().split() == [str(os.getpid())] and os.access(
        group, os.W_OK
    ):
        (group / "worker").mkdir(exist_ok=True)
        (group / "worker" / "cgroup.procs").write_text(str(os.getpid()))
    _give_controllers(group)


def _give_controllers(folder: Path) -> None:
    (folder / "cgroup.subtree_control").write_text(
        " ".join(f"+{controller}" for controller in _CONTROLLERS)
    )


def _remove(folder: Path) -> None:
    """Remove a group and those below it."""
    for below in (*folder.glob(_CHILD + "*"), *folder.glob(_ZYGOTE)):
        below.rmdir()
    folder.rmdir()


def _made(place: Path) -> Path:
    folder = place / f"{_PREFIX}{os.getpid()}-{next(_NAMES)}"
    folder.mkdir()
    return folder
