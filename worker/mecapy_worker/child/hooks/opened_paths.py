"""Hook: which files, programs and connections a task uses. Only in a child whose task is observed.

Python reports them to an audit hook (PEP 578), but for `stat` and its kin, which are wrapped. C
libraries open files past it: a file of the folder that was read has another access time. Where the
file system keeps none, a folder with files that nobody declared is reason enough.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from mecapy_jupyter.travel.files import placeholders
from mecapy_worker.child import observation

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib", "/opt/", "/bin/")
_SETTINGS = frozenset([".numba_config.yaml"])
"""Files that packages look for at each import, though few have them."""
_MAKES = frozenset(["makedirs", "mkdir"])
_LISTS = ("os.listdir", "os.scandir", "os.walk", "glob.glob")
_ENDS = ("os.remove", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime")
_STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec")
_INTERNET = frozenset([2, 10])  # AF_INET, AF_INET6
_OLD_NS = 1_000_000_000

_root = _start = ""
_there: frozenset[str] = frozenset()
_links: tuple[str, ...] = ()
_declared: frozenset[str] = frozenset()
_ours: tuple[str, ...] = ()
_written: set[str] = set()
_lstat = os.lstat
_ABSOLUTE = os.path.abspath  # by its text alone: a look at the disk would be reported, too


def install(declared: tuple[str, ...], root: str) -> None:
    """`declared`: paths relative to `root`, the task's folder. Called when it has been laid out."""
    global _root, _start, _there, _links, _declared, _ours
    _root, _start = root, os.getcwd()  # noqa: PTH109 as in results
    _there = frozenset(_files(root))
    _links = tuple(path for path in _found(root) if Path(path).is_symlink())
    for link in _links:  # which the walk has followed
        with contextlib.suppress(OSError):
            made_ns = _lstat(link).st_mtime_ns
            os.utime(link, ns=(made_ns, made_ns), follow_symlinks=False)
    _declared = frozenset(f"{_root}/{path}" for path in declared)
    folders = {
        sys.prefix,
        sys.base_prefix,
        *site.getsitepackages(),
        *sysconfig.get_paths().values(),
    }
    homes = {os.environ.get(name, "") for name in ("HOME", "TMPDIR", "MPLCONFIGDIR")}
    paths = {path for path in [*folders, *homes, *sys.path] if path and path != root}
    _ours = tuple(f"{way(path)}/" for path in paths for way in (_ABSOLUTE, os.path.realpath))
    _check_access_times()
    sys.addaudithook(_heard)
    for name in ("stat", "lstat", "access", "readlink"):
        _wrap(name)


def end() -> None:
    """What C libraries have read."""
    for path in _there - _declared - _written:
        if _was_read(path):
            _read(path)


def _files(folder: str) -> list[str]:
    return [f"{top}/{name}" for top, _, names in os.walk(folder) for name in names]


def _found(folder: str) -> list[str]:
    return [f"{top}/{name}" for top, dirs, files in os.walk(folder) for name in (*dirs, *files)]


def _check_access_times() -> None:
    """Each file was laid out with its access time equal to its modification time, so the first
    reader changes it, if this file system does that.
    """
    if not _there - _declared:
        return
    probe = Path(_root, ".mecapy-probe")
    try:
        probe.write_bytes(b"1")
        os.utime(probe, ns=(_OLD_NS, _OLD_NS))
        probe.read_bytes()
        counts = _was_read(str(probe))
        probe.unlink()
    except OSError:
        counts = False
    if not counts:
        observation.note(
            "the worker cannot see which files of the folder it reads; add --no-folder, or name "
            "them with --files"
        )


