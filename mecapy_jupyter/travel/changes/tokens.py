"""The tokens by which two looks at an object are compared.

A part that travelled by itself counts by identity, because it has a number and is compared itself;
so do singletons. Numbers and text count by value. An object that was created for this look, such as
the dict that `__getstate__` returns, counts by content.
"""

from __future__ import annotations

import functools
import operator
import pickle
import sys
import types
from collections.abc import Collection
from typing import Any, cast

import blake3

from mecapy_jupyter.travel.changes import shapes
from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling import (
    array_subclasses,
    by_name_reducers,
    known_blobs,
    reducers,
    type_hints,
)

_ATOMS = frozenset({int, float, complex, bool, str, type(None), type(...), type(NotImplemented)})
_ONE_OF = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType)
_HASH_BYTES = 1024  # shorter data is kept; longer data becomes a digest
_MAPPED_BYTES = 64 * 1024  # data of this size may be a blob's map, whose digest is known

Reduction = tuple[Any, ...]
"""The result of `__reduce_ex__`: six parts, with lists instead of iterators."""


class Made(tuple[Any, ...]):
    """A part that was created for this look: its type, and the tokens of its content."""

    __slots__ = ()


class Unsendable:
    """Stands for a state that cannot be read; pickling reports why."""

    def __init__(self, why: Exception) -> None:
        self._why = why

    def __reduce__(self) -> str:
        raise pickle.PicklingError(f"{type(self._why).__name__}: {self._why}")


def same(before: Any, now: Any) -> bool:
    """Whether two tokens mean the same content."""
    if before is now:
        return True
    kind = cast("type[Any]", type(before))
    if kind is not type(now):
        return False
    if kind is float:
        if before and now == now:  # quick, but wrong for signed zeros and NaN
            return before == now
        return before.hex() == now.hex()
    if kind is Made:
        return len(before) == len(now) and (
            all(map(operator.is_, before, now)) or all(map(same, before, now))
        )
    if kind is complex:
        return repr(before) == repr(now)
    return kind in (str, bytes, int) and before == now


def changed(before: Any, now: Any, again: Any) -> bool:
    """Whether more has changed than what a look itself moves: a counter, for one. `again`: what a
    second look found, right after `now`.
    """
    if same(now, again):
        return not same(before, now)
    if type(before) is not type(now):
        return True
    if not type(before) is type(again) is Made:
        return False
    return not len(before) == len(now) == len(again) or any(map(changed, before, now, again))


def reduction(obj: Any, *, named: bool = True) -> Reduction | str:
    """The pieces of `obj`, as when it was sent. Raises what the object's own code raises. `named`:
    its public name is enough; otherwise its content is read.
    """
    taken: Any = type_hints.reduced(obj) or reducers.reduced(obj)
    if taken is None or (not named and taken[0] is by_name_reducers.attribute):
        return pickles.taken_apart(obj)
    return pickles.filled(taken)


class Tokens:
    """The tokens of one look. `numbered`: ids of the objects that travelled by themselves. `whole`:
    compare arrays by content even so, because their owner shares them invisibly.
    """

    def __init__(self, numbered: Collection[int], *, whole: bool = False) -> None:
        self._numbered, self._whole = numbered, whole
        self._seen: dict[int, tuple[int, object]] = {}
        self.inside = list[object]()
        """Objects that travelled by themselves but are compared by content."""

    def of(self, value: Any) -> Any:
        kind = cast("type[Any]", type(value))
        if kind in _ATOMS:
            return value
        if id(value) in self._numbered:
            if not (self._whole and belongs(kind)):
                return value
            self.inside.append(value)
        if issubclass(kind, _ONE_OF):
            return value
        if (before := self._seen.get(id(value))) is not None:
            return before[0]
        self._seen[id(value)] = len(self._seen), value
        return self._made(kind, value)

    def _made(self, kind: type[Any], value: Any) -> Any:
        if kind in (list, tuple, set, frozenset):
            return Made((kind, *map(self.of, value)))
        if kind is dict:
            return Made((kind, *map(self.of, value), *map(self.of, value.values())))
        if kind in (bytes, bytearray, memoryview):
            return of_bytes(memoryview(value))
        if kind is pickle.PickleBuffer:
            return of_bytes(value.raw())
        if shapes.is_array(kind) and shapes.is_plain(kind):
            return of_array(value)
        taken = reduction(value)
        return value if isinstance(taken, str) else Made((kind, *map(self.of, taken)))


def of_bytes(raw: memoryview) -> bytes:
    raw = raw.cast("B") if raw.contiguous else memoryview(bytes(raw))
    return bytes(raw) if raw.nbytes <= _HASH_BYTES else b"=" + digest(raw)


def digest(raw: memoryview) -> bytes:
    """An input that was only read is still the map of its blob, whose name is the digest, so that
    nothing is hashed.
    """
    if raw.nbytes < _MAPPED_BYTES:
        return blake3.blake3(raw).digest()
    return bytes.fromhex(known_blobs.digest(raw))


def of_array(array: Any) -> Any:
    """An array by its bytes; an array of objects by their tokens."""
    numpy: Any = sys.modules["numpy"]
    if type(array) is not numpy.ndarray:
        array = numpy.ndarray.view(array, numpy.ndarray)
    if array.dtype.hasobject:
        return Made((str(array.shape), *array.ravel(order="K")))
    dtype = array.dtype.str if array.dtype.names is None else repr(array.dtype)
    header = f"{array.shape}{array.strides}{dtype}{array_subclasses.is_writeable(array)}".encode()
    try:
        raw = memoryview(array.reshape(-1, order="A").view("u1"))
    except (TypeError, ValueError):  # a dtype that does not show its bytes
        raw = memoryview(array.tobytes())
    return header + of_bytes(raw)


def belongs(kind: type[Any]) -> bool:
    """Whether the array is the memory of a table. pandas shares it between tables until one is
    written, so that a change in place would show in the others.
    """
    module = str(kind.__module__)
    return (
        module.startswith(("pandas._libs.internals", "pandas.core.internals"))
        or (is_table(kind) and hasattr(kind, "_from_sequence"))
        or kind in (tuple, list, dict)
        or shapes.is_array(kind)
    )


@functools.lru_cache(maxsize=4096)
def is_table(kind: type[Any]) -> bool:
    """Whether its objects hold such memory."""
    return any(str(base.__module__).partition(".")[0] == "pandas" for base in kind.__mro__)
