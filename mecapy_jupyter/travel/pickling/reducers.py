"""How to pickle what pickle and cloudpickle take apart wrongly: closures' cells, cached functions
and properties, slots, exceptions.

Part of `pickler`, which asks here first. The functions named in what it returns run on the other
side.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.environment import pint_state

_internal: Any = cast(Any, cloudpickle).cloudpickle
CACHED: Any = type(functools.lru_cache(lambda: None))
_CACHED_PROPERTY: Any = functools.cached_property
_WEAK: Any = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


def reduced(obj: Any) -> Any:
    """How to write `obj`, or None where pickle or cloudpickle know better."""
    if isinstance(obj, types.CellType):
        return _cell(obj)
    if isinstance(obj, CACHED):
        return _cached(obj)
    if isinstance(obj, BaseException):
        return _exception(obj)
    if type(obj) is _CACHED_PROPERTY:
        return _cached_property(obj)
    if type(obj) in _WEAK:  # singledispatch has one
        return type(obj), (dict(obj),)
    return pint_state.reduced(obj)


def with_cells(function: types.FunctionType, as_reduced: Any) -> Any:
    """cloudpickle copies each closure's cells; written themselves, two closures that share a
    variable still do.
    """
    make, (code, namespace, name, defaults, _), state, *rest = as_reduced
    state[1]["__closure__"] = None
    return make, (code, namespace, name, defaults, function.__closure__), state, *rest


def with_slots(cls: Any, as_reduced: Any) -> Any:
    """cloudpickle makes a class with `__slots__` one without; then its objects do not fit the
    original at home.
    """
    if (
        "__slots__" not in vars(cls)
        or issubclass(cls, tuple)
        or as_reduced[0] is not _internal._make_skeleton_class
    ):
        return as_reduced
    make, (kind, name, bases, keywords, tracker, extra), (attributes, slots), *rest = as_reduced
    kept = {
        n: v
        for n, v in attributes.items()
        if n != "__slots__" and not isinstance(v, types.MemberDescriptorType)
    }
    return (
        make,
        (kind, name, bases, keywords | {"__slots__": vars(cls)["__slots__"]}, tracker, extra),
        (kept, slots),
        *rest,
    )


def _cell(cell: types.CellType) -> Any:
    """Empty first, filled when it has its number: what is in it may refer to it."""
    try:
        content = cell.cell_contents
    except ValueError:  # not bound yet
        return types.CellType, ()
    return types.CellType, (), (content,), None, None, _fill


def _fill(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def _cached(function: Any) -> Any:
    """functools' caches pickle by name only. What is in one stays behind: it cannot be read."""
    if _internal._lookup_module_and_qualname(function) is not None:
        return None
    limits = function.cache_parameters()
    return _cache_again, (function.__wrapped__, limits["maxsize"], limits["typed"]), vars(function)


def _cached_property(made: Any) -> Any:
    """Before Python 3.12 it holds a lock."""
    state: Any = dict(made.__dict__)
    state.pop("lock", None)
    return _CACHED_PROPERTY, (made.func,), state


def _cache_again(function: Any, maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _exception(error: BaseException) -> Any:
    """pickle calls the class with `args`; a class with an `__init__` of its own seldom understands
    those.
    """
    cls = type(error)
    if not isinstance(cls.__init__, types.FunctionType):
        return None
    if any(
        isinstance(getattr(cls, name), types.FunctionType)
        for name in ("__reduce__", "__reduce_ex__")
    ):
        return None
    return _exception_again, (cls, error.args), vars(error)


def _exception_again(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    builtin: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    error = builtin.__new__(cls, *args)
    builtin.__init__(error, *args)
    return error
