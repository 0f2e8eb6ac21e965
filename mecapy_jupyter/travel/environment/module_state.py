"""The current state of the user's own modules: data, attributes of their classes and functions,
what functions hold by their closures and defaults, replaced or added functions. Each has a path in
the module (`STEPS`, `Solver.tol`, `solve.calls`, `solve:cache`, `solve.__defaults__`). The kernel
reads it (`of`); the other side sets it after the import (`module_paths`).
"""

from __future__ import annotations

import enum
import functools
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from mecapy_jupyter.travel.environment import registered, state_pickler
from mecapy_jupyter.travel.environment.module_paths import DEFAULTS, bare, is_settable

States = dict[str, dict[str, Any]]
"""Module → path → value."""
IsOwn = Callable[[types.ModuleType], bool]
_OF_THE_IMPORT = frozenset(
    (
        *("__name__", "__package__", "__loader__", "__spec__", "__path__", "__file__"),
        *("__cached__", "__builtins__", "__annotations__", "__annotate__", "__warningregistry__"),
        "__conditional_annotations__",
    )
)
SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_OF_NUMPY = frozenset({"ufunc", "_ArrayFunctionDispatcher"})
_OF_A_MEMBER = frozenset({"_name_", "__objclass__", "_sort_order_"})
_OF_A_PROCESS = frozenset({"_thread", "threading", "_io", "_socket", "socket", "sqlite3"})


def of(module: types.ModuleType, is_own: IsOwn) -> dict[str, Any]:
    """Path → value. The caller drops what cannot be pickled."""
    made = is_made(module)
    found = dict[str, Any]()
    for name, value in list(vars(module).items()):
        if name in _OF_THE_IMPORT:
            continue
        if not made and (isinstance(value, threading.local) or _holds_a_lock(value, is_own)):
            parts = list(vars(cast(object, value)).items())
            found.update({f"{name}.{at}": part for at, part in parts if _is_data(part, is_own)})
        elif made or _is_data(value, is_own) or _replaced(value, module, name):
            found[name] = value
        elif isinstance(value, enum.EnumMeta) and value.__module__ == module.__name__:
            found.update(_of_enum(name, value, is_own))
        elif isinstance(value, type) and value.__module__ == module.__name__:
            found.update(_of_class(name, cast("type[Any]", value), module, is_own))
        else:
            found.update(_of_function(name, value, module, is_own))
    return found


def is_made(module: types.ModuleType) -> bool:
    """Whether it was created at run time and put into `sys.modules`: no file, no loader."""
    return (
        type(module) is types.ModuleType
        and "." not in module.__name__
        and not module.__name__.startswith("_")
        and sys.modules.get(module.__name__) is module
        and all(
            getattr(module, name, None) is None
            for name in ("__spec__", "__loader__", "__file__", "__path__")
        )
    )


def _of_class(
    path: str, cls: type[Any], module: types.ModuleType, is_own: IsOwn
) -> Iterator[tuple[str, Any]]:
    if not is_settable(cls):
        return
    if known := registered.with_class(cls, module.__name__):
        yield f"{path}.{registered.WITH}", known
    for name, value in list(vars(cls).items()):
        if name.startswith(("__", "_abc_")):
            if _is_notebooks(getattr(value, "__func__", value)):
                yield f"{path}.{name}", value
            continue
        if _replaced(getattr(value, "__func__", value), module, f"{cls.__qualname__}.{name}") or (
            not hasattr(cast(object, type(value)), "__get__") and _is_data(value, is_own)
        ):
            yield f"{path}.{name}", value
        elif isinstance(value, type) and value.__qualname__ == f"{cls.__qualname__}.{name}":
            yield from _of_class(f"{path}.{name}", cast("type[Any]", value), module, is_own)
        else:
            yield from _of_function(f"{path}.{name}", value, module, is_own)


def _of_enum(path: str, cls: enum.EnumMeta, is_own: IsOwn) -> Iterator[tuple[str, Any]]:
    """What its members hold besides their names and plain values."""
    for name, member in cls.__members__.items():
        for part, value in list(vars(member).items()):
            fixed = part in _OF_A_MEMBER or (part == "_value_" and type(value) in SCALARS)
            if not fixed and _is_data(value, is_own):
                yield f"{path}.{name}.{part}", value


