"""The current state of the user's own modules: data, attributes of their classes, replaced or added
functions, each named by its path in the module (`STEPS`, `Solver.tol`). The kernel reads it (`of`);
the other side sets it after the import (`restore`).
"""

from __future__ import annotations

import abc
import enum
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.environment import state_pickler
from mecapy_jupyter.travel.hooks import pickles


def of(module: types.ModuleType, is_own: Callable[[types.ModuleType], bool]) -> dict[str, Any]:
    """Path → value. The caller drops what cannot be pickled."""
    made = is_made(module)
    found = dict[str, Any]()
    for name, value in list(vars(module).items()):
        if name.startswith("__") and name.endswith("__"):
            continue
        if made or _is_data(value, is_own) or _replaced(value, module, name):
            found[name] = value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            found.update(_of_class(cast("type[Any]", value), module, is_own))
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
    cls: type[Any], module: types.ModuleType, is_own: Callable[[types.ModuleType], bool]
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
            yield f"{cls.__name__}.{name}", value


def _is_data(value: object, is_own: Callable[[types.ModuleType], bool]) -> bool:
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
    return not callable(value) or (defined is not None and is_own(defined))


def _replaced(value: object, module: types.ModuleType, path: str) -> bool:
    """Whether a function does not come from the module's own text: one of the notebook, or of
    another module.
    """
    if isinstance(value, property):
        return any(_replaced(part, module, path) for part in (value.fget, value.fset))
    if not isinstance(value, types.FunctionType):
        return False
    if value.__globals__ is vars(sys.modules["__main__"]):
        return True
    return "<" not in value.__qualname__ and (
        value.__qualname__ != path
        if value.__module__ == module.__name__
        else value.__name__ != path.rpartition(".")[2] and _by_name(value)
    )


def _by_name(function: types.FunctionType) -> bool:
    home: Any = sys.modules.get(function.__module__)
    return getattr(home, function.__qualname__, None) is function


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
    """Give a newly imported module the notebook's state. Equal objects stay, and containers keep
    their identity, because functions and other modules refer to them.
    """
    for path, value in attributes.items():
        holder, name = _place(module, path)
        if holder is not None:
            _set(holder, name, value)


def delete(module: types.ModuleType, paths: Iterable[str]) -> None:
    for path in paths:
        holder, name = _place(module, path)
        if holder is not None and name in vars(holder):
            delattr(holder, name)


def has(module: types.ModuleType, path: str) -> bool:
    holder, name = _place(module, path)
    return holder is not None and name in vars(holder)


def _place(module: types.ModuleType, path: str) -> tuple[Any, str]:
    """What has the attribute, and the attribute's name."""
    inside, _, name = path.rpartition(".")
    return (getattr(module, inside, None) if inside else module), name


def _set(holder: Any, name: str, value: Any) -> None:
    held: dict[str, Any] = dict(vars(cast(object, holder)))
    if name not in held or not _stays(held[name], value, {}):
        setattr(holder, name, value)


def _stays(old: Any, new: Any, met: dict[int, Any]) -> bool:
    """Make `old` equal to `new` in place, parts included, because others may refer to them. Returns
    whether that worked.
    """
    if old is new or met.get(id(old)) is new:
        return True
    kind = cast("type[Any]", type(old))
    if kind is not type(new) or kind is float:  # a zero has a sign
        return False
    met[id(old)] = new
    if kind is list:
        old[:] = [_kept(o, n, met) for o, n in zip(old, new, strict=False)] + new[len(old) :]
    elif kind is dict:
        _take(old, new, met)
    elif kind is set:
        old.clear()
        old.update(new)
    elif _holds_attributes(kind):
        _take(vars(cast(object, old)), vars(cast(object, new)), met)
    else:
        return state_pickler.dumps(old) == state_pickler.dumps(new)
    return True


def _kept(old: Any, new: Any, met: dict[int, Any]) -> Any:
    return old if _stays(old, new, met) else new


def _take(old: dict[Any, Any], new: dict[Any, Any], met: dict[int, Any]) -> None:
    merged = {
        key: _kept(old[key], value, met) if key in old else value for key, value in new.items()
    }
    if list(old) != list(merged):
        old.clear()
    old.update(merged)


class _Plain: ...


def _holds_attributes(kind: Any) -> bool:
    """Whether an object of a Python class holds nothing but its `__dict__`."""
    return (
        kind.__basicsize__ == cast(Any, _Plain).__basicsize__
        and bool(kind.__dictoffset__)
        and pickles.by_default(kind)
        and not hasattr(kind, "__setstate__")
    )
