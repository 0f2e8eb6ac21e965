"""How to pickle an object whose class would make it wrongly: a `__new__` that wants arguments, or a
generated `__getstate__` that knows no more than the fields.

Part of `reducers`. The functions named in what it returns run on the other side.
"""

from __future__ import annotations

import copyreg
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
    """How to write `obj`, or None where pickle knows as well."""
    cls = cast("type[Any]", type(obj))
    if not cls.__flags__ & _PYTHON_CLASS:
        return None
    bare, more = _runs_new(cls), _has_more_than_fields(cls)
    if not (bare or more):
        return None
    taken: Any = object.__reduce_ex__(obj, 5)
    make, arguments, state, *items = taken
    if bare and make is copyreg.__newobj__:  # pyright: ignore
        make, arguments = _bare, (_native(cls), *arguments)
    if not more:
        return make, arguments, state, *items
    return make, arguments, (state, _beside_fields(obj)), *items, _set_all


@functools.lru_cache(maxsize=4096)
def _has_more_than_fields(cls: Any) -> bool:
    """Whether a base that is no such class gives the objects attributes that their generated
    `__getstate__` does not know.
    """
    get = getattr(cls, "__getstate__", None)
    where = getattr(get, "__module__", ""), getattr(get, "__qualname__", "")
    return where in _GENERATED and bool(_more(cls)) and _reduces_by_state(cls)


def _more(cls: Any) -> set[str]:
    """Where the objects of a class hold what is no field: slots of a base, or `__dict__`."""
    slots: list[str] = cast(Any, copyreg)._slotnames(cls)
    return (set(slots) - _fields(cls)) | ({"__dict__"} if cls.__dictoffset__ else set[str]())


def _fields(cls: Any) -> set[str]:
    """And what attrs keeps of a hash: strings have another one in another process."""
    of_dataclass: Mapping[str, object] = getattr(cls, "__dataclass_fields__", {})
    of_attrs: tuple[Any, ...] = getattr(cls, "__attrs_attrs__", ())
    return {*of_dataclass, *(one.name for one in of_attrs), "_attrs_cached_hash"}


def _beside_fields(obj: Any) -> dict[str, Any]:
    held, fields = cast(Any, object.__getstate__(obj)), _fields(cast(Any, type(obj)))
    named: dict[str, Any] = {}
    for part in cast("tuple[Any, ...]", held) if isinstance(held, tuple) else (held,):
        named.update(part or {})
    return {name: value for name, value in named.items() if name not in fields}


def _set_all(obj: Any, state: tuple[Any, dict[str, Any]]) -> None:
    fields, more = state
    obj.__setstate__(fields)
    stored: dict[str, Any] = getattr(obj, "__dict__", {})
    for name in stored.keys() - more.keys():
        del stored[name]
    for name, value in more.items():
        object.__setattr__(obj, name, value)


@functools.lru_cache(maxsize=4096)
def _runs_new(cls: Any) -> bool:
    """Whether making an object would run the class's own `__new__` a second time, and mostly
    without its arguments.
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
    """What a class or its nearest base has under a name, as it is stored."""
    return inspect.getattr_static(cls, name, None)


def _is_python(stored: Any) -> bool:
    bare: object = stored.__func__ if isinstance(stored, staticmethod) else stored
    return isinstance(bare, types.FunctionType)


def _native(cls: Any) -> Any:
    """The nearest base whose `__new__` is not written in Python."""
    bases: tuple[type, ...] = cls.__mro__
    return next(b for b in bases if "__new__" in vars(b) and not _is_python(vars(b)["__new__"]))


def _bare(native: Any, cls: Any, *arguments: Any) -> Any:
    """An object as its native base makes it."""
    return native.__new__(cls, *arguments)
