"""Hook: detects what a cell looks for and cannot find. Runs in the child.

Python reports each opened file and listed folder to an audit hook (`open`, `os.listdir`,
`os.scandir`; PEP 578, all versions). So a file that appears with its size only cannot be read as
zeros, and a listing of an incomplete folder is reported. C libraries open files without Python: for
them such a file is write-only. `exists` and its kin report nothing, so they are wrapped.
"""

from __future__ import annotations

import errno
import functools
import genericpath
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_MOST_LOOKED = 100
_OF_THE_MACHINE = ("/proc", "/sys", "/dev", "/etc", "/run", "/usr", "/var", "/lib", "/bin", "/sbin")
"""Libraries look there for what a machine has."""
_ASK = ("exists", "lexists", "isfile", "isdir")
FOR_THEMSELVES = frozenset(["linecache", "tokenize", "inspect", "traceback", "warnings"])
"""Modules that look for source files on their own account."""
_FOR_ANOTHER_END = frozenset(["makedirs", "mkdir", "which"])
_root = _start = ""
_trace_of: Callable[[BaseException], TracebackType | None]
_trace_of = vars(BaseException)["__traceback__"].__get__
_lstat = os.lstat  # which is wrapped where a task is observed
_looked: dict[str, None] = {}
_sizes: dict[str, int] = {}
_inodes: set[int] = set()


def watch(sizes: Mapping[str, int], partial: frozenset[str], root: str) -> None:
    """Watch these files from here on. `sizes`: absolute path → size of files that cannot be read;
    `partial`: incomplete folders; `root`: the task's folder. The cell starts in the current one.
    """
    global _root, _start
    _sizes.update(sizes)
    _inodes.update(os.lstat(path).st_ino for path in sizes)
    first, _root, _start = not _root, f"{root}/", os.getcwd()  # noqa: PTH109 as in lay_out
    sys.addaudithook(_hook(partial))
    if first:
        for name in _ASK:
            _wrap(name, os.path, genericpath)
        for name in ("exists", "is_file", "is_dir"):
            _wrap(name, Path)


def begin() -> None:
    """The cell starts: forget what MecaPy itself has looked at."""
    _looked.clear()


def looked_at() -> list[str]:
    """The incomplete folders that were listed and the files and folders that were not found,
    relative to where the cell started, or absolute outside the task's folder. Ends the watch.
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


def _hook(partial: frozenset[str]) -> Callable[[str, tuple[Any, ...]], None]:
    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = _absolute(args[0])
            if path in _sizes:
                _opened(path, args[2])
            else:
                _miss(args[0])
        elif event in ("os.listdir", "os.scandir"):
            path = _absolute("." if args[0] is None else args[0])
            if path in partial and not _imports():
                _note(os.path.relpath(path, _start))
            else:
                _miss(args[0])

    return heard


def _miss(name: Any, *, by_user: bool = False) -> None:
    """Note a path that is not there, as the notebook's machine is to look for it."""
    path = _absolute(name, os.path.abspath)
    if not path or _is_there(path):
        return
    near = f"{path}/".startswith(_root)
    if not near and not os.path.isabs(name):  # noqa: PTH117
        near = f"{os.getcwd()}/".startswith(_root)  # noqa: PTH109 as in lay_out
    if near or by_user or not path.startswith(_OF_THE_MACHINE):
        _note(os.path.relpath(path, _start) if near else path)


def _is_there(path: str) -> bool:
    try:
        _lstat(path)
    except OSError:
        return False
    return True


def _wrap(name: str, *places: Any) -> None:
    """Note what such a function of Python does not find for the user's code."""
    inner: Any = getattr(places[0], name)

    @functools.wraps(inner)
    def wrapped(path: Any, *args: Any, **named: Any) -> bool:
        found = inner(path, *args, **named)
        if not found and _asks(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
            _miss(path, by_user=True)
        return found

    for place in places:
        if getattr(place, name, None) is inner:
            setattr(place, name, wrapped)


def forget_frames(error: BaseException) -> None:
    """Take this module's steps out of a traceback: at home there are none. A class of the user may
    have something else in the attribute's place.
    """
    trace = _trace_of(error)
    while trace is not None:
        while (below := trace.tb_next) and below.tb_frame.f_code.co_filename == __file__:
            trace.tb_next = below.tb_next
        trace = trace.tb_next


def _asks(frame: FrameType | None) -> bool:
    """Whether the user's code asks, itself or through Python's library."""
    while frame is not None:
        by = str(frame.f_globals.get("__name__")).partition(".")[0]
        if by == "__main__":
            return True
        if by not in sys.stdlib_module_names:
            return not by.startswith("mecapy_") and "-packages" not in frame.f_code.co_filename
        if by in FOR_THEMSELVES or by == "importlib" or frame.f_code.co_name in _FOR_ANOTHER_END:
            return False
        frame = frame.f_back
    return False


_LOOK_FOR_PACKAGES = ("importlib.metadata", "importlib_metadata", "pkgutil", "pkg_resources")


def _imports() -> bool:
    """Whether a search for modules or packages lists a folder of the path."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    by = str(frame.f_globals.get("__name__"))
    return frame.f_code.co_filename.startswith("<frozen importlib") or by.startswith(
        _LOOK_FOR_PACKAGES
    )


def _note(name: str) -> None:
    if len(_looked) < _MOST_LOOKED:
        _looked[name] = None


def _absolute(path: Any, by: Callable[[str], str] = os.path.realpath) -> str:
    try:
        return by(os.fsdecode(path)) if not isinstance(path, int) else ""
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
