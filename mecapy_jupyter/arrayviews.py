"""numpy arrays that share memory, written so that they share it on the other side, too. Part of `payload`; never imports numpy itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any


def roots(arrays: Iterable[Any]) -> dict[int, Any]:
    """For each piece of memory (by the id of the array that owns it), the largest contiguous one of `arrays` that looks at it."""
    numpy = sys.modules.get("numpy")
    found: dict[int, Any] = {}
    for array in arrays if numpy else ():
        if type(array) is numpy.ndarray and array.flags.c_contiguous and array.nbytes:  # pyright: ignore[reportOptionalMemberAccess]
            owner = id(_owner(array))
            if owner not in found or array.nbytes > found[owner].nbytes:
                found[owner] = array
    return found


def reduced(obj: Any, of: Mapping[int, Any]) -> Any:
    """How to pickle `obj` as a view of one of the roots `of`, or None when it is none."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(obj) is not numpy.ndarray or obj.dtype.hasobject or not obj.nbytes:
        return None
    root = of.get(id(_owner(obj)))
    if root is None or root is obj or root.dtype.hasobject:
        return None
    offset = _address(obj) - _address(root)
    reach = [stride * (length - 1) for stride, length in zip(obj.strides, obj.shape, strict=True)]
    first, last = offset + sum(min(step, 0) for step in reach), offset + sum(max(step, 0) for step in reach) + obj.itemsize
    return (view, (root, obj.dtype, obj.shape, obj.strides, offset)) if first >= 0 and last <= root.nbytes else None


def view(root: Any, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
    """A window on `root`; called by the unpickler."""
    numpy = sys.modules["numpy"]
    return numpy.ndarray(shape, dtype, buffer=root.reshape(-1).view(numpy.uint8), offset=offset, strides=strides)


def _owner(array: Any) -> Any:
    while (below := array.base) is not None and type(below) is type(array):
        array = below
    return array


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]
