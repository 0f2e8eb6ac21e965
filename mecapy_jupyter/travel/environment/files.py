"""Files that go along with a cell (`--files`) and come home (`--keep`): by content, under their
relative paths.

Used on both sides: `along` and `gather` where they are, `lay_out` where they go. Large ones are
buffers of the payload, so what the store has is not sent again. What goes along may lie above the
notebook's folder (`../data/x.csv`): the task's folder then stands for the lowest one that holds all
of it, and the cell begins below it, in a folder called as the notebook's own. So the same path
leads to the same file, and never out of the task's folder. Nothing comes home above the notebook's
folder.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import re
import shlex
import stat
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mecapy_jupyter.shared.errors import CannotReceive, ConfigError

SLOT = "<files>"
"""Where they stand among the variables of a cell's inputs; no variable can have that name."""

Files = dict[str, Any]
"""Relative path with slashes → content (the buffer protocol)."""

Along = tuple[str, Files]
"""What goes along: the folder the cell begins in, below the task's own, and the files by their
paths in that.
"""

Listing = dict[str, tuple[int, int]]
"""Relative path → (size, time of the last change)."""

SMALL_BYTES = 1_000_000
"""A file the cell wrote and nobody asked to keep is kept for `%mecapy get` up to this size."""

_NOT_THERE = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
)  # what Landlock hides is forbidden
_SAID = re.compile(r"""['"]([^'"\n]+)['"]|^(\S.*) not found\.?$""")  # the second is numpy's
_TO_QUOTE = re.compile(r"""[\s'"\\#]""")
_SMALL_TOTAL_BYTES, _MOST_LISTED = 8_000_000, 1000


def along(patterns: Iterable[str], folder: Path) -> Along:
    """The files for a task; `folder` is the notebook's, and patterns may begin with `..`. One
    without a match raises ConfigError.
    """
    asked = [_above(pattern, folder) for pattern in patterns]
    up = max((levels for levels, _ in asked), default=0)
    top = folder.parents[up - 1] if up else folder
    found: Files = {}
    for levels, rest in asked:
        base = folder.parents[levels - 1] if levels else folder
        matches = _matches(base, rest, links=True)  # the user's own folder
        if not matches:
            raise ConfigError(
                f"--files {rest!r} matches no file in {base}; paths are relative to the "
                f"notebook's folder"
            )
        found |= {
            path.relative_to(top).as_posix(): pickle.PickleBuffer(_content(path))
            for path in matches
        }
    return folder.relative_to(top).as_posix(), found


def gather(patterns: Iterable[str], folder: Path) -> Files:
    """The regular files of `folder` that match; contents mapped, not read."""
    found: Files = {}
    for pattern in patterns:
        matches = _matches(folder, inside(pattern))
        found |= {
            path.relative_to(folder).as_posix(): pickle.PickleBuffer(_content(path))
            for path in matches
        }
    return found


def unsent(error: BaseException, folder: Path) -> list[str]:
    """What to say of a cell that failed on a file which is here and not there: how it goes along.
    Never raises.
    """
    said: list[str] = []
    for name in dict.fromkeys(_named(error)):
        with contextlib.suppress(
            OSError, ValueError
        ):  # no path at all: too long, a NUL in it, another drive
            said += _way_along(name, folder)
    return said


def _named(error: BaseException) -> list[str]:
    """The files an error says are not there. The words of others may be anything: `no data
    received`.
    """
    if not isinstance(error, _NOT_THERE):
        return []
    if isinstance(error.filename, (str, bytes)):
        return [os.fsdecode(error.filename)]
    if not isinstance(error, FileNotFoundError):
        return []
    return [name for words in _SAID.findall(str(error)) for name in words if name]


def _way_along(name: str, folder: Path) -> list[str]:
    path = folder / name
    if not path.exists():
        return []
    way = os.path.relpath(path, folder).replace(os.sep, "/")
    named = way if path.is_file() else f"{way}/*"
    option = f"`%%mecapy --files {shlex.quote(named) if _TO_QUOTE.search(named) else named}`"
    absolute = (
        f"; in the cell it is {way!r}, for a task has no path of this machine's"
        if Path(name).is_absolute()
        else ""
    )
    return [f"{name} is on this machine, and was not sent; {option} takes it along{absolute}"]


def _matches(base: Path, pattern: str, *, links: bool = False) -> list[Path]:
    """The files that match. `links`: also those that a link leads to."""
    return [
        path
        for path in sorted(base.glob(pattern))
        if path.is_file() and (links or not path.is_symlink())
    ]


def _above(pattern: str, folder: Path) -> tuple[int, str]:
    """How many folders up a pattern leads, and the rest of it. Raises ConfigError."""
    if pattern.startswith(("/", "~")):
        way = os.path.relpath(Path(pattern).expanduser(), folder)
        raise ConfigError(
            f"--files {pattern!r}: a task has no path of this machine's; write `--files {way}`, "
            f"and {way!r} in the cell, too"
        )
    parts = PurePosixPath(pattern).parts
    levels = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if levels >= len(folder.parts) or levels == len(parts):
        raise ConfigError(
            f"--files {pattern!r} names no file; write a path relative to the notebook's folder, "
            f"like ../data/*.csv"
        )
    return levels, inside("/".join(parts[levels:]))


def lay_out(files: Mapping[str, Any], folder: Path) -> list[str]:
    """Write them under `folder`; their paths."""
    for name, content in files.items():
        path = folder / inside(name)
        if any(
            parent.is_symlink()
            for parent in (path, *path.parents)
            if parent != folder and folder in parent.parents
        ):
            raise CannotReceive(
                f"{name} would be written through a link; remove the link, or keep it elsewhere"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def listing(folder: Path) -> Listing:
    """What lies in a folder by now; hidden files and caches are nobody's work."""
    found: Listing = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in names:
            with contextlib.suppress(OSError):
                path = Path(parent, name)
                about = path.lstat()
                if (
                    stat.S_ISREG(about.st_mode)
                    and not name.startswith(".")
                    and len(found) < _MOST_LISTED
                ):
                    found[path.relative_to(folder).as_posix()] = about.st_size, about.st_mtime_ns
    return found


def written(folder: Path, before: Listing, kept: Container[str]) -> dict[str, int]:
    """Path → size of what was written there since `before`, without what is `kept` anyway."""
    return {
        name: about[0]
        for name, about in listing(folder).items()
        if before.get(name) != about and name not in kept
    }


def small(folder: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The contents of those of these files that are worth keeping for whoever asks later: each
    small, and not too much together.
    """
    found: dict[str, bytes] = {}
    total = 0
    for name, size in sizes.items():
        if size <= SMALL_BYTES and total + size <= _SMALL_TOTAL_BYTES:
            with contextlib.suppress(OSError):
                found[name] = (folder / name).read_bytes()
                total += size
    return found


def inside(name: str) -> str:
    """A relative path that stays inside. Raises ConfigError."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith(("/", "~")) or ".." in parts:
        raise ConfigError(
            f"{name!r} leads out of the folder; name files by their path relative to it (only "
            f"--files may begin with ../)"
        )
    return name


def _content(path: Path) -> Any:
    """Mapped; a small one read, for each map holds a descriptor, and files may be many."""
    if path.stat().st_size < SMALL_BYTES:
        return path.read_bytes()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
