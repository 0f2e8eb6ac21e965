"""How objects of a type hold their content: items, attributes, slots, or the state of their own
pickling. Decided once for each type by what the type is, and not by what it promises: an object
with a `__hash__` can change like any other.
"""

from __future__ import annotations

import array
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import random
import re
import struct
import sys
import types
import uuid
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any, cast

from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling import array_subclasses, array_views, reducers

Facets = tuple[str, ...]

_ITEMS: tuple[tuple[Any, str], ...] = (
    (list, "list"),
    (dict, "dict"),
    (set, "set"),
    (deque, "deque"),
    (bytearray, "buffer"),
    (array.array, "buffer"),
)
_VALUES: tuple[Any, ...] = (str, bytes, int, float, complex, tuple, frozenset)
_HOW = (
    *("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__"),
    *("__getnewargs_ex__", "__getnewargs__"),
)
_PYTHONS = frozenset({object, OrderedDict, defaultdict, Counter, types.SimpleNamespace, enum.Enum})
_STANDARD = _PYTHONS | {cls for cls, _ in _ITEMS} | frozenset(_VALUES)
"""Base types whose pickling reports no more than items, attributes and slots."""

_FIXED: tuple[Any, ...] = (
    *(type(None), type(...), type(NotImplemented), range, slice, struct.Struct, re.Pattern),
    *(types.CodeType, types.ModuleType, types.BuiltinFunctionType, types.MethodType),
    *(types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType),
    *(types.MemberDescriptorType, types.GetSetDescriptorType, types.GenericAlias),
    *(types.TracebackType, random.SystemRandom, weakref.ReferenceType, uuid.UUID),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
    *(decimal.Decimal, fractions.Fraction, pathlib.PurePath),
)
"""Built-in types whose objects cannot change."""


def facets(obj: object) -> Facets:
    """The ways in which `obj` holds content that may change; empty if it cannot change."""
    cls = type(obj)
    if issubclass(cls, type):
        of_class = ("class", "registry", *["members"] * issubclass(cls, enum.EnumMeta))
        return of_class if _by_value(obj) else ()
    if cls is types.FunctionType:
        return ("function", "attributes") if _by_value(obj) else ()
    return ("row",) if array_views.is_row(obj) else _of_type(cls)


def _by_value(obj: Any) -> bool:
    try:
        return not pickles.goes_by_name(obj)
    except Exception:
        return obj.__module__ == "__main__"


@functools.lru_cache(maxsize=4096)
def _of_type(cls: Any) -> Facets:
    if cls is types.CellType:
        return ("cell",)
    if _is_record_dtype(cls):
        return ("names",)
    if is_fixed(cls):
        return ()
    if not is_plain(cls):
        return ("reduced",)
    found = [kind for base, kind in _ITEMS if issubclass(cls, base)]
    found += ["factory"] * issubclass(cls, defaultdict)
    if is_array(cls):
        found.append("array")
        numpys = str(cls.__module__).partition(".")[0] == "numpy"
        if numpys and not array_subclasses.is_masked(cls):
            return tuple(found)
    found += ["attributes"] * bool(cls.__dictoffset__)
    return tuple(found + ["slots"] * bool(slots(cls)))


def is_fixed(cls: Any) -> bool:
    """Whether objects of a type are immutable."""
    if issubclass(cls, _VALUES) and not cls.__dictoffset__ and not slots(cls):
        return True
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and issubclass(cls, (numpy.generic, numpy.dtype)):
        return not issubclass(cls, numpy.void)
    if str(cls.__module__).startswith("numba.") and "__call__" in dir(cls):
        return True  # a compiled function grows with each type of argument: a cache and not state
    return issubclass(cls, _FIXED) and cls.__module__ != "__main__"


def _is_record_dtype(cls: Any) -> bool:
    """The names of fields are the one thing about a dtype that can change."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and cls is type(numpy.dtype(numpy.void))


def is_array(cls: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and issubclass(cls, numpy.ndarray)


@functools.lru_cache(maxsize=4096)
def is_plain(cls: Any) -> bool:
    """Whether the pickle of its objects has exactly their items, attributes and slots."""
    if cls in copyreg.dispatch_table or reducers.takes_apart(cls):
        return False
    if array_subclasses.is_masked(cls):
        return True
    homes = {next((base for base in cls.__mro__ if name in vars(base)), object) for name in _HOW}
    return all(home in _STANDARD or _is_array_itself(home) for home in homes)


def _is_array_itself(cls: Any) -> bool:
    return cls is getattr(sys.modules.get("numpy"), "ndarray", None)


@functools.lru_cache(maxsize=4096)
def slots(cls: Any) -> dict[str, Any]:
    """The slots of a type and its bases, by name."""
    found: dict[str, Any] = {}
    bases: list[type] = [base for base in cls.__mro__ if "__slots__" in vars(base)]
    for base in reversed(bases):
        stored: dict[str, Any] = dict(vars(base))
        found |= {n: s for n, s in stored.items() if isinstance(s, types.MemberDescriptorType)}
    return found


@functools.lru_cache(maxsize=4096)
def is_all_attributes(cls: Any) -> bool:
    """Whether its objects hold only `__dict__` and slots, and Python creates them without a base in
    C.
    """
    if hasattr(cls, "__del__"):
        return False
    try:
        object.__new__(cls)
    except TypeError:
        return False
    return True


def attributes(obj: Any) -> dict[str, Any]:
    """The values in `__dict__` and in the slots."""
    found: dict[str, Any] = {}
    if type(obj).__dictoffset__:
        found |= object.__getattribute__(obj, "__dict__")
    every: dict[str, Any] = slots(cast(Any, type(obj)))
    for name, slot in every.items():
        try:
            found[name] = slot.__get__(obj)
        except AttributeError:  # not set
            continue
    return found
