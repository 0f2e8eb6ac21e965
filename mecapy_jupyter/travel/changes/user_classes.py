"""Objects of the user's own classes that say themselves how they pickle (`__getstate__`,
`__reduce__` …): taken apart, and put in place.

What they hold is watched by itself, as with any object of the user's, so that it stays what it is.
Part of `inplace` and `contents`.
"""

from __future__ import annotations

import copy
import copyreg
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from mecapy_jupyter.travel.environment import user_modules

_HOW = (
    "__getstate__",
    "__setstate__",
    "__reduce__",
    "__reduce_ex__",
    "__getnewargs_ex__",
    "__getnewargs__",
)
_new: Any = vars(copyreg)["__newobj__"]

Reduced = tuple[Any, ...]
"""What `__reduce_ex__` answers, with lists in the place of iterators: how to make the object, from
what, and its state.
"""


def is_own(cls: type) -> bool:
    """Whether a class is the notebook's or one of the user's modules'."""
    return _is_own(str(cls.__module__))


@lru_cache(maxsize=1024)
def _is_own(name: str) -> bool:
    module = sys.modules.get(name)
    return name == "__main__" or (module is not None and user_modules.is_own(module))


def says_how(cls: type) -> bool:
    """Whether it is an own class, and whatever says how its objects pickle is own code or Python's
    for any object.
    """
    if not is_own(cls) or cls in copyreg.dispatch_table:
        return False
    homes = [next((base for base in cls.__mro__ if name in vars(base)), object) for name in _HOW]
    return all(home is object or is_own(home) for home in homes)


def reduced(obj: Any) -> Reduced | str:
    """What pickle takes `obj` apart into; all its attributes where its `__getstate__` fails, which
    may miss what it left at home.
    """
    taken: Any
    try:
        taken = obj.__reduce_ex__(4)
    except Exception:
        if not plainly(type(obj)) or hasattr(obj, "__setstate__"):
            raise
        taken = _new, (type(obj),), attributes(obj)
    if isinstance(taken, str):  # there is only one
        return taken
    return tuple(
        list(cast(Any, part)) if isinstance(part, Iterator) else part
        for part in cast("Reduced", taken)
    )


def again(taken: Reduced) -> Any:
    """A new object from what one was taken apart into."""
    return copy.copy(_Again(taken))


class _Again:
    def __init__(self, taken: Reduced) -> None:
        self._taken = taken

    def __reduce_ex__(self, _protocol: object) -> Reduced:
        return self._taken


def take(original: Any, taken: Reduced | str) -> bool:
    """Give `original` what its counterpart was taken apart into. False: it cannot take it."""
    try:
        if isinstance(taken, str):
            return False
        if plainly(type(original)):
            return take_state(original, taken[2] if len(taken) > 2 else None)
        other = again(taken)
        return type(other) is type(original) and _put(original, attributes(other) or {})
    except Exception:
        return False


def plainly(cls: Any) -> bool:
    """Whether its objects are made as Python makes any, and given their state."""
    return cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__


def take_state(original: Any, state: Any) -> bool:
    """By its `__setstate__`, or as pickle does without one; but what its `__getstate__` leaves out
    stays. False: that is no state.
    """
    now = _by_name(state)
    try:
        gone = (
            (_by_name(original.__getstate__()) or {}).keys() - now.keys() if now is not None else ()
        )
    except Exception:
        gone = ()
    if hasattr(original, "__setstate__"):
        if state is not None:
            original.__setstate__(state)
    elif now is None:
        return False
    else:
        _put(original, now)
    here = attributes(original) or {}
    for name in gone:
        if name in here:
            object.__delattr__(original, name)
    return True


def _by_name(state: Any) -> dict[str, Any] | None:
    """A state as pickle understands it, a dict or one for `__dict__` and one for the slots, as one;
    None: something else.
    """
    both = cast("tuple[Any, ...]", state) if isinstance(state, tuple) else (state,)
    if len(both) > 2 or not all(part is None or isinstance(part, dict) for part in both):
        return None
    named: dict[str, Any] = {}
    for part in both:
        named |= part or {}
    return named


def _put(original: Any, values: dict[str, Any]) -> bool:
    slots = set(slots_of(original))
    for name, value in values.items():
        if name in slots:
            object.__setattr__(original, name, value)
        else:
            original.__dict__[name] = value
    return True


def attributes(obj: Any) -> dict[str, Any] | None:
    """What is in its `__dict__` and its slots; None where it has neither."""
    stored, slots = getattr(obj, "__dict__", None), slots_of(obj)
    if stored is None and not slots:
        return None
    return dict(stored or {}) | {name: getattr(obj, name) for name in slots if hasattr(obj, name)}


def is_all_attributes(cls: Any) -> bool:
    """Whether its objects hold nothing but what is in their `__dict__` and slots: Python makes them
    without the help of a base in C.
    """
    if hasattr(cls, "__del__"):
        return False
    try:
        object.__new__(cls)
    except TypeError:
        return False
    return True


def slots_of(obj: object) -> list[str]:
    slotted = [vars(base) for base in type(obj).__mro__ if "__slots__" in vars(base)]
    return [
        name
        for names in slotted
        for name, slot in names.items()
        if isinstance(slot, types.MemberDescriptorType)
    ]
