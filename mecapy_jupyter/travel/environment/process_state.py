"""State outside the variables on which the next cell of a notebook relies: random numbers, print
options, styles and so on. It travels with a cell because a new process has none of it, and comes
home if the cell changed it. Only state of loaded modules that differs from a new process is sent.
It never imports a package.
"""

from __future__ import annotations

import contextlib
import decimal
import functools
import os
import random
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.environment import (
    builtins_state,
    clock_state,
    figure_formats,
    held_objects,
    import_hook,
    import_path,
    ipython_state,
    library_state,
    logging_records,
    logging_state,
    module_changes,
    module_importer,
    patches,
    python_settings,
    recorded_calls,
    signal_state,
    surroundings,
)
from mecapy_jupyter.travel.environment.state_kind import StateKind, attributes

HELD = "held objects"
"""Only on the way home: on the way out they travel with the variables. Nothing to compare."""
_fresh_environment = dict(os.environ)
_PYTHONS_RECURSION, _RECURSION = 1000, 3000


def current(kinds: Iterable[str] = ()) -> dict[str, Any]:
    """The state of this process by kind: of all kinds, or of these."""
    return {name: state for name in kinds or KINDS if (state := _look(name)) is not None}


_noted: dict[str, Any] = {}
_put: set[str] = {"random", "numpy.random"}  # a forked process starts with new ones
_taken: set[str] = set()
_waiting: dict[str, Any] = {}  # for a library that is loaded later


def note() -> None:
    """Remember the current state. Called in the zygote, so that its children need one look less."""
    _noted.update(current())


def noted() -> dict[str, Any]:
    """`current()`, for a process whose state only `take` has changed since it was noted."""
    return _noted | _waiting | {name: now for name in _put if (now := _look(name)) is not None}


def _look(name: str) -> Any:
    with contextlib.suppress(Exception):
        # a library that changed loses its state, but does not fail the cell
        return KINDS[name].now()


def take(state: Mapping[str, Any]) -> None:
    """Apply the state to this process: at once, or when the cell imports the library."""
    _taken.clear()
    _taken.update(state)
    for name, value in state.items():
        if name in _noted and equal(_noted[name], value):
            continue
        kind = KINDS.get(name)
        if kind is None or (value is None and kind.fresh is None):
            continue
        _put.add(name)
        if kind.module not in sys.modules:
            _waiting[name] = value
        import_hook.when_imported(kind.module, functools.partial(_set, name, kind, value))


def taken() -> frozenset[str]:
    """The kinds of state that came here."""
    return frozenset(_taken)


def _set(name: str, kind: StateKind, value: Any) -> None:
    _waiting.pop(name, None)
    if equal(_look(name), value):
        return
    try:
        kind.put(kind.fresh if value is None else value)
    except Exception as error:
        print(
            f"mecapy: the state of {name} could not be set ({type(error).__name__}: "
            f"{error}); set it in the cell, or in a `%%mecapy --setup` cell",
            file=sys.stderr,
        )


def ahead(kinds: Iterable[str]) -> dict[str, Any]:
    """`current(kinds)`, with what a library gets that is loaded later."""
    return current(kinds) | {name: _waiting[name] for name in kinds if name in _waiting}


def put_back(before: Mapping[str, Any], kinds: Iterable[str]) -> None:
    """Undo what has changed of these kinds since `ahead`."""
    for name, value in changed(current(kinds), before).items():
        if KINDS[name].module in sys.modules:
            _set(name, KINDS[name], value)


def functions() -> list[Any]:
    """Functions of the notebook that libraries, Python and the system may call."""
    return [
        *patches.functions(),
        *signal_state.handlers().values(),
        *builtins_state.functions(),
        *ipython_state.functions(),
        *logging_state.functions(),
        *library_state.functions(),
        *recorded_calls.functions(),
    ]


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The kinds that have changed; None for those that are back at the defaults."""
    gone = {name: None for name in before if name not in now and KINDS[name].fresh is not None}
    return {name: value for name, value in now.items() if not equal(before.get(name), value)} | gone


def equal(one: Any, other: Any) -> bool:
    """False for what cannot be compared: arrays in a style, for instance, travel although equal."""
    try:
        return bool(one == other)
    except Exception:
        return False


def _recursion_limit() -> int | None:
    """None for Python's, and for what IPython and others raise it to."""
    now = sys.getrecursionlimit()
    return None if now in (_PYTHONS_RECURSION, _RECURSION) else now


def _set_environment(state: Mapping[str, str | None]) -> None:
    back = {name: _fresh_environment.get(name) for name in _environment() if name not in state}
    for name, value in (back | dict(state)).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _environment() -> dict[str, str | None]:
    """Variables set or removed since the extension was loaded, without MecaPy's own settings, one
    of which is a token. PWD only where it is not the current folder: where Jupyter was started.
    """
    new: dict[str, str | None] = {
        name: value for name, value in os.environ.items() if _fresh_environment.get(name) != value
    }
    gone: dict[str, str | None] = {
        name: None for name in _fresh_environment if name not in os.environ
    }
    found = {name: value for name, value in (new | gone).items() if not name.startswith("MECAPY_")}
    started_in, here = found.pop("PWD", os.environ.get("PWD")), os.getcwd()  # noqa: PTH109
    return found if started_in == here else found | {"PWD": started_in}


