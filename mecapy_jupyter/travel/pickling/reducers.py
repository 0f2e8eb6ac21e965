"""Pickles what pickle and cloudpickle handle wrongly: closures' cells, cached functions and
properties, weak dicts, memoryviews. Asks `class_reducers`, `exception_reducers`, `by_name_reducers`
and `object_reducers` for the rest. Part of `pickler`. The functions named in the results run on the
other side.
"""

from __future__ import annotations

import ast
import decimal
import functools
import gc
import itertools
import pickle
import random
import re
import struct
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from mecapy_jupyter.travel.environment import pint_state
from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling import (
    array_subclasses,
    by_name_reducers,
    exception_reducers,
    formula_reducers,
    incomplete_pickles,
    left_out,
    object_reducers,
    pandas_reducers,
    plot_reducers,
    remade_reducers,
    tracebacks,
    widget_reducers,
)

CACHED: Any = type(functools.lru_cache(lambda: None))
_CACHED_PROPERTY: Any = functools.cached_property
_WEAK: Any = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
_BY_OBJECT: Any = (
    *(types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(types.CellType, types.MappingProxyType, types.TracebackType, random.SystemRandom),
    *(struct.Struct, itertools.count, weakref.ReferenceType, CACHED, BaseException),
    *(decimal.Context, re.Match),
)
_DICTS: Any = (dict, OrderedDict)
_VIEWS: Any = {
    cast(Any, type(getattr(kind(), name)())): getattr(kind, name)
    for kind in _DICTS
    for name in ("keys", "values", "items")
}
"""The keys, values or items of a dict, and what creates them from it; cloudpickle copies."""
_TAKEN_APART: Any = frozenset(
    {
        CACHED,
        _CACHED_PROPERTY,
        types.MappingProxyType,
        random.SystemRandom,
        itertools.count,
        *_VIEWS,
        *_WEAK,
    }
)


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None if pickle or cloudpickle can."""
    if type(obj) is types.CellType:
        return _cell(obj)
    if issubclass(type(obj), CACHED):
        return _cached(obj)
    if issubclass(type(obj), BaseException):
        return exception_reducers.reduced(obj)
    if type(obj) is _CACHED_PROPERTY:
        return _cached_property(obj)
    if type(obj) in _WEAK:  # singledispatch has one
        return type(obj), (), (dict(obj),), None, None, _fill_weak
    if type(obj) is memoryview:
        return _view(obj)
    if type(obj) in _VIEWS:
        return _VIEWS[type(obj)], (gc.get_referents(obj)[0],)
    if type(obj) is types.TracebackType:
        return tracebacks.traceback, (tracebacks.of(obj),)
    if type(obj) is random.SystemRandom:
        return random.SystemRandom, ()
    if type(obj) is itertools.count:
        return counter(cast(Any, obj))
    if type(obj) is decimal.Context and obj is decimal.getcontext():
        return decimal.getcontext, (), _settings(obj), None, None, _set
    if type(obj) is struct.Struct:
        return struct.Struct, (obj.format,)
    if type(obj) is types.MappingProxyType:
        return _proxy(cast(Any, obj))
    if type(obj) in (weakref.ReferenceType, weakref.WeakMethod):
        return _reference(obj)
    if (reduce := _of_a_library(cast("type[Any]", type(obj)))) is not None:
        return reduce(obj)
    return (
        pint_state.reduced(obj)
        or by_name_reducers.reduced(obj)
        or array_subclasses.reduced(obj)
        or object_reducers.reduced(obj)
        or left_out.reduced(obj)
    )


_LIBRARIES = (
    *(widget_reducers, plot_reducers, pandas_reducers, formula_reducers),
    *(incomplete_pickles, remade_reducers),
)


@functools.lru_cache(maxsize=4096)
def _of_a_library(cls: type[Any]) -> Callable[[Any], Any] | None:
    for library in _LIBRARIES:
        if library.takes_apart(cls):
            return library.reduced
    return None


def is_ordinary(cls: type[Any]) -> bool:
    """Whether pickle handles all objects of a type, if it handles one."""
    return not (
        issubclass(cls, _BY_OBJECT)
        or hasattr(cls, "write")
        or hasattr(cls, "_REGISTRY")
        or cls.__name__ in by_name_reducers.NATIVE
        or cls in _VIEWS
        or any(base.__name__ in ("ndarray", "void") for base in cls.__mro__)
    )


def takes_apart(cls: type[Any]) -> bool:
    """Whether `reduced` decides for objects of a type, whatever they define."""
    return cls in _TAKEN_APART or pint_state.is_registry(cls) or _of_a_library(cls) is not None


def with_cells(function: types.FunctionType, as_reduced: Any) -> Any:
    """cloudpickle copies each closure's cells. As objects of their own, two closures still share a
    variable.
    """
    make, (code, namespace, name, defaults, _), state, *rest = as_reduced
    state[1]["__closure__"] = None
    return make, (code, namespace, name, defaults, function.__closure__), state, *rest


def _cell(cell: types.CellType) -> Any:
    """Empty first and filled once it is numbered, because its content may refer to it."""
    try:
        content = cell.cell_contents
    except ValueError:  # not bound yet
        return types.CellType, ()
    return types.CellType, (), (content,), None, None, _fill


def _fill(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def _fill_weak(mapping: Any, state: tuple[dict[Any, Any]]) -> None:
    mapping.data.clear()
    mapping.update(state[0])


def counter(count: Any) -> Any:
    """Made anew from its text: Python 3.12 deprecates its pickle, and 3.14 has none. None for one
    of other objects than numbers.
    """
    try:
        counted: Any = ast.literal_eval(repr(count).removeprefix("count"))
    except (ValueError, SyntaxError):
        return None
    return itertools.count, counted if isinstance(counted, tuple) else (counted,)


def _proxy(proxy: Any) -> Any:
    """It travels with the dict that it shows. cloudpickle copies that of a class."""
    (shown,) = gc.get_referents(proxy)
    is_dict = isinstance(shown, dict) and "__module__" not in shown
    return (types.MappingProxyType, (shown,)) if is_dict else None


_OF_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _settings(context: decimal.Context) -> dict[str, Any]:
    held = {name: getattr(context, name) for name in _OF_CONTEXT}
    return {**held, "traps": dict(context.traps), "flags": dict(context.flags)}


def _set(context: decimal.Context, settings: dict[str, Any]) -> None:
    """The process's current context stays the same object, because it is the one in effect."""
    for name, value in settings.items():
        setattr(context, name, value)


def _reference(reference: Any) -> Any:
    """A weak dict with its content, which other references keep alive."""
    target = reference()
    if target is None:
        return _nowhere, (type(reference),)
    kind = cast("type[Any]", type(reference))
    callback: Any = reference.__callback__ if kind is weakref.ReferenceType else None
    return kind, (target, *([callback] if callback else []))


def _nowhere(kind: Any) -> Any:
    class Gone:
        def method(self) -> None: ...

    return kind(Gone().method if kind is weakref.WeakMethod else Gone())


def _view(view: memoryview) -> Any:
    """A view of a whole buffer travels with the buffer; a part cannot be located."""
    whole = memoryview(cast(Any, view.obj))
    if not view.contiguous or view.nbytes != whole.nbytes:
        raise pickle.PicklingError("a memoryview of a part of a buffer")
    return _view_again, (view.obj, view.format, view.shape, view.readonly)


def _view_again(buffer: Any, layout: str, shape: tuple[int, ...], readonly: bool) -> memoryview:
    view: Any = memoryview(buffer)
    if (view.format, view.shape) != (layout, shape):
        view = view.cast("B") if view.format != "B" or view.ndim != 1 else view
        view = view.cast(layout, shape)
    return view.toreadonly() if readonly else view


def _cached(function: Any) -> Any:
    """functools' caches pickle by name only. Their content cannot be read, so it stays behind."""
    if pickles.home_of(function) is not None:
        return None
    limits = function.cache_parameters()
    return _cache_again, (function.__wrapped__, limits["maxsize"], limits["typed"]), vars(function)


def _cached_property(made: Any) -> Any:
    """It holds a lock before Python 3.12."""
    state: Any = dict(made.__dict__)
    state.pop("lock", None)
    return _CACHED_PROPERTY, (made.func,), state


def _cache_again(function: Any, maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)
