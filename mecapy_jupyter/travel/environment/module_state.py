"""The current state of the user's own modules: data, attributes of their classes and functions,
what functions hold by their closures and defaults, replaced or added functions. Each has a path in
the module (`STEPS`, `Solver.tol`, `solve.calls`, `solve:cache`, `solve.__defaults__`). The kernel
reads it (`of`); the other side sets it after the import (`restore`).
"""

from __future__ import annotations

import abc
import enum
import functools
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from mecapy_jupyter.travel.environment import state_pickler

States = dict[str, dict[str, Any]]
"""Module → path → value."""
IsOwn = Callable[[types.ModuleType], bool]
SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_OF_A_PROCESS = frozenset({"_thread", "threading", "_io", "_socket", "socket", "sqlite3"})


class Unbound:
    """Stands for an attribute that the module's text binds and the module has not."""


_DEFAULTS = ("__defaults__", "__kwdefaults__")


def of(module: types.ModuleType, is_own: IsOwn) -> dict[str, Any]:
    """Path → value. The caller drops what cannot be pickled."""
    made = is_made(module)
    found = dict[str, Any]()
    for name, value in list(vars(module).items()):
        if name.startswith("__") and name.endswith("__"):
            continue
        if not made and (isinstance(value, threading.local) or _holds_a_lock(value, is_own)):
            parts = list(vars(cast(object, value)).items())
            found.update({f"{name}.{at}": part for at, part in parts if _is_data(part, is_own)})
        elif made or _is_data(value, is_own) or _replaced(value, module, name):
            found[name] = value
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
    if type(cls) not in (type, abc.ABCMeta) or issubclass(cls, enum.Enum):
        return  # another metaclass may change the attribute
    for name, value in list(vars(cls).items()):
        if name.startswith("__") or name.startswith("_abc_"):
            continue
        bare: object = getattr(value, "__func__", value)
        if _replaced(bare, module, f"{cls.__qualname__}.{name}") or (
            not hasattr(cast(object, type(value)), "__get__") and _is_data(value, is_own)
        ):
            yield f"{path}.{name}", value
        elif isinstance(value, type) and value.__qualname__ == f"{cls.__qualname__}.{name}":
            yield from _of_class(f"{path}.{name}", cast("type[Any]", value), module, is_own)
        else:
            yield from _of_function(f"{path}.{name}", value, module, is_own)


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
    function = _bare(value)
    if not isinstance(function, types.FunctionType) or function in outer:
        return
    if function.__module__ != module.__name__:
        return
    for name, held in list(vars(function).items()):
        if _is_data(held, is_own):
            yield f"{path}.{name}", held
    named = function.__kwdefaults__ or {}
    for name, held in zip(_DEFAULTS, (function.__defaults__ or (), named), strict=True):
        if not all(type(part) in SCALARS for part in (named.values() if held is named else held)):
            yield f"{path}.{name}", held
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it has no value yet
            if _is_data(cell.cell_contents, is_own):
                yield f"{path}:{name}", cell.cell_contents
            else:
                inner = (f"{path}:{name}", cell.cell_contents, module, is_own)
                yield from _of_function(*inner, (*outer, function))


def _bare(value: Any) -> Any:
    """The function behind a method or property."""
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


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
    """Of Python, numpy or numba: the module has it from its text, or from another module."""
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
        return False
    elif value.__globals__ is vars(sys.modules["__main__"]):
        return True
    return "<" not in value.__qualname__ and (
        value.__qualname__ != path
        if value.__module__ == module.__name__
        else value.__name__ != path.rpartition(".")[2] and _by_name(value)
    )


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


def restore(module: types.ModuleType, attributes: Mapping[str, Any]) -> None:
    """Give a module this state."""
    for path, value in attributes.items():
        holder, name = _place(module, path)
        if value is Unbound:
            vars(module).pop(path, None)
        elif holder is not None and _held(holder, name) is not value:
            _set(holder, name, value)


def delete(module: types.ModuleType, paths: Iterable[str]) -> None:
    for path in paths:
        holder, name = _place(module, path)
        if name in vars(holder):
            delattr(holder, name)


def has(module: types.ModuleType, path: str) -> bool:
    holder, name = _place(module, path)
    return holder is not None and (name[0] == ":" or name in _DEFAULTS or name in vars(holder))


def same(before: Any, now: Any) -> bool:
    """Whether it is one object, or two numbers or texts that are equal."""
    if before is now:
        return True
    scalar = type(before) is type(now) and type(now) in SCALARS
    return scalar and state_pickler.dumps(before) == state_pickler.dumps(now)


def held_at(module: types.ModuleType, path: str) -> Any:
    """The value there; None if there is none."""
    holder, name = _place(module, path)
    return None if holder is None else _held(holder, name)


def _place(module: types.ModuleType, path: str) -> tuple[Any, str]:
    """What holds the value, None if it is not there, and its name in it."""
    holder: Any = module
    *steps, name = path.replace(":", ".:").split(".")
    for step in steps:
        holder = None if holder is None else _bare(_held(holder, step))
    return holder, name


def _held(holder: Any, name: str) -> Any:
    if name[0] == ":":
        with suppress(ValueError):
            return _cell(holder, name).cell_contents
        return None
    if name in _DEFAULTS:
        return getattr(holder, name, None)
    return cast("dict[str, Any]", vars(holder)).get(name)


def _cell(function: types.FunctionType, name: str) -> types.CellType:
    """Raises ValueError if its closure has no such variable."""
    at = function.__code__.co_freevars.index(name[1:])
    return cast("tuple[types.CellType, ...]", function.__closure__)[at]


def _set(holder: Any, name: str, value: Any) -> None:
    if name[0] == ":":
        with suppress(ValueError):
            _cell(holder, name).cell_contents = value
    else:
        setattr(holder, name, value)
