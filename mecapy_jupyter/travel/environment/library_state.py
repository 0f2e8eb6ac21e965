"""State that libraries keep for the whole process; the table at the end has one entry for each.

It is read only if the library is loaded, and set on the other side once the library is imported; no
package is imported for it. Private parts of a library are known for the versions in
tests/magic/test_library_state.py; a library that changed is named.
"""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from IPython.core.getipython import get_ipython

from mecapy_jupyter.travel.environment import pint_state, state_kind, state_pickler
from mecapy_jupyter.travel.environment.plotting_state import PLOTTING
from mecapy_jupyter.travel.environment.state_kind import StateKind, attributes, library

_BUFFER_SIZE = 8192
NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_BACKENDS = frozenset(
    {"backend", "backend_fallback", "interactive", "toolbar", "webagg.address", "webagg.port"}
)


def numpy_random() -> tuple[Any, ...]:
    """The legacy generator's keys as bytes."""
    random = sys.modules["numpy"].random
    state = random.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return (state["bit_generator"], state)
    name, keys, *rest = random.get_state()
    return (name, keys.tobytes(), *rest)


def set_numpy_random(state: tuple[Any, ...]) -> None:
    numpy = sys.modules["numpy"]
    name, keys, *rest = state
    if type(numpy.random.get_bit_generator()).__name__ != name:
        numpy.random.set_bit_generator(getattr(numpy.random, name)())
    legacy = (name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest) if rest else keys
    numpy.random.set_state(legacy)


def functions() -> list[Any]:
    """Functions of the notebook that libraries may call."""
    numpy = sys.modules.get("numpy")
    return [numpy.geterrcall()] if numpy is not None and numpy.geterrcall() is not None else []


def _error_call() -> bytes | None:
    """The notebook's function of `np.seterr(all="call")`."""
    function = sys.modules["numpy"].geterrcall()
    return state_pickler.dumps(function) if state_pickler.is_users(function) else None


def _set_error_call(function: bytes) -> None:
    sys.modules["numpy"].seterrcall(pickle.loads(function))  # noqa: S301 our own state


def _styles(params: dict[str, Any]) -> dict[str, Any]:
    """`params` read directly: their own methods warn of old names and choose a back end."""
    return {name: value for name, value in dict[str, Any].items(params) if name not in _BACKENDS}


def rc_params() -> dict[str, Any]:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    return {name: value for name, value in now.items() if value != fresh.get(name)}


def set_rc_params(state: dict[str, Any]) -> None:
    matplotlib = sys.modules["matplotlib"]
    now, fresh = _styles(matplotlib.rcParams), _styles(matplotlib.rcParamsDefault)
    for name, value in (fresh | state).items():
        if now.get(name) != value:
            matplotlib.rcParams[name] = value


def pandas_options() -> dict[str, Any]:
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


def set_pandas_options(state: dict[str, Any]) -> None:
    config = sys.modules["pandas._config.config"]
    fresh = {name: config._registered_options[name].defval for name in pandas_options()}
    for name, value in (fresh | state).items():
        config.set_option(name, value)


def sympy_printing() -> Any:
    """The settings of `init_printing` in this shell; None if it was not called."""
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
    settings = sys.modules[
        "sympy.printing.printer"
    ].Printer._global_settings  # order, use_unicode, wrap_line, num_columns
    return {"use_latex": (png and latex) or (png and "png") or (latex and "mathjax"), **settings}


def _assumed() -> dict[str, bytes | None]:
    """sympy's global assumptions, each as its text and its pickle."""
    assumed = library("sympy.assumptions.assume").global_assumptions
    return {str(each): state_pickler.dumps(each) for each in assumed}


def _assume(state: dict[str, bytes]) -> None:
    assumed = library("sympy.assumptions.assume").global_assumptions
    assumed.clear()
    assumed.update(pickle.loads(data) for data in state.values() if data)  # noqa: S301 our own state


def _dask() -> Any:
    """Differences from the packages' defaults, without a client's scheduler."""
    config = library("dask.config")
    fresh: dict[str, Any] = config.merge(*config.defaults)
    now: dict[str, Any] = config.config
    differs = {name: value for name, value in now.items() if value != fresh.get(name)}
    if differs.get("scheduler") == "dask.distributed":
        del differs["scheduler"]
    return copy.deepcopy(differs) or None


def _set_dask(state: dict[str, Any]) -> None:
    config = library("dask.config")
    config.config.update(config.merge(*config.defaults) | copy.deepcopy(state))


