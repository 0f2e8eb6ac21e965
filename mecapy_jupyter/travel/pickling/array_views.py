"""Pickles numpy arrays that share memory so that they share it on the other side. Part of
`pickler`; never imports numpy itself.
"""

from __future__ import annotations

import mmap
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.pickling import array_subclasses


def roots(arrays: Iterable[Any]) -> dict[int, Any]:
    """Id of the owner of a piece of memory → the largest contiguous array of `arrays` on it."""
    found: dict[int, Any] = {}
    for array in arrays:
        if is_array(array) and array.flags.c_contiguous:
            owner = id(memory_owner(array))
            if owner not in found or array.nbytes > found[owner].nbytes:
                found[owner] = array
    return found


def shared(arrays: Iterable[Any], is_pickled: Callable[[object], bool]) -> dict[int, Any]:
    """For each piece of memory (by the id of its owner) that several of `arrays` use, or that
    belongs to a buffer for which `is_pickled`, what contains them: that buffer, one of the arrays,
    or their bytes.
    """
    by_owner: dict[int, list[Any]] = {}
    for array in arrays:
        by_owner.setdefault(id(memory_owner(array)), []).append(array)
    found: dict[int, Any] = {}
    for owner, group in by_owner.items():
        buffer = _buffer_of(memory_owner(group[0]))
        if buffer is not None and is_pickled(buffer):
            found[owner] = buffer
        elif len(group) > 1 and _overlap(group):
            root = roots(group).get(owner)
            if root is not None and all(a is root or reduced(a, {owner: root}) for a in group):
                found[owner] = root
            elif not any(array.dtype.hasobject for array in group):
                found[owner] = _span(group)
    return found


def _buffer_of(owner: Any) -> Any:
    """The object whose memory an array uses: a bytearray, an `array.array`, a ctypes array."""
    below = owner.base
    below = below.obj if type(below) is memoryview else below
    if below is None or type(below) is bytes or isinstance(below, mmap.mmap):
        return None
    try:
        return below if memoryview(below).contiguous else None
    except (TypeError, ValueError, BufferError):
        return None


_MOST_PAIRS = 2_000


def _overlap(arrays: list[Any]) -> bool:
    """Whether two of them share memory. With very many that lie interleaved: True, to be safe."""
    numpy: Any = sys.modules["numpy"]
    shares = numpy.shares_memory
    arrays = [numpy.ndarray.view(array, numpy.ndarray) for array in arrays]  # it asks subclasses
    bounds = sorted((*_bounds(array), number) for number, array in enumerate(arrays))
    pairs = 0
    for at, (_, last, number) in enumerate(bounds):
        for first, _, other in bounds[at + 1 :]:
            if first >= last:
                break
            pairs += 1
            try:
                if pairs > _MOST_PAIRS or shares(arrays[number], arrays[other], max_work=10_000):
                    return True
            except Exception:  # TooHardError: it would take long to decide
                return True
    return False


def _span(arrays: list[Any]) -> Any:
    """The bytes from the first of these arrays to the last, as an array on their memory."""
    numpy = sys.modules["numpy"]
    base = min(arrays, key=lambda array: _bounds(array)[0]).view(numpy.ndarray)
    first, last = _bounds(base)[0], max(_bounds(array)[1] for array in arrays)
    # strides may be negative
    base = base[tuple(slice(None, None, -1 if step < 0 else 1) for step in base.strides)]
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
    owner: Any = memory_owner(obj)
    root = of.get(id(owner))
    if root is None and repeats(obj) and type(owner) is numpy.ndarray:
        root = owner if owner.flags.c_contiguous else None
    if root is None or root is obj:
        return None
    if not isinstance(root, numpy.ndarray):  # a buffer
        return _of_memory(obj, root, numpy.frombuffer(root, numpy.uint8))
    if (root.dtype.hasobject or obj.dtype.hasobject) and root.dtype != obj.dtype:
        return None
    return _of_memory(obj, root, root)


