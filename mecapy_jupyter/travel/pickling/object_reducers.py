"""Pickles objects that their class would restore wrongly: a `__new__` that needs arguments, a
generated `__getstate__` that omits what is not a field, methods that need attributes which are not
set yet. Part of `reducers`. The functions named in the results run on the other side.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import inspect
import types
from collections.abc import Mapping
from typing import Any, cast

_PYTHON_CLASS = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_REDUCES = ("__reduce__", "__reduce_ex__")
_ARGUMENTS = ("__getnewargs__", "__getnewargs_ex__")
_GENERATED = frozenset(
    {
        ("dataclasses", "_dataclass_getstate"),
        ("attr._make", "_ClassBuilder._make_getstate_setstate.<locals>.slots_getstate"),
    }
)


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None if pickle can."""
    cls = cast("type[Any]", type(obj))
    if not cls.__flags__ & _PYTHON_CLASS:
        return None
    bare, more, careful = _runs_new(cls), _has_more_than_fields(cls), _would_be_disturbed(cls)
    shares = _shares_dict(cls)
    if not (bare or more or careful or shares):
        return None
    taken: Any = object.__reduce_ex__(obj, 5)
    parts: list[Any] = [*taken, None, None]
    make, arguments, state, items, entries = parts[:5]
    if bare and make is cast(Any, copyreg).__newobj__:
        make, arguments = _bare, (_native(cls), *arguments)
    if shares and not (more or careful):
        stored = object.__getattribute__(obj, "__dict__")
        return make, arguments, (stored,), items, entries, _share_dict
    if not (more or careful):
        return make, arguments, state, items, entries
    held = state, _beside_fields(obj) if more else None, items and [*items], entries and [*entries]
    return make, arguments, held, None, None, _set_all


@functools.lru_cache(maxsize=4096)
def _shares_dict(cls: Any) -> bool:
    """Whether a method sets `self.__dict__`, to a dict that others may have: itself, for one."""
    if not cls.__dictoffset__ or not _reduces_by_state(cls) or hasattr(cls, "__setstate__"):
        return False
    if _found(cls, "__getstate__") is not vars(object)["__getstate__"]:
        return False
    bases: tuple[type, ...] = cls.__mro__
    stored: list[Any] = [one for base in bases for one in list(vars(base).values())]
    return any(
        step.opname == "STORE_ATTR" and step.argval == "__dict__"
        for one in stored
        if isinstance(one, types.FunctionType) and "__dict__" in one.__code__.co_names
        for step in dis.get_instructions(one)
    )


def _share_dict(obj: Any, state: tuple[dict[str, Any]]) -> None:
    object.__setattr__(obj, "__dict__", state[0])


@functools.lru_cache(maxsize=4096)
def _has_more_than_fields(cls: Any) -> bool:
    """Whether a base outside the fields gives the objects attributes that their generated
    `__getstate__` omits.
    """
    get = getattr(cls, "__getstate__", None)
    where = getattr(get, "__module__", ""), getattr(get, "__qualname__", "")
    return where in _GENERATED and bool(_more(cls)) and _reduces_by_state(cls)


def _more(cls: Any) -> set[str]:
    """Where objects of a class keep what is not a field: slots of a base, or `__dict__`."""
    slots: list[str] = cast(Any, copyreg)._slotnames(cls)
    return (set(slots) - _fields(cls)) | ({"__dict__"} if cls.__dictoffset__ else set[str]())


def _fields(cls: Any) -> set[str]:
    """Also attrs' cached hash, because strings hash differently in another process."""
    of_dataclass: Mapping[str, object] = getattr(cls, "__dataclass_fields__", {})
    of_attrs: tuple[Any, ...] = getattr(cls, "__attrs_attrs__", ())
    return {*of_dataclass, *(one.name for one in of_attrs), "_attrs_cached_hash"}


