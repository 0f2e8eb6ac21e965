"""Settings of Python itself, and of modules of its library, that a notebook has changed."""

from __future__ import annotations

import calendar
import socket
import sys
from collections.abc import Callable
from typing import Any

from mecapy_jupyter.travel.environment import recorded_calls
from mecapy_jupyter.travel.environment.state_kind import StateKind

_fresh_argv = list(sys.argv)


def begin() -> None:
    """From here on, count what is set."""
    _fresh_argv[:] = sys.argv


def _setting(module: str, get: Callable[[], Any], put: Callable[[Any], object]) -> StateKind:
    """What it is now counts as a new process has it."""
    fresh = get()
    return StateKind(module, lambda: now if (now := get()) != fresh else None, put, fresh)


def _arguments() -> list[str] | None:
    return list(sys.argv) if sys.argv != _fresh_argv else None


def _set_arguments(arguments: list[str]) -> None:
    sys.argv = arguments


SETTINGS: dict[str, StateKind] = {
    "sys.argv": StateKind("sys", _arguments, _set_arguments),
    "digits of an integer": _setting("sys", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "socket timeout": _setting("socket", socket.getdefaulttimeout, socket.setdefaulttimeout),
    "calendar": _setting("calendar", calendar.firstweekday, calendar.setfirstweekday),
    "codecs": recorded_calls.of("codecs"),
    "mimetypes": recorded_calls.of("mimetypes"),
}
