"""What pickle and cloudpickle do not offer by a public name. All else asks here for it."""

from __future__ import annotations

import pickle
import types
from typing import Any, cast

import cloudpickle

_cloudpickle: Any = cast(Any, cloudpickle).cloudpickle

PythonUnpickler: Any = vars(pickle)["_Unpickler"]
"""Its steps can be replaced, one by one, in `dispatch`; those of the one in C cannot."""

make_skeleton_class: Any = _cloudpickle._make_skeleton_class
"""Makes a class of the notebook, empty. Named in streams."""

make_skeleton_enum: Any = _cloudpickle._make_skeleton_enum
"""The same for an enumeration: with its members, of their values alone."""

class_setstate: Any = _cloudpickle._class_setstate
"""Gives such a class what it holds."""

lookup_class_or_track: Any = _cloudpickle._lookup_class_or_track
"""The class that was made from this statement before, or the new one, from now on."""

dynamic_class_reduce: Any = _cloudpickle._dynamic_class_reduce
"""How a class is written by value."""


def home_of(obj: object, name: str | None = None) -> tuple[types.ModuleType, str] | None:
    """The module where `obj` is found by a name, and the name; None where there is none, and for
    what is the notebook's.
    """
    return _cloudpickle._lookup_module_and_qualname(obj, name)


def goes_by_name(obj: object) -> bool:
    """Whether a function or class is written as its module and name."""
    return _cloudpickle._should_pickle_by_reference(obj)
