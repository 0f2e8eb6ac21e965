"""Packs files of the notebook's folder for a cell: automatically up to the bounds, and everything
that `--files` names. Runs in the kernel.

`--files` may name files above the notebook's folder (`../data/x.csv`). The task's folder then
stands for the lowest folder that holds all of them, and the cell starts in a folder with the
notebook's name, so that the same path leads to the same file.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.travel.files import never_sent, packs
from mecapy_jupyter.travel.files.index import (
    MOST_BYTES,
    MOST_FILES,
    NO_PACK,
    Carried,
    Entry,
    Index,
    inside,
)
from mecapy_jupyter.travel.files.scan import SAID, SECRET, Found, Scan, scan, seen

_INLINE_BYTES = 16 * 1024
"""Up to this total, contents go into the stream itself, which saves a blob."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the folder travels automatically. `automatic` False: nothing, both ways."""

    most_bytes: int = MOST_BYTES
    most_files: int = MOST_FILES
    automatic: bool = True


@dataclass(frozen=True, slots=True)
class Along:
    """The index and its packs. `left`: what stays here, path → reason; `by_itself`: number and
    bytes of the files that nobody named; `too_large`: files that appear with their size only;
    `asked`: those that `--files` names.
    """

    index: Index = field(default_factory=Index)
    packs: tuple[Any, ...] = ()
    left: dict[str, str] = field(default_factory=dict[str, str])
    by_itself: tuple[int, int] = (0, 0)
    too_large: tuple[str, ...] = ()
    asked: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.index.automatic or bool(self.index.entries)

    def carried(self, keep: tuple[str, ...]) -> tuple[Carried, list[memoryview]]:
        """The folder as the stream holds it, and the buffers beside the stream."""
        all_ = [memoryview(one).cast("B") for one in (self.index.encode(), *self.packs)]
        small = sum(one.nbytes for one in all_) <= _INLINE_BYTES
        parts = tuple(bytes(one) if small or not one.nbytes else None for one in all_)
        beside = [one for one, kept in zip(all_, parts, strict=True) if kept is None]
        return Carried(parts, time.time_ns(), keep), beside


def gather(
    folder: Path,
    patterns: Iterable[str] = (),
    bounds: Bounds = Bounds(),
    named: Callable[[str], bool] = lambda _: False,
    holds_secret: Callable[[bytes], bool] | None = None,
) -> Along:
    """`patterns`: of `--files`; one without a match raises ConfigError. `named`: whether the cell
    names a path; such files come first if not all fit.
    """
    top, requested, secret = _asked(patterns, folder)
    below = "" if top == folder else f"{folder.relative_to(top).as_posix()}/"
    found = scan(folder, bounds.most_files) if bounds.automatic else Scan()
    mine = [one for one in found.files if below + one.path not in requested]
    chosen, too_large = _chosen(mine, bounds.most_bytes, named)
    packed = packs.pack(folder, chosen, below, holds_secret)
    entries = list(packed.entries)
    entries += [_entry(below + one.path, one) for one in too_large]
    contents = [pack.buffer() for pack in packed.packs]
    _add_asked(top, requested, entries, contents)
    left = found.left | dict.fromkeys((*packed.secret, *secret), SECRET)
    index = Index(
        below.rstrip("/") if below and (entries or found.folders or found.links) else ".",
        str(folder),
        tuple(entries),
        tuple(below + path for path in found.folders),
        tuple((below + path, target) for path, target in found.links),
        tuple(sorted({f"{below}{_holder(path)}".rstrip("/") for path in _missed(left)})),
        bounds.automatic,
        bounds.most_files,
        bounds.most_bytes,
    )
    size_bytes = sum(entry.size_bytes for entry in packed.entries)
    by_itself = len(packed.entries), size_bytes
    large = tuple(one.path for one in too_large)
    return Along(index, tuple(contents), left, by_itself, large, frozenset(requested))