def _of_memory(obj: Any, root: Any, memory: Any) -> Any:
    """How to pickle `obj` as a view of `root`, whose memory is the array `memory`."""
    start = _address(memory)
    offset = _address(obj) - start
    first, last = _bounds(obj)
    if first < start or last > start + memory.nbytes:
        return None
    plain = type(obj) is sys.modules["numpy"].ndarray
    cls: Any = None if plain else cast("type[Any]", type(obj))
    made = root, obj.dtype, obj.shape, obj.strides, offset, cls, array_subclasses.is_writeable(obj)
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
    is_array = isinstance(root, numpy.ndarray)
    root = root.view(numpy.ndarray) if is_array else root
    if dtype.hasobject:  # numpy exports no bytes of these
        flat = root.reshape(-1)[offset // root.itemsize :]
        made = numpy.lib.stride_tricks.as_strided(flat, shape, strides)
        made = made if cls is None else made.view(cls)
    else:
        raw = root.reshape(-1).view(numpy.uint8) if is_array else root
        if (
            is_array and writeable and not array_subclasses.is_writeable(raw)
        ):  # the root is a read-only view
            raw.flags.writeable = True
        made = numpy.ndarray.__new__(cls or numpy.ndarray, shape, dtype, raw, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made


def swapped(array: Any) -> Any:
    """How to pickle a strided array of the other byte order, because numpy's pickle swaps it and
    calls it native. None for any other array.
    """
    if array.flags.forc or array.dtype.isnative or type(array) is not sys.modules["numpy"].ndarray:
        return None
    return whole(array.copy())


_MOST_OWNED_BYTES = 1 << 20
"""Larger ones are read where they lie, often in a mapped file."""


def whole(array: Any) -> Any:
    """How to pickle an array that owns its memory so that views of it have it as `base`, and so
    that a small one owns its memory there too: `base is None`, and `resize` works. None for any
    other array.
    """
    flags, cls = array.flags, sys.modules["numpy"].ndarray
    if type(array) is not cls or array.dtype.hasobject:
        return None
    if not (flags.owndata and array_subclasses.is_writeable(array) and flags.forc):
        return None
    order = "C" if flags.c_contiguous else "F"
    raw = pickle.PickleBuffer(array.reshape(-1, order=order).view("u1"))
    small = array.nbytes <= _MOST_OWNED_BYTES
    return _owned if small else _on, (raw, array.dtype, array.shape, order)


def _on(raw: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    return sys.modules["numpy"].ndarray(shape, dtype, raw, order=order)


def _owned(raw: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    return _on(raw, dtype, shape, order).copy(order)


def read_only(array: Any) -> Any:
    """How to pickle an array that forbids writing, in memory that does not: the cell may allow it
    again, and others may write to the memory. None for any other array.
    """
    numpy: Any = sys.modules["numpy"]
    if (
        array_subclasses.is_writeable(array)
        or type(array) is not numpy.ndarray
        or array.dtype.hasobject
    ):
        return None
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    whole = numpy.ascontiguousarray(array.T if order == "F" else array).reshape(-1).view("u1")
    interface = {**whole.__array_interface__, "data": (_address(whole), False)}
    raw = pickle.PickleBuffer(numpy.asarray(_Memory(interface, whole)))
    return _read_only, (raw, array.dtype, array.shape, order)


def _read_only(raw: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    made = _on(raw, dtype, shape, order)
    made.flags.writeable = False
    return made


class _Memory:
    """A place in the memory of `base`, as numpy wants it described."""

    def __init__(self, interface: dict[str, Any], base: Any) -> None:
        self.__array_interface__, self.base = interface, base


def is_row(obj: object) -> bool:
    """Whether it is an element of a structured array, whose memory it shares, or a copy of one."""
    numpy: Any = sys.modules.get("numpy")
    return (
        numpy is not None and isinstance(obj, numpy.void) and cast(Any, obj).dtype.names is not None
    )


def of_row(row: Any) -> Any:
    """An array without dimensions on the memory of a row; with objects in it: a copy."""
    numpy: Any = sys.modules["numpy"]
    if row.dtype.hasobject:
        return numpy.asarray(row)
    interface: dict[str, Any] = row.__array_interface__
    place = interface["data"][0], not row.flags.writeable  # NumPy 2.5: "read-only"
    of = row if row.base is None else row.base
    return numpy.asarray(_Memory(interface | {"data": place}, of)).view(row.dtype)


def is_array(obj: object) -> bool:
    """Whether it is an array with memory that another array may share."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return False
    array: Any = obj
    return array.nbytes > 0 and (type(obj) is numpy.ndarray or array_subclasses.is_of_bytes(obj))


def repeats(array: Any) -> bool:
    """Whether an array repeats its elements, like the result of `np.broadcast_to` or
    `sliding_window_view`.
    """
    first, last = _bounds(array)
    steps = zip(array.strides, array.shape, strict=True)
    return array.nbytes > last - first or any(not step and length > 1 for step, length in steps)


def memory_owner(array: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    while (below := array.base) is not None:
        # left by as_strided and sliding_window_view, or of an element
        if type(below) is _Memory or type(below).__name__ == "DummyArray":
            below = below.base
        if not isinstance(below, numpy.ndarray) or isinstance(below, numpy.memmap):
            break
        array = below
    return array


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses of its first byte and of the one after its last."""
    start = _address(array)
    if array.flags.c_contiguous:
        return start, start + array.nbytes
    reach = [
        stride * (length - 1) for stride, length in zip(array.strides, array.shape, strict=True)
    ]
    return start + sum(min(step, 0) for step in reach), start + sum(
        max(step, 0) for step in reach
    ) + array.itemsize


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]
