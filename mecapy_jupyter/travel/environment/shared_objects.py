"""Variables of the notebook that a user-defined module also has (`from params import TABLE`). They
stay one object on the other side, so that functions of the module see the cell's changes.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterable, Mapping
from typing import Any, cast

Shared = dict[str, dict[str, str]]
"""Module → its attribute → the variable that is the same object."""

Inner = dict[str, list[tuple[tuple[tuple[bool, Any], ...], str]]]
"""Module → paths inside its values, each step an item (True) or an attribute, with the variable at
that place (`steel = TABLE["steel"]`).
"""

_MOST_PARTS = 100_000

_NOT_CHANGED: Any = (
    *(type(None), bool, int, float, complex, str, bytes, tuple, frozenset),
    *(type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
)


def _by_id(values: Mapping[str, Any]) -> dict[int, str]:
    may_change = {n: v for n, v in values.items() if not issubclass(type(v), _NOT_CHANGED)}
    return {id(value): name for name, value in may_change.items()}


def of(modules: Mapping[str, types.ModuleType], values: Mapping[str, Any]) -> Shared:
    names = _by_id(values)
    found: Shared = {}
    for home, module in modules.items():
        mine = {a: names[id(v)] for a, v in list(vars(module).items()) if id(v) in names}
        if mine:
            found[home] = mine
    return found


def inside(modules: Mapping[str, types.ModuleType], values: Mapping[str, Any]) -> Inner:
    names = _by_id(values)
    found: Inner = {}
    for home, module in modules.items() if names else ():
        tops = ((((False, name),), value) for name, value in list(vars(module).items()))
        waiting, met = [(path, value) for path, value in tops if id(value) not in names], set[int]()
        while waiting and len(met) < _MOST_PARTS:
            path, value = waiting.pop()
            if id(value) in names and len(path) > 1:
                found.setdefault(home, []).append((path, names[id(value)]))
            elif id(value) not in met:
                met.add(id(value))
                waiting += [((*path, step), part) for step, part in _parts(value, modules)]
    return found


def _parts(value: Any, modules: Iterable[str]) -> Iterable[tuple[tuple[bool, Any], Any]]:
    kind = cast("type[Any]", type(value))
    if kind is dict:
        return [((True, key), part) for key, part in list(value.items())]
    if kind is list:
        return [((True, at), part) for at, part in enumerate(list(value))]
    if kind.__module__ in modules and kind.__dictoffset__:
        held: dict[str, Any] = object.__getattribute__(value, "__dict__")
        return [((False, name), part) for name, part in list(held.items())]
    return ()


def join_inside(
    module: types.ModuleType, found: Iterable[tuple[Any, str]], variables: Mapping[str, Any]
) -> None:
    """Replaces these parts of the module's values by the variables."""
    for path, name in found:
        holder: Any = module
        with contextlib.suppress(LookupError, AttributeError, TypeError):
            for is_item, key in path[:-1]:
                holder = holder[key] if is_item else getattr(holder, key)
            is_item, key = path[-1]
            if name in variables and is_item:
                holder[key] = variables[name]
            elif name in variables:
                setattr(holder, key, variables[name])


def join(
    module: types.ModuleType,
    names: Mapping[str, str],
    variables: Mapping[str, Any],
    others: Iterable[types.ModuleType],
) -> None:
    """Makes the module, and modules that imported from it, refer to the variables."""
    held, taken = vars(module), dict[int, tuple[Any, Any]]()
    for attribute, name in names.items():
        fresh, new = held.get(attribute), variables.get(name)
        if new is None or fresh is new:
            continue
        if type(fresh) is type(new):  # others may have imported it
            taken[id(fresh)] = fresh, new
        setattr(module, attribute, new)
    for each in others if taken else ():
        for attribute, value in list(vars(each).items()):
            if id(value) in taken:
                setattr(each, attribute, taken[id(value)][1])


def still(
    module: types.ModuleType, names: Mapping[str, str], variables: Mapping[str, Any]
) -> set[str]:
    """The attributes that are such a variable, whose changes come home with it."""
    held = vars(module)
    return {a for a, name in names.items() if name in variables and held.get(a) is variables[name]}
