"""numpy arrays of the notebook's own types, with their attributes: numpy's pickle leaves these out.

Part of `pickler`; never imports numpy itself. The functions named in what it returns run on the
other side.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any, cast


def reduced(obj: Any) -> Any:
    """How to pickle such an array, or None for any other object."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return None
    cls = cast("type[Any]", type(obj))
    array = numpy.ndarray
    if str(cls.__module__).partition(".")[0] == "numpy" or issubclass(cls, numpy.memmap):
        return None
    if cls.__reduce__ is not array.__reduce__ or cls.__reduce_ex__ is not array.__reduce_ex__:
        return None
    if cls.__setstate__ is not array.__setstate__:
        return None
    held: Any = object.__getstate__(obj)
    if held is None and obj.dtype.hasobject:
        return None
    if obj.dtype.hasobject:
        make, arguments, content = array.__reduce__(obj)
        return make, arguments, (content, held), None, None, _set_content
    fortran = obj.flags.f_contiguous and not obj.flags.c_contiguous
    plain = obj.view(array).T if fortran else obj.view(array)
    raw = pickle.PickleBuffer(numpy.ascontiguousarray(plain).reshape(-1).view("u1"))
    made = cls, obj.shape, obj.dtype, raw, "F" if fortran else "C"
    return _again, made, held and (held,), None, None, _set_attributes


def _again(cls: Any, shape: tuple[int, ...], dtype: Any, raw: Any, order: str) -> Any:
    return sys.modules["numpy"].ndarray.__new__(cls, shape, dtype, raw, order=order)


def _set_content(array: Any, state: tuple[Any, Any]) -> None:
    content, held = state
    sys.modules["numpy"].ndarray.__setstate__(array, content)
    _set_attributes(array, (held,))


def _set_attributes(array: Any, state: tuple[Any]) -> None:
    """Past the type's own `__setattr__`: `state` is as `object.__getstate__` gave it."""
    held = cast("tuple[Any, ...]", state[0]) if isinstance(state[0], tuple) else state
    for part in held:
        for name, value in cast("dict[str, Any]", part or {}).items():
            object.__setattr__(array, name, value)
