"""Reads and sets parts of the user's own modules by their paths (see `module_state`)."""

from __future__ import annotations

import abc
import enum
import functools
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from mecapy_jupyter.travel.environment.registered import Registered

DEFAULTS = ("__defaults__", "__kwdefaults__")
_PLAIN_CLASSES = (type, abc.ABCMeta)
_PYTHONS = (*_PLAIN_CLASSES, object)


class Unbound:
    """Stands for an attribute that the module's text binds and the module has not."""


def restore(module: types.ModuleType, attributes: Mapping[str, Any]) -> None:
    """Give a module this state."""
    for path, value in attributes.items():
        holder, name = _place(module, path)
        if value is Unbound:
            _remove(holder, name)
        elif holder is not None and _held(holder, name) is not value:
            _set(holder, name, value)


def delete(module: types.ModuleType, paths: Iterable[str]) -> None:
    for path in paths:
        _remove(*_place(module, path))


def _remove(holder: Any, name: str) -> None:
    if holder is not None and name in vars(holder):
        delattr(holder, name)


def names(module: types.ModuleType) -> set[str]:
    """The paths of what stands in it and in its classes."""
    found = {name for name in vars(module) if not name.startswith("__")}
    for name in list(found):
        if (cls := _class(module, name)) is not None:
            inner = (part for part in vars(cls) if not part.startswith(("__", "_abc_")))
            found.update(f"{name}.{part}" for part in inner)
    return found


def lacks(module: types.ModuleType, path: str) -> bool:
    """Whether it has not what its text defines: a name, or a method of a class."""
    name, _, inner = path.partition(".")
    if not inner:
        return name not in vars(module)
    cls = _class(module, name)
    return cls is not None and cls.__qualname__ == name and inner not in vars(cls)


def _class(module: types.ModuleType, name: str) -> type[Any] | None:
    """A class of its own, whose attributes can be set."""
    held: Any = vars(module).get(name)
    mine = isinstance(held, type) and held.__module__ == module.__name__ and is_settable(held)
    return held if mine else None


def is_settable(cls: type[Any]) -> bool:
    """Whether its attributes are as they were set. A library's metaclass may change them."""
    kind: Any = type(cls)
    if kind in _PLAIN_CLASSES:
        return True
    bases = [base for base in cast("tuple[type, ...]", kind.__mro__) if base not in _PYTHONS]
    if (kind.__setattr__, kind.__delattr__) != (type.__setattr__, type.__delattr__):
        return False
    package = cls.__module__.partition(".")[0]
    return all(base.__module__.partition(".")[0] == package for base in bases)


def has(module: types.ModuleType, path: str) -> bool:
    holder, name = _place(module, path)
    return holder is not None and (name[0] == ":" or name in DEFAULTS or name in vars(holder))


def held_at(module: types.ModuleType, path: str) -> Any:
    """The value there; None if there is none."""
    holder, name = _place(module, path)
    return None if holder is None else _held(holder, name)


def _place(module: types.ModuleType, path: str) -> tuple[Any, str]:
    """What holds the value, None if it is not there, and its name in it."""
    holder: Any = module
    *steps, name = path.replace(":", ".:").split(".")
    for step in steps:
        holder = None if holder is None else bare(_held(holder, step))
    return holder, name


def _held(holder: Any, name: str) -> Any:
    if name[0] == ":":
        with suppress(ValueError):
            return _cell(holder, name).cell_contents
        return None
    if name in DEFAULTS:
        return getattr(holder, name, None)
    if isinstance(holder, enum.EnumMeta):
        return holder.__members__.get(name)
    return cast("dict[str, Any]", vars(holder)).get(name)


def _cell(function: types.FunctionType, name: str) -> types.CellType:
    """Raises ValueError if its closure has no such variable."""
    at = function.__code__.co_freevars.index(name[1:])
    return cast("tuple[types.CellType, ...]", function.__closure__)[at]


def _set(holder: Any, name: str, value: Any) -> None:
    if name[0] == ":":
        with suppress(ValueError):
            _cell(holder, name).cell_contents = value
    elif type(value) is Registered:
        value.put(holder)
    else:
        setattr(holder, name, value)


def bare(value: Any) -> Any:
    """The function behind a method or property."""
    if isinstance(value, functools.singledispatchmethod):
        return cast(Any, value).dispatcher
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)