def _tqdm_pandas() -> Any:
    """The bar that `tqdm.pandas(…)` added to pandas, with its arguments."""
    hung: Any = getattr(library("pandas").DataFrame, "progress_apply", None)
    closure = dict[str, Any]()
    if hung is not None:
        cells = (cell.cell_contents for cell in hung.__closure__)
        closure = dict(zip(hung.__code__.co_freevars, cells, strict=True))
    bar = closure.get("cls")
    if bar is None or not bar.__module__.startswith("tqdm"):
        return None
    return {"module": bar.__module__, "name": bar.__name__, "how": closure["tqdm_kwargs"]}


def _set_tqdm_pandas(state: dict[str, Any]) -> None:
    module: Any = importlib.import_module(state["module"])
    getattr(module, state["name"]).pandas(**state["how"])


_JAX = (
    *("jax_enable_x64", "jax_debug_nans", "jax_debug_infs", "jax_disable_jit"),
    *("jax_default_matmul_precision", "jax_numpy_rank_promotion", "jax_numpy_dtype_promotion"),
)


def _jax() -> dict[str, Any]:
    values: Mapping[str, Any] = library("jax").config.values
    return {name: values[name] for name in _JAX if name in values}


def _set_jax(state: dict[str, Any]) -> None:
    for name, value in state.items():
        library("jax").config.update(name, value)


def _nested_loops() -> Any:
    """`nest_asyncio.apply()`: a library patched it, and does so again."""
    return True if hasattr(library("asyncio"), "_nest_patched") else None


def _nest_loops(_: Any) -> None:
    importlib.import_module("nest_asyncio").apply()


def _put_into(module: str, holder: Callable[[], dict[str, Any]]) -> StateKind:
    """A dictionary of options, set as a whole."""
    return StateKind(module, lambda: dict(holder()), lambda state: holder().update(state))


LIBRARIES: dict[str, StateKind] = {
    "numpy.random": StateKind("numpy", numpy_random, set_numpy_random),
    "numpy.printoptions": state_kind.functions("numpy", "get_printoptions", "set_printoptions"),
    "numpy.errcall": StateKind("numpy", _error_call, _set_error_call),
    "numpy.errstate": state_kind.functions("numpy", "geterr", "seterr", NUMPY_ERRORS),
    "numpy.bufsize": StateKind(
        "numpy",
        lambda: library("numpy").getbufsize(),
        lambda size: library("numpy").setbufsize(size),
        _BUFFER_SIZE,
    ),
    **PLOTTING,
    "matplotlib.rcParams": StateKind("matplotlib", rc_params, set_rc_params),
    "pandas.options": StateKind("pandas", pandas_options, set_pandas_options),
    "sympy.printing": StateKind(
        "sympy", sympy_printing, lambda state: library("sympy").init_printing(**state)
    ),
    "sympy.parameters": attributes(
        "sympy.core.parameters",
        lambda: library("sympy.core.parameters").global_parameters,
        {"evaluate": True, "distribute": True, "exp_is_pow": False},
    ),
    "sympy.assumptions": StateKind("sympy.assumptions.assume", _assumed, _assume, {}),
    "tqdm.pandas": StateKind("pandas", _tqdm_pandas, _set_tqdm_pandas),
    "sklearn": state_kind.functions("sklearn", "get_config", "set_config"),
    "xarray": _put_into("xarray", lambda: library("xarray.core.options").OPTIONS),
    "dask": StateKind("dask.config", _dask, _set_dask),
    "control": _put_into("control", lambda: library("control.config").defaults),
    "control.names": attributes(
        "control", lambda: library("control").InputOutputSystem, {"_idCounter": 0}
    ),
    "cvxpy.ids": attributes(
        "cvxpy.lin_ops.lin_utils",
        lambda: library("cvxpy.lin_ops.lin_utils").ID_COUNTER,
        {"count": 1},
    ),
    "mpmath": attributes("mpmath", lambda: library("mpmath").mp, {"prec": 53, "pretty": False}),
    "mpmath.iv": attributes("mpmath", lambda: library("mpmath").iv, {"prec": 53}),
    "jax": StateKind("jax", _jax, _set_jax),
    "pint": StateKind("pint", pint_state.get, pint_state.put),
    "nest_asyncio": StateKind("asyncio", _nested_loops, _nest_loops),
}
"""What travels, by name. Listed in docs/cells.md."""