def _beside_fields(obj: Any) -> dict[str, Any]:
    held, fields = cast(Any, object.__getstate__(obj)), _fields(cast(Any, type(obj)))
    named: dict[str, Any] = {}
    for part in cast("tuple[Any, ...]", held) if isinstance(held, tuple) else (held,):
        named.update(part or {})
    return {name: value for name, value in named.items() if name not in fields}


def _set_all(obj: Any, held: tuple[Any, Any, Any, Any]) -> None:
    """Sets them with the base types' functions, because the class's own may need what is not there
    yet.
    """
    state, more, items, entries = held
    lists, dicts = cast(Any, list), cast(Any, dict)
    if items:
        lists.extend(obj, items)
    for key, value in entries or ():
        dicts.__setitem__(obj, key, value)
    if _found(type(obj), "__setstate__") is not None:
        if state is not None:
            obj.__setstate__(state)
    else:
        set_attributes(obj, state)
    if more is not None:
        stored: dict[str, Any] = getattr(obj, "__dict__", {})
        for name in stored.keys() - more.keys():
            del stored[name]
        set_attributes(obj, more)


def set_attributes(obj: Any, state: Any) -> None:
    """A state in pickle's sense: a dict, or a pair with the slots' dict."""
    cls = cast("type[Any]", type(obj))
    for part in cast("tuple[Any, ...]", state) if isinstance(state, tuple) else (state,):
        named: dict[str, Any] = part or {}
        for name, value in named.items():
            if cls.__dictoffset__ and name not in slotted(cls):
                object.__getattribute__(obj, "__dict__")[name] = value
            else:
                object.__setattr__(obj, name, value)


@functools.lru_cache(maxsize=4096)
def slotted(cls: Any) -> frozenset[str]:
    return frozenset(cast(Any, copyreg)._slotnames(cls))


@functools.lru_cache(maxsize=4096)
def _would_be_disturbed(cls: Any) -> bool:
    """Whether pickle would call methods of an object before its attributes are set: a `__getattr__`
    that reads one of them, an `append` or `__setitem__` that keeps a record.
    """
    asks = _found(cls, "__getattr__") is not None and _found(cls, "__setstate__") is None
    fills = (issubclass(cls, list) and _overrides(cls, list, "append", "extend")) or (
        issubclass(cls, dict) and _overrides(cls, dict, "__setitem__")
    )
    return (asks or fills) and _reduces_by_state(cls)


def _overrides(cls: Any, base: type, *names: str) -> bool:
    return any(_found(cls, name) is not vars(base)[name] for name in names)


@functools.lru_cache(maxsize=4096)
def _runs_new(cls: Any) -> bool:
    """Whether restoring an object would run the class's own `__new__` again, usually without its
    arguments.
    """
    if not _is_python(new := _found(cls, "__new__")) or not _reduces_by_state(cls):
        return False
    if any(_is_python(_found(cls, name)) for name in _ARGUMENTS):
        return False
    return cls.__module__ == "__main__" or _wants_arguments(new.__func__, _native(cls))


def _wants_arguments(new: types.FunctionType, native: type) -> bool:
    try:
        inspect.signature(new).bind(*[None] * (1 if native is object else 2))
    except (TypeError, ValueError):
        return True
    return False


def _reduces_by_state(cls: Any) -> bool:
    return cls not in copyreg.dispatch_table and all(
        _found(cls, name) is vars(object)[name] for name in _REDUCES
    )


def _found(cls: Any, name: str) -> Any:
    """The raw attribute of a class or its nearest base."""
    return inspect.getattr_static(cls, name, None)


def _is_python(stored: Any) -> bool:
    bare: object = stored.__func__ if isinstance(stored, staticmethod) else stored
    return isinstance(bare, types.FunctionType)


def _native(cls: Any) -> Any:
    """The nearest base whose `__new__` is not Python code."""
    bases: tuple[type, ...] = cls.__mro__
    return next(b for b in bases if "__new__" in vars(b) and not _is_python(vars(b)["__new__"]))


def _bare(native: Any, cls: Any, *arguments: Any) -> Any:
    """An object as its native base creates it."""
    return native.__new__(cls, *arguments)
