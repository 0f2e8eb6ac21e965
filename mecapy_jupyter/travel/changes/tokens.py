"""What a part of an object counts as when two looks at the object are compared.

A part that travelled by itself counts as itself: it has its number, and is looked at for itself.
So does whatever Python has one of. Numbers and text count by their value, and what was made for
this look (the dict that a `__getstate__` returns) by what it holds.
"""

from __future__ import annotations

import functools
import operator
import pickle
import sys
import types
from collections.abc import Collection, Iterator
from typing import Any, cast

import blake3
import cloudpickle

from mecapy_jupyter.travel.changes import shapes
from mecapy_jupyter.travel.pickling import by_name_reducers, known_blobs, reducers, type_hints

_ATOMS = frozenset({int, float, complex, bool, str, type(None), type(...), type(NotImplemented)})
_ONE_OF = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType)
_HASH_BYTES = 1024  # shorter data is kept as it is, of longer a digest
_MAPPED_BYTES = 64 * 1024  # from here on data may be a blob's map, which knows its digest

Reduction = tuple[Any, ...]
"""What pickling takes an object apart into: six parts, with lists in the place of iterators."""


class Made(tuple[Any, ...]):
    """A part that was made for this look: its type, and the tokens of what it holds."""

    __slots__ = ()


class Unsendable:
    """In the place of a state that cannot be had; pickling it says why."""

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
        if before and now == now:  # quick, but right for no zeros and for no NaN
            return before == now
        return before.hex() == now.hex()
    if kind is Made:
        return len(before) == len(now) and (
            all(map(operator.is_, before, now)) or all(map(same, before, now))
        )
    if kind is complex:
        return repr(before) == repr(now)
    return kind in (str, bytes, int) and before == now


def reduction(obj: Any, *, named: bool = True) -> Reduction | str:
    """What `obj` is taken apart into, as when it was sent. Raises what its own code raises.
    `named`: a public name tells enough of it; where not, what it holds is asked for.
    """
    taken: Any = type_hints.reduced(obj) or reducers.reduced(obj)
    if taken is None or (not named and taken[0] is by_name_reducers.attribute):
        how: Any = cast(Any, cloudpickle).Pickler.dispatch_table.get(type(obj))
        taken = how(obj) if how else obj.__reduce_ex__(5)
    if isinstance(taken, str):
        return taken
    parts = [list(cast(Any, p)) if isinstance(p, Iterator) else p for p in taken]
    return (*parts, *[None] * (6 - len(parts)))


class Tokens:
    """The tokens of one look. `numbered`: ids of what travelled by itself; `whole`: whether arrays
    count by what they hold even so, because what holds them shares them with others unseen.
    """

    def __init__(self, numbered: Collection[int], *, whole: bool = False) -> None:
        self._numbered, self._whole = numbered, whole
        self._seen: dict[int, tuple[int, object]] = {}
        self.inside = list[object]()
        """What travelled by itself and was counted by what it holds even so."""

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
    """An input that was only read is still the map of its blob, whose name is its digest: nothing
    is hashed, before or after.
    """
    if raw.nbytes < _MAPPED_BYTES:
        return blake3.blake3(raw).digest()
    return bytes.fromhex(known_blobs.digest(raw))


def of_array(array: Any) -> Any:
    """An array by its bytes; one of objects by these."""
    numpy: Any = sys.modules["numpy"]
    if type(array) is not numpy.ndarray:
        array = numpy.ndarray.view(array, numpy.ndarray)
    if array.dtype.hasobject:
        return Made((str(array.shape), *array.ravel(order="K")))
    header = f"{array.shape}{array.strides}{array.dtype.str}".encode()
    try:
        raw = memoryview(array.reshape(-1, order="A").view("u1"))
    except (TypeError, ValueError):  # a dtype that does not show its bytes
        raw = memoryview(array.tobytes())
    return header + of_bytes(raw)


def belongs(kind: type[Any]) -> bool:
    """Whether it is the memory of a table, which pandas shares between tables until one is
    written: written in place at home, a change would show in the others.
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
