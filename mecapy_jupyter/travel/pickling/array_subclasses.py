"""Pickles array subclasses of the notebook with their attributes, which numpy's pickle omits, and
masked arrays, whose pickle copies what they share. Part of `pickler`; never imports numpy itself.
The functions named in the results run on the other side.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any, cast

from mecapy_jupyter.travel.pickling.object_reducers import set_attributes


def reduced(obj: Any) -> Any:
    """How to pickle such an array, or None for any other object."""
    cls = cast("type[Any]", type(obj))
    if _is_of_file(obj):
        return _again, (cls, *_layout(obj)), _of_map(obj), None, None, _set_map
    if not is_of_bytes(obj) or (str(cls.__module__).startswith("numpy") and not is_masked(cls)):
        return None
    numpy: Any = sys.modules["numpy"]
    array = numpy.ndarray
    held: Any = object.__getstate__(obj)
    if held is None and obj.dtype.hasobject:
        return None
    if obj.dtype.hasobject:
        make, arguments, content = array.__reduce__(obj)
        return make, arguments, (content, held), None, None, _set_content
    return with_attributes(obj, _again, cls, *_layout(obj))


_WRITEABLE = 0x400  # NPY_ARRAY_WRITEABLE


def is_writeable(array: Any) -> bool:
    """Without the warning that `flags.writeable` gives for a result of `np.broadcast_arrays`."""
    return bool(array.flags.num & _WRITEABLE)


def _layout(obj: Any) -> tuple[Any, ...]:
    numpy: Any = sys.modules["numpy"]
    fortran = obj.flags.f_contiguous and not obj.flags.c_contiguous
    plain = obj.view(numpy.ndarray).T if fortran else obj.view(numpy.ndarray)
    raw = pickle.PickleBuffer(numpy.ascontiguousarray(plain).reshape(-1).view("u1"))
    return obj.shape, obj.dtype, raw, "F" if fortran else "C"


_OF_MAP = "filename", "offset", "mode"


def _is_of_file(obj: Any) -> bool:
    """Whether it is a memmap. numpy's pickle makes one that may be written and names no file."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and type(obj) is numpy.memmap and obj.nbytes > 0


def _of_map(obj: Any) -> tuple[dict[str, Any], bool]:
    held = cast("dict[str, Any]", vars(obj))
    return {name: held.get(name) for name in _OF_MAP}, is_writeable(obj)


def _set_map(array: Any, state: tuple[dict[str, Any], bool]) -> None:
    cast("dict[str, Any]", vars(array)).update(state[0])
    if not state[1]:
        array.flags.writeable = False


def is_of_bytes(obj: Any) -> bool:
    """Whether it is an array whose type defines no pickling of its own."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return False
    cls, array = cast("type[Any]", type(obj)), numpy.ndarray
    hows = "__reduce__", "__reduce_ex__", "__setstate__"
    as_array = all(getattr(cls, how) is getattr(array, how) for how in hows)
    return is_masked(cls) or (as_array and not issubclass(cls, numpy.memmap))


def is_masked(cls: Any) -> bool:
    masked: Any = sys.modules.get("numpy.ma")
    return masked is not None and cls is masked.MaskedArray


def with_attributes(array: Any, make: Any, *arguments: Any) -> Any:
    """How to pickle an array that `make` creates, with its `__dict__` and slots."""
    held: Any = object.__getstate__(array)
    return make, arguments, held and (held,), None, None, _set_held


def _again(cls: Any, shape: tuple[int, ...], dtype: Any, raw: Any, order: str) -> Any:
    return sys.modules["numpy"].ndarray.__new__(cls, shape, dtype, raw, order=order)


def _set_content(array: Any, state: tuple[Any, Any]) -> None:
    content, held = state
    sys.modules["numpy"].ndarray.__setstate__(array, content)
    set_attributes(array, held)


def _set_held(array: Any, state: tuple[Any]) -> None:
    set_attributes(array, state[0])
