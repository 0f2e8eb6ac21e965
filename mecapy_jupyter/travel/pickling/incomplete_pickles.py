"""Refuses objects whose pickle omits what decides what they do, because that would come home
unnoticed. Part of `reducers`.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import Any, cast

from mecapy_jupyter.shared.errors import CannotSend

_TEE: Any = type(itertools.tee(())[0])
_LEFT_OUT = ("faceConstraints", "_constraints", "requiredVariables")


def takes_apart(cls: type[Any]) -> bool:
    """FiPy variables (an equation whose variable lost its constraints yields 0), finalizers (a copy
    is dead), and iterators of `tee` (what one has read, the others cannot get).
    """
    if cls is weakref.finalize or cls is _TEE:
        return True
    fipy: Any = sys.modules.get("fipy.variables.variable")
    return fipy is not None and issubclass(cls, fipy.Variable)


def reduced(obj: Any) -> Any:
    if type(obj) is weakref.finalize:
        raise CannotSend("a finalizer works only in the process of its object; make it there")
    if type(obj) is _TEE:
        raise CannotSend(
            "an iterator of `itertools.tee` shares what it has read with the others; make all of "
            "them in one cell, or send a list"
        )
    held = cast("dict[str, Any]", vars(obj))
    if any(held.get(name) for name in _LEFT_OUT):
        raise CannotSend(
            f"the FiPy variable {obj.name!r} cannot travel: its pickle leaves out its "
            "constraints and what it depends on; make mesh, variables and equation "
            "in one cell, and bring home its `.value`"
        )
    return obj.__reduce_ex__(5)