def _was_read(path: str) -> bool:
    """Since it was laid out. False, too, for one that is not there any more."""
    try:
        about = _lstat(path)
    except OSError:
        return False
    return about.st_atime_ns != about.st_mtime_ns


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if not observation.active:
        return
    if event == "open":
        _opened(args[0], args[1], args[2])
    elif event in _LISTS:
        path = _absolute("." if args[0] is None else args[0])
        if path and _is_in_folder(path) and not _is_pythons(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
            observation.note(f"it listed the folder {_shown(path)}")
    elif event in _ENDS:
        for path in map(_absolute, args[:2]):
            if path in _there - _written:
                _read(path)
    elif event in _STARTS and not _is_pythons(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
        observation.note("it started another process, which MecaPy does not observe")
    elif event == "socket.__new__":
        if args[1] in _INTERNET:
            observation.note("it used the network")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        observation.note("it used the network")
    elif event == "ctypes.dlopen" and observation.is_users(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
        observation.note("it loaded a C library itself")


def _opened(name: Any, mode: Any, flags: Any) -> None:
    path = _absolute(name)
    if not path or path in _written or path in _declared:
        return
    writes = isinstance(flags, int) and bool(flags & (os.O_TRUNC | os.O_EXCL))
    if _is_in_folder(path):
        there = _was_there(path)
        if writes and not (flags & os.O_EXCL and there):
            _written.add(path)
        elif there or not _exists(path):
            if not there and flags is not None and flags & os.O_CREAT:
                _written.add(path)  # appended to nothing; it would be to a file that is there
            if not _is_pythons(sys._getframe(2)):  # pyright: ignore[reportPrivateUsage]
                _read(path)
    elif not f"{path}/".startswith(_ours):
        by = _reader_of_files(sys._getframe(2))  # pyright: ignore[reportPrivateUsage]
        if by == "user" or (by == "package" and not path.startswith(_SYSTEM)):
            _read(path)


def _read(path: str) -> None:
    observation.note(f"it used the file {_shown(path)}, which no --files names")


def _reader_of_files(frame: FrameType | None) -> str:
    """`user` or `package`; "" where Python itself looks for a source text or a module."""
    while frame is not None:
        if observation.is_users(frame):
            return "user"
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in placeholders.FOR_THEMSELVES or frame.f_code.co_filename.startswith("<frozen"):
            return ""
        if package not in sys.stdlib_module_names and package != "IPython":  # a cell's `open`
            return "" if package.startswith("mecapy_") else "package"
        frame = frame.f_back
    return ""


def _is_pythons(frame: FrameType | None) -> bool:
    """Whether Python looks for a module, a package's data or a line of source."""
    while frame is not None and not observation.is_users(frame):
        by = str(frame.f_globals.get("__name__"))
        of_imports = ("importlib.metadata", "importlib_metadata", "pkgutil", "pkg_resources")
        if frame.f_code.co_filename.startswith("<frozen importlib") or by.startswith(of_imports):
            return True
        if by.partition(".")[0] in placeholders.FOR_THEMSELVES:
            return True
        if by.startswith("mecapy_") and by != placeholders.__name__:  # which asks for the user
            return True
        frame = frame.f_back
    return False


def _wrap(name: str) -> None:
    inner: Callable[..., Any] = getattr(os, name)

    def wrapped(path: Any, *args: Any, **named: Any) -> Any:
        if observation.active:
            _looked_at(path, inner)
        return inner(path, *args, **named)

    wrapped.__name__ = wrapped.__qualname__ = name
    wrapped.__module__, wrapped.__doc__ = "os", inner.__doc__
    setattr(os, name, wrapped)


def _looked_at(name: Any, inner: Callable[..., Any]) -> None:
    """A file that is there at the start, or one that is not there at all. What the task has made is
    its own.
    """
    path = _absolute(name)
    if not path or not _is_in_folder(path) or path in _written or path in _declared:
        return
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    is_there = _was_there(path)
    if not is_there and path.rpartition("/")[2] in _SETTINGS:
        return
    if (is_there or not _exists(path)) and not _is_harmless(frame):
        _read(path)


def _is_harmless(frame: FrameType | None) -> bool:
    """Whether a folder is made that may be there already, or Python looks."""
    at = frame
    for _ in range(6):
        if at is None or observation.is_users(at):
            break
        if at.f_code.co_name in _MAKES or at.f_code.co_name == "realpath":
            return True
        at = at.f_back
    return _is_pythons(frame)


def _was_there(path: str) -> bool:
    """Whether it existed at the start. What a link leads to is never followed."""
    return path in _there or any(path == link or path.startswith(f"{link}/") for link in _links)


def _is_in_folder(path: str) -> bool:
    return path.startswith(f"{_root}/")


def _exists(path: str) -> bool:
    try:
        _lstat(path)
    except OSError:
        return False
    return True


def _absolute(path: Any) -> str:
    """Empty for a descriptor."""
    try:
        return "" if isinstance(path, int) else _ABSOLUTE(os.fsdecode(path))
    except (TypeError, ValueError):
        return ""


def _shown(path: str) -> str:
    return os.path.relpath(path, _start) if _is_in_folder(path) else path
