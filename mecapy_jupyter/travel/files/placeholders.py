"""Hook: detects what a cell looks for in its folder and cannot find. Runs in the child.

Python reports each opened file and listed folder to an audit hook (`open`, `os.listdir`,
`os.scandir`; PEP 578, all versions). So a file that appears with its size only cannot be read as
zeros, and a listing of an incomplete folder is reported. C libraries open files without Python: for
them such a file is write-only.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_MOST_LOOKED = 100
_looked: dict[str, None] = {}
_sizes: dict[str, int] = {}
_inodes: set[int] = set()


def watch(sizes: Mapping[str, int], partial: frozenset[str], root: str) -> None:
    """Watch these files from here on. `sizes`: absolute path → size of files that cannot be read;
    `partial`: incomplete folders; `root`: the task's folder.
    """
    _sizes.update(sizes)
    _inodes.update(os.lstat(path).st_ino for path in sizes)
    sys.addaudithook(_hook(partial, f"{root}/"))


def begin() -> None:
    """The cell starts: forget what MecaPy itself has looked at."""
    _looked.clear()


def looked_at() -> list[str]:
    """The incomplete folders that were listed and the files that could not be opened, by absolute
    path. Ends the watch.
    """
    _sizes.clear()
    return list(_looked)


def untouched(path: str) -> bool:
    """Whether this is, under any name, a file that appears with its size only, and so holds zeros.
    After `looked_at`.
    """
    about = os.lstat(path)
    if about.st_ino not in _inodes or about.st_mode & 0o400 or not about.st_size:
        return False
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_DATA) > 0
    except OSError:  # it has no data
        return True
    finally:
        os.close(fd)


def _hook(partial: frozenset[str], root: str) -> Callable[[str, tuple[Any, ...]], None]:
    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = _absolute(args[0])
            if path in _sizes:
                _opened(path, args[2])
            elif path.startswith(root) and not os.path.lexists(path):
                _note(path)
        elif event in ("os.listdir", "os.scandir"):
            path = _absolute("." if args[0] is None else args[0])
            if path in partial and not _imports():
                _note(path)

    return heard


_LOOK_FOR_PACKAGES = ("importlib.metadata", "importlib_metadata", "pkgutil", "pkg_resources")


def _imports() -> bool:
    """Whether a search for modules or packages lists a folder of the path."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    by = str(frame.f_globals.get("__name__"))
    return frame.f_code.co_filename.startswith("<frozen importlib") or by.startswith(
        _LOOK_FOR_PACKAGES
    )


def _note(path: str) -> None:
    if len(_looked) < _MOST_LOOKED:
        _looked[path] = None


def _absolute(path: Any) -> str:
    try:
        return os.path.realpath(os.fsdecode(path)) if not isinstance(path, int) else ""
    except (TypeError, ValueError):
        return ""


def _opened(path: str, flags: Any) -> None:
    """A file that is written anew becomes a normal file; any other access would read zeros."""
    if isinstance(flags, int) and flags & os.O_TRUNC:
        del _sizes[path]
        os.chmod(path, 0o644)  # noqa: PTH101
        return
    size = _sizes[path]
    name = os.path.relpath(path)
    raise PermissionError(
        errno.EACCES,
        f"this file of {size / 1000000.0:,.1f} MB did not travel with the cell, "
        f"because it is too large; `%%mecapy --files {name}` sends it",
        name,
    )
