"""Private parts of pickle and cloudpickle. All other modules use them from here."""

from __future__ import annotations

import pickle
import types
from typing import Any, cast

import cloudpickle

_cloudpickle: Any = cast(Any, cloudpickle).cloudpickle

PythonUnpickler: Any = vars(pickle)["_Unpickler"]
"""Its steps can be replaced one by one in `dispatch`; those in C cannot."""

make_skeleton_class: Any = _cloudpickle._make_skeleton_class
"""Makes a class of the notebook, empty. Named in streams."""

make_skeleton_enum: Any = _cloudpickle._make_skeleton_enum
"""The same for an enumeration: with its members, of their values alone."""

class_setstate: Any = _cloudpickle._class_setstate
"""Fills such a class."""

lookup_class_or_track: Any = _cloudpickle._lookup_class_or_track
"""The class that this statement created before, or the new one, which is kept."""

dynamic_class_reduce: Any = _cloudpickle._dynamic_class_reduce
"""Pickles a class by value."""


def taken_apart(obj: Any) -> Any:
    """The six parts of which pickle makes an object, or its name: see `filled`."""
    how: Any = cast(Any, cloudpickle).Pickler.dispatch_table.get(type(obj))
    return filled(how(obj) if how else obj.__reduce_ex__(5))


def filled(taken: Any) -> Any:
    """What a reducer returned, with all six parts, and with lists of the items and entries."""
    if isinstance(taken, str):
        return taken
    make, arguments, state, items, entries, setter = (*taken, *[None] * (6 - len(taken)))
    items, entries = (None if part is None else list(part) for part in (items, entries))
    return make, arguments, state, items, entries, setter


def by_default(cls: type[Any]) -> bool:
    """Whether a class does not say itself how its objects are pickled."""
    return cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__


def home_of(obj: object, name: str | None = None) -> tuple[types.ModuleType, str] | None:
    """Module and name of `obj`; None if it has none, or is the notebook's."""
    return _cloudpickle._lookup_module_and_qualname(obj, name)


def goes_by_name(obj: object) -> bool:
    """Whether a function or class is pickled by module and name."""
    return not is_renamed(obj) and _cloudpickle._should_pickle_by_reference(obj)


def is_renamed(obj: object) -> bool:
    """Whether it is a function of the notebook that has the name of a library's, which it wraps
    (`functools.wraps`). If it stands in the library too, cloudpickle takes it for the library's.
    """
    return (
        type(obj) is types.FunctionType
        and obj.__module__ != "__main__"
        and obj.__globals__.get("__name__") == "__main__"
    )
