"""Pickles numpy arrays that share memory so that they share it on the other side. Part of
`pickler`; never imports numpy itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.pickling import array_subclasses


def roots(arrays: Iterable[Any]) -> dict[int, Any]:
    """For each piece of memory (by the id of its owner), the largest contiguous array of `arrays`
    on it.
    """
    numpy = sys.modules.get("numpy")
    found: dict[int, Any] = {}
    for array in arrays if numpy else ():
        if type(array) is numpy.ndarray and array.flags.c_contiguous and array.nbytes:  # pyright: ignore[reportOptionalMemberAccess]
            owner = id(_owner(array))
            if owner not in found or array.nbytes > found[owner].nbytes:
                found[owner] = array
    return found


def with_spans(values: Iterable[Any]) -> list[Any]:
    """The arrays; for those that overlap without one containing the other, the bytes that contain
    both.
    """
    numpy = sys.modules.get("numpy")
    arrays = [value for value in values if numpy and type(value) is numpy.ndarray and value.nbytes]
    by_owner: dict[int, list[Any]] = {}
    for array in {id(array): array for array in arrays if not array.dtype.hasobject}.values():
        by_owner.setdefault(id(_owner(array)), []).append(array)
    return arrays + [
        _span(group) for group in by_owner.values() if len(group) > 1 and _overlap(group)
    ]


def _overlap(arrays: list[Any]) -> bool:
    """Whether two of them share memory and no contiguous one contains all."""
    root = roots(arrays).get(id(_owner(arrays[0])))
    if root is not None and all(
        array is root or reduced(array, {id(_owner(array)): root}) for array in arrays
    ):
        return False
    shares = sys.modules["numpy"].shares_memory
    try:
        return any(
            shares(one, other, max_work=10_000)
            for number, one in enumerate(arrays)
            for other in arrays[:number]
        )
    except Exception:  # TooHardError: it would take long to decide
        return False


def _span(arrays: list[Any]) -> Any:
    """The bytes from the first of these arrays to the last, as an array on their memory."""
    numpy = sys.modules["numpy"]
    base = min(arrays, key=lambda array: _bounds(array)[0])
    first, last = _bounds(base)[0], max(_bounds(array)[1] for array in arrays)
    base = base[
        tuple(slice(None, None, -1 if step < 0 else 1) for step in base.strides)
    ]  # strides may be negative
    return numpy.lib.stride_tricks.as_strided(
        base[(slice(0, 1),) * base.ndim].view(numpy.uint8).reshape(-1), (last - first,), (1,)
    )


def reduced(obj: Any, of: Mapping[int, Any]) -> Any:
    """How to pickle `obj` as a view of one of the roots `of`; None if it is not a view."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    plain = type(obj) is numpy.ndarray
    if not (plain or array_subclasses.is_of_bytes(obj)) or not obj.nbytes:
        return None
    owner: Any = _owner(obj)
    root = of.get(id(owner))
    if root is None and repeats(obj) and type(owner) is numpy.ndarray:
        root = owner if owner.flags.c_contiguous else None
    if root is None or root is obj:
        return None
    if (root.dtype.hasobject or obj.dtype.hasobject) and root.dtype != obj.dtype:
        return None
    offset = _address(obj) - _address(root)
    first, last = _bounds(obj)
    inside = first >= _address(root) and last <= _address(root) + root.nbytes
    if not inside:
        return None
    cls: Any = None if plain else cast("type[Any]", type(obj))
    made = root, obj.dtype, obj.shape, obj.strides, offset, cls, obj.flags.writeable
    return (view, made) if plain else array_subclasses.with_attributes(obj, view, *made)


def view(
    root: Any,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    cls: Any = None,
    writeable: bool = True,
) -> Any:
    """A view of `root`; called by the unpickler."""
    numpy = sys.modules["numpy"]
    if dtype.hasobject:  # numpy exports no bytes of these
        flat = root.reshape(-1)[offset // root.itemsize :]
        made = numpy.lib.stride_tricks.as_strided(flat, shape, strides)
        made = made if cls is None else made.view(cls)
    else:
        raw = root.reshape(-1).view(numpy.uint8)
        made = numpy.ndarray.__new__(cls or numpy.ndarray, shape, dtype, raw, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made


def repeats(obj: Any) -> bool:
    """Whether an array repeats its elements, like the result of `np.broadcast_to`."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return False
    array: Any = obj
    steps = zip(array.strides, array.shape, strict=True)
    return any(not step and length > 1 for step, length in steps)


def _owner(array: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    while (below := array.base) is not None:
        if type(below).__name__ == "DummyArray":  # left by as_strided and sliding_window_view
            below = below.base
        if not isinstance(below, numpy.ndarray) or isinstance(below, numpy.memmap):
            break
        array = below
    return array


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses of its first byte and of the one after its last."""
    reach = [
        stride * (length - 1) for stride, length in zip(array.strides, array.shape, strict=True)
    ]
    start = _address(array)
    return start + sum(min(step, 0) for step in reach), start + sum(
        max(step, 0) for step in reach
    ) + array.itemsize


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]