def begin_environment() -> None:
    """Count changes of the environment and of `sys.path` from here on."""
    import_path.begin()
    python_settings.begin()
    _fresh_environment.clear()
    _fresh_environment.update(os.environ)
    if "environment" in _noted:  # including what imported libraries have set
        _noted["environment"] = _environment()


def surround(state: Mapping[str, str | None]) -> None:
    """Set what the kernel was started with, which is no change."""
    _fresh_environment.update(surroundings.put(state))


_OF_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _decimal_signals() -> dict[str, list[str]]:
    context = decimal.getcontext()
    return {
        kind: sorted(signal.__name__ for signal, is_set in held.items() if is_set)
        for kind, held in (("traps", context.traps), ("flags", context.flags))
    }


def _set_decimal_signals(state: Mapping[str, Iterable[str]]) -> None:
    for kind, names in state.items():
        held = getattr(decimal.getcontext(), kind)
        for signal in held:
            held[signal] = signal.__name__ in names


class _Named(type):
    """A warning category that is not loaded here, by name. Pickling the class itself would import
    its package for every task.
    """

    home: tuple[str, str] = ("", "")

    def __subclasscheck__(cls, subclass: type) -> bool:
        return any((base.__module__, base.__qualname__) == cls.home for base in subclass.__mro__)


_Filter = tuple[str, Any, tuple[str, str], Any, int]
"""Action, message, module and name of the category, module, line."""


def _warning_filters() -> list[_Filter]:
    found: Any = warnings.filters
    return [
        (action, message, _home(category), module, line)
        for action, message, category, module, line in found
    ]


def _home(category: type) -> tuple[str, str]:
    if isinstance(category, _Named):
        return category.home
    return (category.__module__, category.__qualname__)


def _category(home: tuple[str, str]) -> Any:
    found: Any = sys.modules.get(home[0])
    for name in home[1].split("."):
        found = getattr(found, name, None)
    if isinstance(found, type):
        return found
    named = _Named(home[1], (Warning,), {})
    named.home = home
    return named


def _set_warnings(state: Iterable[_Filter]) -> None:
    filters = [
        (action, message, _category(home), module, line)
        for action, message, home, module, line in state
    ]
    cast("list[Any]", warnings.filters)[:] = filters
    if (mutated := getattr(warnings, "_filters_mutated", None)) is not None:
        mutated()


ALWAYS = (
    *("shell", "formatters", "builtins", "codecs", "digits of an integer", "recursion limit"),
    *("signals", "garbage collector", "thread switching", "warnings.filters", "umask"),
)
"""The kinds that matter even to a cell that reads and imports nothing."""

KINDS: dict[str, StateKind] = {
    "random": StateKind("random", random.getstate, random.setstate),
    **library_state.LIBRARIES,
    "figure formats": StateKind(
        "matplotlib_inline.config", figure_formats.get, figure_formats.put, figure_formats.FRESH
    ),
    "warnings.filters": StateKind("warnings", _warning_filters, _set_warnings),
    "decimal.context": attributes("decimal", decimal.getcontext, _OF_DECIMALS),
    "decimal.signals": StateKind("decimal", _decimal_signals, _set_decimal_signals),
    # of new threads
    "decimal.default": attributes("decimal", lambda: decimal.DefaultContext, _OF_DECIMALS),
    "logging.settings": StateKind(
        "logging", logging_state.settings, logging_state.set_settings, logging_state.FRESH
    ),
    "logging": StateKind("logging", logging_state.get, logging_state.put),
    "logging.waiting": StateKind("logging", logging_records.waiting, logging_records.wait_for),
    "logging.records": StateKind("logging", logging_records.kept, logging_records.deliver),
    "signals": StateKind("signal", signal_state.get, signal_state.put, {}),
    "recursion limit": StateKind("sys", _recursion_limit, sys.setrecursionlimit, _RECURSION),
    "shell": StateKind("IPython", ipython_state.get, ipython_state.put, ipython_state.FRESH),
    "formatters": StateKind("IPython", ipython_state.formatters, ipython_state.set_formatters),
    "environment": StateKind("os", _environment, _set_environment),
    **python_settings.SETTINGS,
    **recorded_calls.RECORDED,
    "sys.path": StateKind("sys", import_path.get, import_path.put),
    "time zone": StateKind("time", clock_state.zone, clock_state.set_zone),
    "locale": StateKind(
        "locale", clock_state.locales, clock_state.set_locales, clock_state.FRESH_LOCALES
    ),
    "builtins": StateKind("builtins", builtins_state.get, builtins_state.put),
    HELD: StateKind("sys", lambda: None, held_objects.put),
    "own modules": StateKind("sys", module_importer.changed, module_changes.apply),
}
"""What travels. Listed in docs/cells.md."""
