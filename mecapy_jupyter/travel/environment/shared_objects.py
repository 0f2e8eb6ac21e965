"""Variables of the notebook that an own module has, too (`from params import TABLE`): one object on
the other side as well, so that the module's functions see what the cell does to it.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any

Shared = dict[str, dict[str, str]]
"""Module → its attribute → the variable that is the same object."""

_NOT_CHANGED: Any = (
    *(type(None), bool, int, float, complex, str, bytes, tuple, frozenset),
    *(type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
)


def of(modules: Mapping[str, types.ModuleType], values: Mapping[str, Any]) -> Shared:
    names = {
        id(value): name
        for name, value in values.items()
        if not issubclass(type(value), _NOT_CHANGED)
    }
    found: Shared = {}
    for home, module in modules.items():
        mine = {a: names[id(v)] for a, v in list(vars(module).items()) if id(v) in names}
        if mine:
            found[home] = mine
    return found


def join(
    module: types.ModuleType,
    names: Mapping[str, str],
    variables: Mapping[str, Any],
    others: Iterable[types.ModuleType],
) -> None:
    """Let the module, and what other modules have taken from it, mean the variables."""
    held, taken = vars(module), dict[int, tuple[Any, Any]]()
    for attribute, name in names.items():
        fresh, new = held.get(attribute), variables.get(name)
        if new is None or fresh is new:
            continue
        if type(fresh) is type(new):  # others may have taken it
            taken[id(fresh)] = fresh, new
        setattr(module, attribute, new)
    for each in others if taken else ():
        for attribute, value in list(vars(each).items()):
            if id(value) in taken:
                setattr(each, attribute, taken[id(value)][1])


def still(
    module: types.ModuleType, names: Mapping[str, str], variables: Mapping[str, Any]
) -> set[str]:
    """The attributes that are such a variable: what changed in it comes home with that."""
    held = vars(module)
    return {a for a, name in names.items() if name in variables and held.get(a) is variables[name]}