def _chosen(
    files: Iterable[Found], most_bytes: int, named: Callable[[str], bool]
) -> tuple[list[Found], list[Found]]:
    """The files that travel, and those that are too large: first what the cell names, then the
    smallest, so that as many as possible fit.
    """
    files = list(files)
    if sum(one.size_bytes for one in files) <= most_bytes:
        return files, []
    chosen: list[Found] = []
    too_large: list[Found] = []
    left_bytes = most_bytes
    for one in sorted(files, key=lambda one: (not named(one.path), one.size_bytes, one.path)):
        if one.size_bytes <= left_bytes:
            left_bytes -= one.size_bytes
            chosen.append(one)
        else:
            too_large.append(one)
    return sorted(chosen, key=lambda one: one.path), too_large


def _missed(left: dict[str, str]) -> list[str]:
    """What a cell that lists its folder would miss, without hidden files and notebooks."""
    return [path for path, why in left.items() if why in SAID]


def _holder(path: str) -> str:
    return path.rpartition("/")[0]


def _entry(path: str, one: Found, pack: int = NO_PACK) -> Entry:
    return Entry(path, one.size_bytes, one.mtime_ns, one.executable, pack)


def _add_asked(
    top: Path, asked: dict[str, Found], entries: list[Entry], contents: list[Any]
) -> None:
    """The files of `--files`: large ones as they are on disk, small ones packed together."""
    small = [one for one in asked.values() if one.size_bytes < packs.ALONE_BYTES]
    offset, first = 0, len(contents)
    together: list[bytes] = []
    for one in small:
        content = (top / one.path).read_bytes()
        entries.append(
            replace(_entry(one.path, one, first), size_bytes=len(content), offset=offset)
        )
        together.append(content)
        offset += len(content)
    if small:
        contents.append(b"".join(together))
    for one in asked.values():
        if one.size_bytes >= packs.ALONE_BYTES:
            entries.append(_entry(one.path, one, len(contents)))
            contents.append(_mapped(top / one.path))


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _asked(patterns: Iterable[str], folder: Path) -> tuple[Path, dict[str, Found], list[str]]:
    """The folder that stands for the task's, the files of `--files` by path from there, and the
    files with secrets that its globs skipped.
    """
    ways = [_above(pattern, folder) for pattern in patterns]
    up = max((levels for levels, _ in ways), default=0)
    top = folder.parents[max(up - 1, 0)] if folder.parents else folder
    requested: dict[str, Found] = {}
    secret: list[str] = []
    for levels, rest in ways:
        base = folder.parents[levels - 1] if levels else folder
        matches = sorted(path for path in base.glob(rest) if path.is_file())
        if not matches:
            raise ConfigError(
                f"--files {rest!r} matches no file in {base}; paths are relative to the "
                f"notebook's folder"
            )
        for path in matches:
            name = path.relative_to(top).as_posix()
            if _is_glob(rest) and any(map(never_sent.by_name, path.relative_to(base).parts)):
                secret.append(path.relative_to(base).as_posix())
            else:
                requested[name] = seen(name, path.stat())
    return top, requested, secret


def _is_glob(pattern: str) -> bool:
    return any(char in pattern for char in "*?[")


def _above(pattern: str, folder: Path) -> tuple[int, str]:
    """How many folders up a pattern leads, and its rest. Raises ConfigError."""
    if pattern.startswith(("/", "~")):
        way = os.path.relpath(Path(pattern).expanduser(), folder)
        raise ConfigError(
            f"--files {pattern!r}: absolute paths of this machine do not exist in a "
            f"task; write `--files {way}`, and {way!r} in the cell, too"
        )
    parts = PurePosixPath(pattern).parts
    levels = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if levels >= len(folder.parts) or levels == len(parts):
        raise ConfigError(
            f"--files {pattern!r} names no file; write a path relative to the notebook's folder, "
            f"like ../data/*.csv"
        )
    return levels, inside("/".join(parts[levels:]))
