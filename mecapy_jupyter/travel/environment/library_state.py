"""The state that libraries keep for a whole process: numpy, matplotlib, pandas, sympy. Each is
asked only where it is loaded.

It never imports a package for this.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

from IPython.core.getipython import get_ipython

NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_BACKENDS = frozenset(
    {"backend", "backend_fallback", "interactive", "toolbar", "webagg.address", "webagg.port"}
)


def numpy_random() -> Any:
    name, keys, *rest = sys.modules["numpy"].random.get_state()
    return (name, keys.tobytes(), *rest)


def set_numpy_random(state: Any) -> None:
    numpy = sys.modules["numpy"]
    name, keys, *rest = state
    numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))


def _styles(params: dict[str, Any]) -> dict[str, Any]:
    """`params` as they stand: asked their own way, they warn of old names and choose a back end."""
    return {name: value for name, value in dict[str, Any].items(params) if name not in _BACKENDS}


def numpy_errors() -> Any:
    now = sys.modules["numpy"].geterr()
    return now if now != NUMPY_ERRORS else None


def rc_params() -> Any:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    return {name: value for name, value in now.items() if value != fresh.get(name)}


def set_rc_params(state: Any) -> None:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    for name, value in (fresh | state).items():
        if now.get(name) != value:
            matplotlib.rcParams[name] = value


def pandas_options() -> Any:
    config = sys.modules["pandas._config.config"]
    now, fresh = (
        _flat(config._global_config),
        {name: option.defval for name, option in config._registered_options.items()},
    )
    return {name: value for name, value in now.items() if value != fresh.get(name)}


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        found |= (
            _flat(cast("dict[str, Any]", value), f"{prefix}{name}.")
            if isinstance(value, dict)
            else {prefix + name: value}
        )
    return found


def set_pandas_options(state: Any) -> None:
    config = sys.modules["pandas._config.config"]
    fresh = {name: config._registered_options[name].defval for name in pandas_options()}
    for name, value in (fresh | state).items():
        config.set_option(name, value)


def sympy_printing() -> Any:
    """What `init_printing` set up in this shell; None where it was not called."""
    shell: Any = get_ipython()
    if shell is None:
        return None
    formatters, printable = (
        shell.display_formatter.formatters,
        sys.modules["sympy.core._print_helpers"].Printable,
    )
    if printable not in formatters["text/plain"].type_printers:
        return None
    latex, png = (tuple in formatters[mime].type_printers for mime in ("text/latex", "image/png"))
    said = sys.modules[
        "sympy.printing.printer"
    ].Printer._global_settings  # order, use_unicode, wrap_line, num_columns
    return {"use_latex": (png and latex) or (png and "png") or (latex and "mathjax"), **said}
