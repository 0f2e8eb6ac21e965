"""Unpacks the folder for the cell: files with contents and times, others with their size only. In
the child, before the other inputs are opened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from mecapy_jupyter.travel.files import placeholders
from mecapy_jupyter.travel.files.index import NO_PACK, Carried, Entry, Index, inside

_WRITE_ONLY = 0o200
_OWN, _OWN_PROGRAM = 0o600, 0o700
_MANY = 16
"""From so many files on, comparing them with those of an earlier task pays."""


def lay_out(
    carried: Carried, buffers: Sequence[Any], earlier: Callable[[str], bool] = lambda _: False
) -> Index:
    """Write the folder below the current one and change into it. `buffers`: all buffers beside the
    stream; `earlier`: puts the folder of an earlier task from `home` in place of the current one,
    if there is one.
    """
    beside = iter(buffers[len(buffers) - carried.beside :])
    texts = [next(beside) if part is None else part for part in carried.parts]
    index = Index.decode(texts[0])
    packs = [memoryview(pack).cast("B") for pack in texts[1:]]
    task_folder = os.getcwd()  # noqa: PTH109 what every child loads costs it pages
    made: set[str] = {""}
    same: set[str] = set()
    if len(index.entries) >= _MANY and earlier(index.home):
        os.chdir(task_folder)
        same = _kept(index, packs)
    for path in (*index.folders, *([] if index.start == "." else [index.start])):
        _make(path, made)
    sizes: dict[str, int] = {}
    for entry in index.entries:
        if entry.path in same:
            continue
        _make(inside(entry.path).rpartition("/")[0], made)
        if entry.pack == NO_PACK:
            _appear(entry)
            sizes[f"{task_folder}/{entry.path}"] = entry.size_bytes
        else:
            _write(entry, packs[entry.pack])
    for path, target in index.links:
        _make(inside(path).rpartition("/")[0], made)
        with contextlib.suppress(FileExistsError):  # its target came by `--files`
            os.symlink(target, path)  # noqa: PTH211
    os.chdir(index.start)
    partial = frozenset(f"{task_folder}/{path}".rstrip("/") for path in index.partial)
    placeholders.watch(sizes, partial, task_folder)
    return index


def _kept(index: Index, packs: Sequence[memoryview]) -> set[str]:
    """The files that are as they would be written. All others are removed."""
    wanted = {entry.path: entry for entry in index.entries if entry.pack != NO_PACK}
    folders = {"", index.start, *index.folders}
    same: set[str] = set()
    for parent, _, names in os.walk(".", topdown=False):
        below = parent[2:] + "/" if parent != "." else ""
        for name in names:
            entry = wanted.get(path := below + name)
            if entry is not None and _is_same(entry, packs[entry.pack]):
                same.add(path)
            else:
                os.unlink(path)  # noqa: PTH108
        if below[:-1] not in folders:
            with contextlib.suppress(OSError):  # a file of `--files` is in it
                os.rmdir(parent)  # noqa: PTH106
    return same


def _is_same(entry: Entry, pack: memoryview) -> bool:
    fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        about = os.fstat(fd)
        return (
            about.st_size == entry.size_bytes
            and about.st_mtime_ns == entry.mtime_ns
            and about.st_mode & 0o7777 == (_OWN_PROGRAM if entry.executable else _OWN)
            and os.read(fd, entry.size_bytes)
            == bytes(pack[entry.offset : entry.offset + entry.size_bytes])
        )
    finally:
        os.close(fd)


def _make(path: str, made: set[str]) -> None:
    if path not in made:
        os.makedirs(inside(path), exist_ok=True)  # noqa: PTH103
        made.add(path)


def _write(entry: Entry, pack: memoryview) -> None:
    mode = _OWN_PROGRAM if entry.executable else _OWN
    fd = os.open(entry.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        content = pack[entry.offset : entry.offset + entry.size_bytes]
        while len(content):
            content = content[os.write(fd, content) :]
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
    finally:
        os.close(fd)


def _appear(entry: Entry) -> None:
    """A file that can be found, replaced and deleted, but not read."""
    fd = os.open(entry.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _WRITE_ONLY)
    try:
        with contextlib.suppress(OSError):  # larger than the limit of a task's files
            os.ftruncate(fd, entry.size_bytes)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
    finally:
        os.close(fd)
