"""Pickles objects of the user's classes with what their `__reduce__` or `__getstate__` leaves out,
if it is plain data: a cell reads and changes it like the rest. Part of `reducers`. The functions
named in the results run on the other side.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import types
from typing import Any, cast

from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling import object_reducers

_HOW = "__reduce_ex__", "__reduce__", "__getstate__"
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_DEPTH = 4
_PYTHONS = sys.stdlib_module_names


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None if its own way leaves out no data."""
    cls = cast("type[Any]", type(obj))
    if not _is_written_by_user(cls):
        return None
    taken = pickles.filled(obj.__reduce_ex__(5))
    if isinstance(taken, str) or taken[5] is not None:
        return None
    make, arguments, state, items, entries, _ = taken
    both: tuple[Any, ...] = cast(Any, state) if isinstance(state, tuple) else (state,)
    if len(both) > 2 or not all(part is None or type(part) is dict for part in both):
        return None
    told, *slots = [dict(part or {}) for part in both]
    held = _attributes(obj)
    more = {name: held[name] for name in held if not any(name in part for part in (told, *slots))}
    more = {name: value for name, value in more.items() if _is_data(value, _DEPTH)}
    if not more:
        return None
    if isinstance(getattr(cls, "__setstate__", None), types.FunctionType):
        return make, arguments, (state, more), items, entries, _set
    slotted = {name: more.pop(name) for name in object_reducers.slotted(cls) & more.keys()}
    of_slots = {**(slots[0] if slots else {}), **slotted}
    told |= more
    return make, arguments, (told or None, of_slots) if of_slots else told, items, entries


def _set(obj: Any, state: tuple[Any, dict[str, Any]]) -> None:
    if state[0] is not None:
        obj.__setstate__(state[0])
    object_reducers.set_attributes(obj, state[1])


@functools.lru_cache(maxsize=4096)
def _is_written_by_user(cls: Any) -> bool:
    """Or inherited from a type of Python's, such as Decimal, that knows nothing of attributes."""
    if cls in copyreg.dispatch_table or issubclass(cls, type):
        return False
    bases: tuple[type, ...] = cls.__mro__
    how = next(base for base in bases if not vars(base).keys().isdisjoint(_HOW))
    is_pythons = how is not object and how.__module__.partition(".")[0] in _PYTHONS
    return user_modules.has_made(how) or (is_pythons and user_modules.has_made(cls))


def _attributes(obj: Any) -> dict[str, Any]:
    held: Any = object.__getstate__(obj)
    named: dict[str, Any] = {}
    for part in cast("tuple[Any, ...]", held) if isinstance(held, tuple) else (held,):
        named |= part or {}
    return named


def _is_data(value: Any, depth: int) -> bool:
    kind = cast("type[Any]", type(value))
    if kind in _ATOMS:
        return True
    if kind is dict:
        value = (*value, *value.values())
    elif kind not in (list, tuple, set, frozenset):
        dtype: Any = getattr(value, "dtype", None)
        return kind.__module__ == "numpy" and dtype is not None and not dtype.hasobject
    return depth > 0 and all(_is_data(part, depth - 1) for part in value)