def _of_function(
    path: str,
    value: object,
    module: types.ModuleType,
    is_own: IsOwn,
    outer: tuple[object, ...] = (),
) -> Iterator[tuple[str, Any]]:
    """Its attributes, its defaults, and the variables of its closure, also of a function that it
    wraps.
    """
    function = bare(value)
    if not isinstance(function, types.FunctionType) or function in outer:
        return
    if function.__module__ != module.__name__:
        return
    if known := registered.with_function(function):
        yield f"{path}.{registered.FOR}", known
    for name, held in list(vars(function).items()):
        if _is_data(held, is_own) and type(held) is not types.MappingProxyType:
            yield f"{path}.{name}", held
    named = function.__kwdefaults__ or {}
    for name, held in zip(DEFAULTS, (function.__defaults__ or (), named), strict=True):
        if not all(type(part) in SCALARS for part in (named.values() if held is named else held)):
            yield f"{path}.{name}", held
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it has no value yet
            if _is_data(cell.cell_contents, is_own):
                yield f"{path}:{name}", cell.cell_contents
            else:
                inner = (f"{path}:{name}", cell.cell_contents, module, is_own)
                yield from _of_function(*inner, (*outer, function))


def _is_data(value: object, is_own: IsOwn) -> bool:
    kind = type(value)
    if (
        isinstance(value, (types.ModuleType, type))
        or kind is object
        or kind.__module__ in ("typing", "_thread", "threading")
    ):
        return False
    # sys.path, sys.modules: each process has its own
    if kind in (list, dict) and any(value is held for held in vars(sys).values()):
        return False
    defined = sys.modules.get(kind.__module__)
    if defined is not None and is_own(defined):
        return True
    if kind is types.MethodType:
        return _is_own_object(cast(types.MethodType, value).__self__, is_own)
    # an object that can be called: a curve of scipy, a registry of pint
    return not callable(value) or kind is functools.partial or not _is_function(kind)


def _is_own_object(value: object, is_own: IsOwn) -> bool:
    defined = sys.modules.get(type(value).__module__)
    return defined is not None and is_own(defined) and not isinstance(value, type)


def _is_function(kind: type[Any]) -> bool:
    """A function of Python, numpy or numba: the module has it from its text, or from another
    module.
    """
    return (
        kind is types.BuiltinFunctionType
        or (kind.__module__, kind.__name__) == ("numpy", "ufunc")
        or hasattr(kind, "__get__")
    )


def _holds_a_lock(value: object, is_own: IsOwn) -> bool:
    """Or another part that no process can send: then its other attributes travel, each by itself,
    and the import makes the object.
    """
    home = sys.modules.get(type(value).__module__)
    if home is None or not type(value).__dictoffset__ or not is_own(home):
        return False
    return any(type(part).__module__ in _OF_A_PROCESS for part in list(vars(value).values()))


def _replaced(value: object, module: types.ModuleType, path: str) -> bool:
    """Whether a function or class does not come from the module's own text: one of the notebook, or
    of another module.
    """
    if isinstance(value, property):
        return any(_replaced(part, module, path) for part in (value.fget, value.fset))
    if isinstance(value, type):
        if value.__module__ == "__main__":
            return True
    elif not isinstance(value, types.FunctionType):
        return _is_librarys(value) and cast(Any, value).__name__ != path.rpartition(".")[2]
    elif _is_notebooks(value):
        return True
    return "<" not in value.__qualname__ and (
        value.__qualname__ != path
        if value.__module__ == module.__name__
        else value.__name__ != path.rpartition(".")[2] and _by_name(value)
    )


def _is_notebooks(value: object) -> bool:
    return isinstance(value, types.FunctionType) and state_pickler.is_users(value)


def _is_librarys(value: object) -> bool:
    """A function of Python or numpy that is not written in Python."""
    kind = type(value)
    if kind is types.BuiltinFunctionType:
        return isinstance(cast(Any, value).__self__, types.ModuleType)
    return kind.__module__.startswith("numpy") and kind.__name__ in _OF_NUMPY


def _by_name(value: types.FunctionType | type[Any]) -> bool:
    home: Any = sys.modules.get(value.__module__)
    return getattr(home, value.__qualname__, None) is value


def pickled(
    values: Mapping[str, Any], made: frozenset[str] = frozenset(), files: set[str] | None = None
) -> dict[str, bytes]:
    """The values that can travel. A module recreates the others (locks, threads) on import."""
    return {
        path: data
        for path, value in values.items()
        if (data := state_pickler.dumps(value, made, files)) is not None
    }


def same(before: Any, now: Any) -> bool:
    """Whether it is one object, or two numbers or texts that are equal."""
    if before is now or (type(before) is type(now) is registered.Registered and before == now):
        return True
    scalar = type(before) is type(now) and type(now) in SCALARS
    return scalar and state_pickler.dumps(before) == state_pickler.dumps(now)
