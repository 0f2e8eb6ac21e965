"""Settings of Python itself, and of modules of its library, that a notebook has changed."""

from __future__ import annotations

import calendar
import gc
import multiprocessing
import os
import pickle
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mecapy_jupyter.travel import garbage
from mecapy_jupyter.travel.environment import state_pickler
from mecapy_jupyter.travel.environment.state_kind import StateKind

_fresh_argv = list(sys.argv)
_fresh_names = set(vars(sys))


def begin() -> None:
    """Count what is set from here on."""
    _fresh_argv[:] = sys.argv
    _fresh_names.update(vars(sys))


def _setting(module: str, get: Callable[[], Any], put: Callable[[Any], object]) -> StateKind:
    """What it is now counts as a new process has it."""
    return StateKind(module, get, put, get())


def _arguments() -> list[str] | None:
    return list(sys.argv) if sys.argv != _fresh_argv else None


def _set_arguments(arguments: list[str]) -> None:
    sys.argv = arguments


def _added_to_sys() -> dict[str, bytes] | None:
    """Attributes of `sys` that a new process lacks: `sys.tracebacklimit`, and the notebook's."""
    added = {
        name: state_pickler.dumps(vars(sys)[name])
        for name in sorted(vars(sys).keys() - _fresh_names)  # no look at the values of the others
        if not name.startswith(("_", "last_"))
    }
    return {name: data for name, data in added.items() if data is not None} or None


def _add_to_sys(added: dict[str, bytes]) -> None:
    for name, data in added.items():
        setattr(sys, name, pickle.loads(data))  # noqa: S301 our own state


UMASK = 0o077
"""A child's, until it has its task: what it writes is for its user alone."""


def _umask() -> int:
    now = os.umask(UMASK)  # it can only be read by setting it
    os.umask(now)
    return now


_FRESH_GARBAGE = (True, gc.get_threshold())


def _garbage() -> tuple[bool, tuple[int, int, int]]:
    return garbage.is_enabled(), gc.get_threshold()


def _set_garbage(state: tuple[bool, tuple[int, int, int]]) -> None:
    is_enabled, threshold = state
    garbage.set_enabled(is_enabled)
    gc.set_threshold(*threshold)


def _thread_stack() -> int:
    size = threading.stack_size()  # which sets it to 0
    threading.stack_size(size)
    return size


def _start_method() -> str | None:
    """ "forkserver" needs a socket, which a task may not open; "spawn" also starts from an empty
    process.
    """
    name = multiprocessing.get_start_method(allow_none=True)
    return "spawn" if name == "forkserver" else name


def _set_start_method(name: str | None) -> None:
    multiprocessing.set_start_method(name, force=True)


_INSIDE = "./"
_fresh_tempdir = tempfile.gettempdir()


def _temporary_folder() -> str | None:
    """`tempfile.tempdir` if the notebook set it; relative if inside its folder."""
    now = tempfile.tempdir
    if now is None or os.fspath(now) in (_fresh_tempdir, os.environ.get("TMPDIR")):
        return None
    inside = os.path.relpath(now)
    return os.fspath(now) if inside.startswith("..") else _INSIDE + inside


def _set_temporary_folder(path: str | None) -> None:
    if path is None:
        tempfile.tempdir = None
        return
    folder = Path(path).absolute()
    if path.startswith(_INSIDE):
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {path} on the worker")
    tempfile.tempdir = str(folder)


SETTINGS: dict[str, StateKind] = {
    "sys.argv": StateKind("sys", _arguments, _set_arguments),
    "umask": StateKind("os", _umask, os.umask, UMASK),
    "sys": StateKind("sys", _added_to_sys, _add_to_sys),
    "digits of an integer": _setting("sys", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "socket timeout": _setting("socket", socket.getdefaulttimeout, socket.setdefaulttimeout),
    "calendar": _setting("calendar", calendar.firstweekday, calendar.setfirstweekday),
    "garbage collector": StateKind("gc", _garbage, _set_garbage, _FRESH_GARBAGE),
    "thread switching": _setting("sys", sys.getswitchinterval, sys.setswitchinterval),
    "thread stack": _setting("threading", _thread_stack, threading.stack_size),
    "processes": StateKind("multiprocessing", _start_method, _set_start_method),
    "tempfile": StateKind("tempfile", _temporary_folder, _set_temporary_folder),
}
