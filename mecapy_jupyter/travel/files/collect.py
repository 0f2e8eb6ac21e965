"""Collects what a finished cell wrote, created and deleted in its folder. Runs in the child."""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import stat
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mecapy_jupyter.travel.files import placeholders
from mecapy_jupyter.travel.files.index import Index, inside

Files = dict[str, Any]
"""Relative path with slashes → content (the buffer protocol)."""

SMALL_BYTES = 1_000_000
"""Files that do not come home are kept for `%mecapy get` up to this size."""

_CLOCK_NS = 1_000_000_000
"""A file system's clock may differ from Python's by less than this."""
_SMALL_TOTAL_BYTES, _MOST_LISTED = 8_000_000, 100_000


class Mark(NamedTuple):
    """Identifies the version of a file. A tuple, because there are many."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(slots=True)
class Listing:
    files: dict[str, Mark] = field(default_factory=dict[str, Mark])
    folders: list[str] = field(default_factory=list[str])
    links: list[str] = field(default_factory=list[str])
    at_ns: int = field(default_factory=time.time_ns)


@dataclass(frozen=True, slots=True)
class Collected:
    """What comes home. `files`: contents of written files, in the order of their times; `modes`:
    theirs on the worker; `folders`: new ones; `stays`: path → (size, whether it can be
    fetched later); `deleted`: of the files that were sent; `ended_in`: the final folder, relative
    to the first; `looked`: folders that it listed and files that it failed to open; `links`: new
    ones, with their targets; `times`: those that the cell has set (`os.utime`).
    """

    files: Files = field(default_factory=dict[str, Any])
    modes: dict[str, int] = field(default_factory=dict[str, int])
    folders: tuple[str, ...] = ()
    stays: dict[str, tuple[int, bool]] = field(default_factory=dict[str, tuple[int, bool]])
    deleted: tuple[str, ...] = ()
    ended_in: str = "."
    looked: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    times: dict[str, int] = field(default_factory=dict[str, int])


def listing(folder: str, without: str = "") -> Listing:
    """The files of a folder, without hidden folders and caches, and without one below it."""
    found, todo = Listing(), deque([""])
    while todo:
        below = todo.popleft()
        if without and below == f"{without}/":
            continue
        with contextlib.suppress(OSError), os.scandir(f"{folder}/{below}") as entries:
            for entry in entries:
                _list(entry, below + entry.name, found, todo)
    return found


def _list(entry: os.DirEntry[str], path: str, found: Listing, todo: deque[str]) -> None:
    if entry.is_symlink():
        found.links.append(path)
    elif entry.is_dir():
        if not entry.name.startswith((".", "__pycache__")):
            found.folders.append(path)
            todo.append(f"{path}/")
    elif len(found.files) < _MOST_LISTED:
        with contextlib.suppress(OSError):
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(about.st_mode):
                found.files[path] = Mark(about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def collect(
    folder: str, before: Listing, keep: Iterable[str], index: Index
) -> tuple[Collected, dict[str, bytes]]:
    """What comes home, and the contents of small files that stay, for later requests."""
    looked = placeholders.looked_at()
    patterns = list(keep)
    kept = gather(patterns, Path(folder))
    now = listing(folder)
    written = {
        name: mark.size_bytes
        for name, mark in now.files.items()
        if before.files.get(name) != mark and name not in kept and _is_whole(f"{folder}/{name}")
    }
    home = _by_themselves(written, index) if index.automatic else []
    times = {name: os.stat(f"{folder}/{name}").st_mtime_ns for name in (*home, *kept)}  # noqa: PTH116
    contents = {
        name: kept.get(name) or pickle.PickleBuffer(_content(Path(folder, name)))
        for name in sorted(times, key=lambda name: (times[name], name))
    }
    stays = {name: size for name, size in written.items() if name not in contents}
    small = _small(Path(folder), stays)
    made = [path for path in now.folders if path not in before.folders]
    return (
        Collected(
            contents,
            {name: _mode(f"{folder}/{name}") for name in contents},
            tuple(made[: index.most_files]) if index.automatic else (),
            {name: (size, name in small) for name, size in stays.items()},
            _deleted(folder, index, now),
            _ended_in(folder, index),
            tuple(looked),
            _new_links(folder, before, now),
            {name: time_ns for name, time_ns in times.items() if _is_set(time_ns, before, now)},
        ),
        small,
    )


def above(folder: str, index: Index) -> dict[str, Mark]:
    """The files of the task's folder that are not below the cell's, relative to that."""
    if index.start == ".":
        return {}
    task_folder = folder.removesuffix(f"/{index.start}")
    found = listing(task_folder, without=index.start).files
    return {os.path.relpath(f"{task_folder}/{path}", folder): found[path] for path in found}


def _is_set(time_ns: int, before: Listing, now: Listing) -> bool:
    """Whether the cell cannot have written the file then."""
    return not before.at_ns - _CLOCK_NS < time_ns < now.at_ns + _CLOCK_NS


def _new_links(folder: str, before: Listing, now: Listing) -> tuple[tuple[str, str], ...]:
    new = set(now.links).difference(before.links)
    return tuple((path, os.readlink(f"{folder}/{path}")) for path in sorted(new))  # noqa: PTH115


def gather(patterns: Iterable[str], folder: Path) -> Files:
    """The regular files of `folder` that match; contents mapped, not read."""
    return {
        path.relative_to(folder).as_posix(): pickle.PickleBuffer(_content(path))
        for pattern in patterns
        for path in sorted(folder.glob(inside(pattern)))
        if path.is_file() and not path.is_symlink() and _is_whole(str(path))
    }


def _deleted(folder: str, index: Index, now: Listing) -> tuple[str, ...]:
    """The deleted ones among the files that were sent. A listing leaves some out."""
    missing = (path for path in index.paths if path not in now.files)
    return tuple(sorted(path for path in missing if not os.path.lexists(f"{folder}/{path}")))


def _by_themselves(written: Mapping[str, int], index: Index) -> list[str]:
    """The files that come home automatically, small ones first: no code and no notebooks."""
    chosen: list[str] = []
    left_bytes = index.most_bytes
    for name, size in sorted(written.items(), key=lambda one: (one[1], one[0])):
        if len(chosen) < index.most_files and size <= left_bytes and comes_by_itself(name):
            chosen.append(name)
            left_bytes -= size
    return chosen


def comes_by_itself(name: str) -> bool:
    """Whether a file of this name may come home automatically."""
    return not name.endswith((".py", ".ipynb")) and not any(
        part.startswith(".") for part in name.split("/")
    )


def _is_whole(path: str) -> bool:
    try:
        if placeholders.untouched(path):
            return False
        if not os.lstat(path).st_mode & 0o400:
            os.chmod(path, 0o644)  # noqa: PTH101 a shell has written it anew
    except OSError:
        return False
    return True


def _mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 as in `_is_whole`


def _small(folder: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The contents of the files to keep: each small, and not too much together."""
    found: dict[str, bytes] = {}
    total = 0
    for name, size in sizes.items():
        if size <= SMALL_BYTES and total + size <= _SMALL_TOTAL_BYTES:
            with contextlib.suppress(OSError):
                found[name] = (folder / name).read_bytes()
                total += size
    return found


def _ended_in(folder: str, index: Index) -> str:
    """Relative to the first folder; absolute for a place outside the task's folder."""
    now = os.getcwd()  # noqa: PTH109 as in `lay_out`
    task_folder = folder if index.start == "." else folder.removesuffix(f"/{index.start}")
    inside_it = now == task_folder or now.startswith(f"{task_folder}/")
    return os.path.relpath(now, folder) if inside_it else now


def _content(path: Path) -> Any:
    """Mapped. A small file is read, because each map holds a descriptor and files may be many."""
    if path.stat().st_size < SMALL_BYTES:
        return path.read_bytes()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
