"""Refuses library objects whose pickle omits what decides their numbers, because a wrong number
would come home unnoticed. Part of `reducers`.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from mecapy_jupyter.shared.errors import CannotSend

_LEFT_OUT = ("faceConstraints", "_constraints", "requiredVariables")


def takes_apart(cls: type[Any]) -> bool:
    """FiPy variables: an equation whose variable lost its constraints yields 0."""
    fipy: Any = sys.modules.get("fipy.variables.variable")
    return fipy is not None and issubclass(cls, fipy.Variable)


def reduced(obj: Any) -> Any:
    held = cast("dict[str, Any]", vars(obj))
    if any(held.get(name) for name in _LEFT_OUT):
        raise CannotSend(
            f"the FiPy variable {obj.name!r} cannot travel: its pickle leaves out its "
            "constraints and what it depends on; make mesh, variables and equation "
            "in one cell, and bring home its `.value`"
        )
    return obj.__reduce_ex__(5)
