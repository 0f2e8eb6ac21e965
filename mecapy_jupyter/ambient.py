"""State outside the variables that a notebook's next cell relies on: random numbers, print options, styles, and their like.

A fresh process has none of it, so it travels with a cell, and comes home where the cell changed it. Only what is loaded and not
as a fresh process has it is sent. Before it: `client` and `mecapy_worker.child`. It never imports a package for this.
"""

from __future__ import annotations

import contextlib
import decimal
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from IPython.core.getipython import get_ipython

from . import logstate

_fresh_environment = dict(os.environ)  # as it was when the extension was loaded
_BACKENDS = frozenset({"backend", "backend_fallback", "interactive", "toolbar", "webagg.address", "webagg.port"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of state. `module`: what must be loaded; `get`: plain data, or None when it is as in a fresh process."""

    module: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


def current() -> dict[str, Any]:
    """The state of this process, by kind."""
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        if kind.module in sys.modules:
            with contextlib.suppress(Exception):  # a library that changed its ways costs its state, not the cell
                found[name] = kind.get()
    return {name: state for name, state in found.items() if state is not None}


def take(state: Mapping[str, Any]) -> None:
    """Make this process's state like that. A kind whose library is not loaded here is loaded: the cell would have, too."""
    for name, value in state.items():
        kind = KINDS[name]
        with contextlib.suppress(Exception):
            __import__(kind.module)
            kind.put(value)


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The kinds that are not what they were."""
    return {name: value for name, value in now.items() if not _equal(before.get(name), value)}


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:
        return False  # arrays in a style, for instance: sent once more than needed


def _numpy_random() -> Any:
    name, keys, *rest = sys.modules["numpy"].random.get_state()
    return (name, keys.tobytes(), *rest)


def _set_numpy_random(state: Any) -> None:
    numpy = sys.modules["numpy"]
    name, keys, *rest = state
    numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))


def _styles(params: dict[str, Any]) -> dict[str, Any]:
    """`params` as they stand: asked in their own way, they warn of old names and choose a back end."""
    return {name: value for name, value in dict[str, Any].items(params) if name not in _BACKENDS}


def _numpy_errors() -> Any:
    now = sys.modules["numpy"].geterr()
    return now if now != {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"} else None


def _recursion_limit() -> int | None:
    """IPython and others raise it to 3000 here and there: only what a notebook wants beyond that counts."""
    now = sys.getrecursionlimit()
    return now if now > 3000 else None


def _rc_params() -> Any:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    return {name: value for name, value in now.items() if value != fresh.get(name)}


def _set_rc_params(state: Any) -> None:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    for name, value in (fresh | state).items():
        if now.get(name) != value:
            matplotlib.rcParams[name] = value


def _pandas_options() -> Any:
    config = sys.modules["pandas._config.config"]
    now, fresh = _flat(config._global_config), {name: option.defval for name, option in config._registered_options.items()}
    return {name: value for name, value in now.items() if value != fresh.get(name)}


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        found |= _flat(cast("dict[str, Any]", value), f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _set_pandas_options(state: Any) -> None:
    config = sys.modules["pandas._config.config"]
    fresh = {name: config._registered_options[name].defval for name in _pandas_options()}
    for name, value in (fresh | state).items():
        config.set_option(name, value)


def _sympy_printing() -> Any:
    """What `init_printing` set up in this shell; None where it was not called."""
    shell: Any = get_ipython()
    if shell is None:
        return None
    formatters, printable = shell.display_formatter.formatters, sys.modules["sympy.core._print_helpers"].Printable
    if printable not in formatters["text/plain"].type_printers:
        return None
    latex, png = (tuple in formatters[mime].type_printers for mime in ("text/latex", "image/png"))
    unicode = sys.modules["sympy.printing.pretty.pretty_symbology"]._use_unicode
    return {"use_latex": (png and latex) or (png and "png") or (latex and "mathjax"), "use_unicode": unicode}


def _set_environment(state: Mapping[str, str | None]) -> None:
    for name, value in state.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _environment() -> dict[str, str | None]:
    """What was set or removed since the extension was loaded. Our own settings stay: one of them is a token."""
    new: dict[str, str | None] = {name: value for name, value in os.environ.items() if _fresh_environment.get(name) != value}
    gone: dict[str, str | None] = {name: None for name in _fresh_environment if name not in os.environ}
    return {name: value for name, value in (new | gone).items() if not name.startswith("MECAPY_")}


def begin_environment() -> None:
    """From here on, count changes of the environment."""
    _fresh_environment.clear()
    _fresh_environment.update(os.environ)


def _decimal_context() -> Any:
    context = decimal.getcontext()
    return {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}


def _set_decimal_context(state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        setattr(decimal.getcontext(), name, value)


class _Named(type):
    """A warning category that is not loaded here, by its name. Were it sent itself, opening it would import its package for every task."""

    home: tuple[str, str] = ("", "")

    def __subclasscheck__(cls, subclass: type) -> bool:
        return any((base.__module__, base.__qualname__) == cls.home for base in subclass.__mro__)


def _warning_filters() -> Any:
    found: Any = warnings.filters
    return [(action, message, _home(category), module, line) for action, message, category, module, line in found]


def _home(category: type) -> tuple[str, str]:
    return category.home if isinstance(category, _Named) else (category.__module__, category.__qualname__)


def _category(home: tuple[str, str]) -> Any:
    found: Any = sys.modules.get(home[0])
    for name in home[1].split("."):
        found = getattr(found, name, None)
    if isinstance(found, type):
        return found
    named = _Named(home[1], (Warning,), {})
    named.home = home
    return named


def _set_warnings(state: Any) -> None:
    filters = [(action, message, _category(home), module, line) for action, message, home, module, line in state]
    cast("list[Any]", warnings.filters)[:] = filters
    if (mutated := getattr(warnings, "_filters_mutated", None)) is not None:
        mutated()


KINDS: dict[str, Kind] = {
    "random": Kind("random", random.getstate, random.setstate),
    "numpy.random": Kind("numpy", _numpy_random, _set_numpy_random),
    "numpy.printoptions": Kind(
        "numpy", lambda: sys.modules["numpy"].get_printoptions(), lambda state: sys.modules["numpy"].set_printoptions(**state)
    ),
    "matplotlib.rcParams": Kind("matplotlib", _rc_params, _set_rc_params),
    "pandas.options": Kind("pandas", _pandas_options, _set_pandas_options),
    "sympy.printing": Kind("sympy", _sympy_printing, lambda state: sys.modules["sympy"].init_printing(**state)),
    "warnings.filters": Kind("warnings", _warning_filters, _set_warnings),
    "decimal.context": Kind("decimal", _decimal_context, _set_decimal_context),
    "numpy.errstate": Kind("numpy", _numpy_errors, lambda state: sys.modules["numpy"].seterr(**state)),
    "logging": Kind("logging", logstate.get, logstate.put),
    "recursion limit": Kind("sys", _recursion_limit, sys.setrecursionlimit),
    "environment": Kind("os", _environment, _set_environment),
}
"""What travels. Listed in docs/operating.md."""
