"""What was registered with the user's own generic functions (`functools.singledispatch`) and
abstract classes (`ABC.register`) besides what their module's text registers.
"""

from __future__ import annotations

import types
from typing import Any, cast

from mecapy_jupyter.travel.hooks import abstract_classes

FOR, WITH = "registry", "_abc_registry"
"""How the paths of these parts of functions and of classes end."""


class Registered(dict[type, Any]):
    """Class → the function for it; None for an abstract class."""

    def put(self, holder: Any) -> None:
        for cls, function in self.items():
            holder.register(cls, *([] if function is None else [function]))


def with_function(function: types.FunctionType) -> Registered:
    found: Any = vars(function).get(FOR)
    if type(found) is not types.MappingProxyType or "_clear_cache" not in vars(function):
        return Registered()
    registry = cast("types.MappingProxyType[type, Any]", found)
    mine = function.__module__
    return Registered({cls: one for cls, one in registry.items() if one.__module__ != mine})


def with_class(cls: type, module: str) -> Registered:
    found = (one for one in abstract_classes.registered(cls) if one.__module__ != module)
    return Registered(dict.fromkeys(found))
