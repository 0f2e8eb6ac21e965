"""Hook: which code reads the clock or draws numbers without a seed. Only in a child whose task is
observed, so no other task is slower for it.

Python reports neither to an audit hook. So the functions of `time` and `random` and what reads the
system's entropy are wrapped; a wrapper asks who calls it (`observation.reader`). The global
generators of `random` and `numpy.random` are compared before and after: a seed that is set while
nothing was drawn makes them independent of the notebook's state.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from mecapy_worker.child import observation

_CLOCKS = (
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("process_time", "process_time_ns", "thread_time", "thread_time_ns"),
    *("clock_gettime", "clock_gettime_ns"),
)
_CLOCKS_BY_DEFAULT = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
"""Read the clock if they have no more arguments than these."""
_getstate = random.getstate
_start: dict[str, Any] = {}
_seeded: set[str] = set()


def install() -> None:
    for name in _CLOCKS:
        _wrap(time, name, lambda name, _: _read_clock(f"time.{name}"))
    for name, most in _CLOCKS_BY_DEFAULT.items():
        _wrap(time, name, functools.partial(_read_clock_by_default, most))
    for name in ("times", "getloadavg"):
        _wrap(os, name, lambda name, _: _read_clock(f"os.{name}"))
    for module, name in ((os, "urandom"), (os, "getrandom"), (random, "_urandom")):
        _wrap(module, name, lambda _, __: _drew())
    _wrap(random.Random, "seed", lambda _, args: None if _is_seed(args[1:]) else _drew())
    _wrap(random, "seed", lambda _, args: _set_seed("random") if _is_seed(args) else _drew())
    _wrap(random, "setstate", lambda _, __: _set_seed("random"))
    _wrap(random, "getstate", lambda _, __: _looked("random"))
    if (numpy := sys.modules.get("numpy.random")) is not None:
        _wrap(numpy, "seed", lambda _, args: _set_seed("numpy.random") if _is_seed(args) else None)
        _wrap(numpy, "set_state", lambda _, __: _set_seed("numpy.random"))
        _wrap(numpy, "get_state", lambda _, __: _looked("numpy.random"))


def begin() -> None:
    """The cell starts."""
    _start.update({name: state for name in ("random", "numpy.random") if (state := _state(name))})


def drew(sent: frozenset[str]) -> tuple[str, ...]:
    """At the end: the global generators whose state at the start, which was `sent`, the cell has
    used. One whose state was not sent started by chance.
    """
    used = [
        name
        for name in ("random", "numpy.random")
        if name not in _seeded and (state := _state(name)) and _start.get(name) != state
    ]
    for name in used:
        if name not in sent or name not in _start:
            observation.note(f"it drew random numbers without a seed ({name})")
    return tuple(used)


def _wrap(module: Any, name: str, heard: Callable[[str, tuple[object, ...]], object]) -> None:
    inner: Callable[..., Any] | None = getattr(module, name, None)
    if inner is None:  # not on this system
        return

    def wrapped(*args: Any, **named: Any) -> Any:
        if observation.active:
            heard(name, (*args, *named.values()))
        return inner(*args, **named)

    wrapped.__name__ = wrapped.__qualname__ = name
    wrapped.__module__ = str(getattr(module, "__name__", "random"))  # pickled by its name
    if isinstance(module, type):
        wrapped.__module__, wrapped.__qualname__ = module.__module__, f"{module.__name__}.{name}"
    wrapped.__doc__ = inner.__doc__
    setattr(module, name, wrapped)


def _read_clock(name: str) -> None:
    if (by := observation.reader(sys._getframe(3))) is not None:  # pyright: ignore[reportPrivateUsage]
        observation.note(f"it read the clock ({name}{f' in {by}' if by else ''})")


def _read_clock_by_default(most: int, name: str, args: tuple[object, ...]) -> None:
    by = observation.reader(sys._getframe(2))  # pyright: ignore[reportPrivateUsage]
    if len(args) <= most and by is not None:
        observation.note(f"it read the clock (time.{name}{f' in {by}' if by else ''})")


def _drew() -> None:
    if (by := observation.reader(sys._getframe(3))) is not None:  # pyright: ignore[reportPrivateUsage]
        observation.note(f"it drew random numbers without a seed{observation.where(by)}")


def _is_seed(args: tuple[object, ...]) -> bool:
    """Whether a seed is given."""
    return bool(args) and args[0] is not None


def _set_seed(name: str) -> None:
    if name not in _seeded and _start.get(name) == _state(name) and name in _start:
        _seeded.add(name)


def _looked(name: str) -> None:
    """Its state may be in the result."""
    if name in _start and name not in _seeded:
        _start[name] = None


def _state(name: str) -> Any:
    """Comparable, and never empty; None while the module is not loaded."""
    if name == "random":
        return _getstate()
    numpy: Any = sys.modules.get("numpy.random.mtrand")
    if numpy is None:
        return None
    kind, keys, *rest = numpy._rand.get_state(legacy=True)
    return kind, keys.tobytes(), *rest
