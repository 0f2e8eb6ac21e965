"""What an object holds, in a form that tells whether it changed: containers by identity of their
items, arrays and opaque things by digest.

Part of `inplace`. Looks only; it changes nothing and talks to nobody.
"""

from __future__ import annotations

import contextlib
import copy
import copyreg
import io
import pickle
import sys
import types
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import blake3
import cloudpickle

from mecapy_jupyter.travel.changes import user_classes
from mecapy_jupyter.travel.pickling import known_blobs

_CONTAINERS = (list, dict, set, bytearray, deque)
_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
_HASH_BYTES = 64 * 1024  # smaller arrays are compared by their bytes, larger ones by digest


def watchable(obj: object) -> bool:
    """Whether an object of the memo can change in place and is worth a look. Code, names and
    numbers cannot.
    """
    if isinstance(obj, type):
        return obj.__module__ == "__main__"
    if isinstance(obj, (*_CONTAINERS, types.CellType)):
        return True
    if isinstance(
        obj,
        (str, bytes, tuple, frozenset, types.CodeType, types.ModuleType, types.BuiltinFunctionType),
    ):
        return False
    if isinstance(obj, types.FunctionType):
        return obj.__module__ == "__main__"
    # A type that hashes by value promises not to change.
    return type(obj).__hash__ in (None, object.__hash__) or _hash_refuses(obj)


def _hash_refuses(obj: object) -> bool:
    try:
        hash(obj)
    except TypeError:
        return True
    except Exception:
        return False
    return False


def kind_of(obj: object) -> str:
    for plain in _CONTAINERS:
        if isinstance(obj, plain):
            return plain.__name__
    if isinstance(obj, type):
        return "class"
    if isinstance(obj, types.CellType):
        return "cell"
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(obj) in (
        numpy.ndarray,
        numpy.memmap,
        numpy.recarray,
        numpy.matrix,
    ):
        return "array"
    if numpy is not None and type(obj) is numpy.random.Generator:
        return "random"
    if isinstance(obj, types.FunctionType) or _is_plain_instance(obj):
        return "instance"
    return "own" if user_classes.says_how(type(obj)) else "opaque"


def _is_plain_instance(obj: object) -> bool:
    """Whether all its state is its `__dict__` and its slots, as far as pickle is concerned."""
    cls = type(obj)
    if cls is types.SimpleNamespace:  # its `__reduce__` says nothing else
        return True
    if cls in copyreg.dispatch_table or not (
        hasattr(obj, "__dict__") or all("__slots__" in vars(base) for base in cls.__mro__[:-1])
    ):
        return False
    how = (
        "__setstate__",
        "__reduce__",
        "__getstate__",
        "__reduce_ex__",
        "__getnewargs_ex__",
        "__getnewargs__",
    )
    return all(getattr(cls, name, None) is getattr(object, name, None) for name in how)


def figures(memo: Mapping[int, object]) -> dict[int, int]:
    """The ids of matplotlib's figures and axes in it, and their numbers. All parts of a picture
    refer to each other, so each of these is watched by itself and stays itself: else a change of
    `ax` would bring home another figure around it.
    """
    homes = (("matplotlib.figure", "FigureBase"), ("matplotlib.axes", "Axes"))
    kinds = tuple(
        getattr(sys.modules[module], name) for module, name in homes if module in sys.modules
    )
    return (
        {id(obj): number for number, obj in memo.items() if isinstance(obj, kinds)} if kinds else {}
    )


def content_of(obj: Any, apart: Mapping[int, int]) -> Any:
    """What `obj` holds, in a form that `_same` compares by identity. Keeps what it holds alive, so
    identities stay unique.

    `apart`: as for `fingerprint`.
    """
    kind = kind_of(obj)
    if kind == "dict":
        return [*obj.keys(), *obj.values(), *_attribute_list(obj)]
    if kind in ("list", "deque"):
        return [*obj, *_attribute_list(obj)]
    if kind == "set":
        return set(map(id, obj)), list(obj)
    if kind == "bytearray":
        return bytes(obj)
    if kind == "array":
        return list(obj.flat) if obj.dtype.hasobject else _digest(obj)
    if kind == "class":
        attributes = class_attributes(obj)
        return [*attributes, *attributes.values()]
    if kind == "instance":
        return _attribute_list(obj)
    if kind == "cell":
        return _cell_list(obj)
    if kind == "random":
        return repr(obj.bit_generator.state).encode()
    return looks(obj, apart, set())


def looks(obj: Any, apart: Mapping[int, int], hidden: set[int]) -> Any:
    """The fingerprint of an object that says itself how it pickles; where it came by pickle and
    will not go by it, its attributes.
    """
    with contextlib.suppress(Exception):  # its own code, or what it holds
        if kind_of(obj) != "own":
            return fingerprint(obj, hidden, apart)
        taken = user_classes.reduced(obj)
        return _in_short(taken, apart) or fingerprint(taken, hidden, apart)
    return _attribute_list(obj)


def _in_short(taken: Any, apart: Mapping[int, int]) -> bytes:
    """A fingerprint in a tenth of the time, where all the state is plain values and what is watched
    by itself; else empty.
    """
    if len(taken) < 3 or any(taken[3:]) or type(taken[2]) is not dict:
        return b""
    said = [str(id(taken[0]))]
    for value in (*taken[1], *taken[2], *taken[2].values()):
        if (number := apart.get(id(value))) is not None:
            said.append(f"#{number}")
        elif type(value) in _PLAIN:
            said.append(repr(value))
        elif isinstance(value, type):
            said.append(f"<{id(value)}>")
        else:
            return b""
    return "\n".join(said).encode("utf-8", "surrogatepass")


def _attribute_list(obj: Any) -> list[Any]:
    attributes = user_classes.attributes(obj)
    return [*attributes, *attributes.values()] if attributes else []


def _cell_list(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not bound
        return []


def class_attributes(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl"
    }


def same(before: Any, now: Any) -> bool:
    if isinstance(before, bytes) or isinstance(now, bytes):
        return before == now
    if isinstance(before, tuple):  # a set: ids, and the list that keeps them
        return cast("tuple[Any, ...]", before)[0] == now[0]
    return len(before) == len(now) and all(
        a is b or (type(a) is str and a == b) for a, b in zip(before, now, strict=True)
    )


def copied(obj: Any) -> Any:
    kind = kind_of(obj)
    attributes = user_classes.attributes(obj)
    if kind == "cell":
        return _cell_list(obj)
    if kind == "dict":
        return {"items": [*obj.items()], "attributes": attributes}
    if kind in ("list", "deque", "set"):
        return {"items": [*obj], "attributes": attributes}
    if kind == "bytearray":
        return bytes(obj)
    if kind == "array":
        return obj.copy() if obj.dtype.hasobject else obj.view()
    if kind == "class":
        return class_attributes(obj)
    if kind == "random":
        return obj.bit_generator.state
    if kind == "instance":
        return attributes
    try:
        return user_classes.reduced(obj) if kind == "own" else copy.copy(obj)
    except Exception as error:
        return Unsendable(error)


def memory_of(array: Any) -> object:
    """What holds an array's bytes."""
    base = array
    while (below := getattr(base, "base", None)) is not None:
        base = below
    return base.obj if isinstance(base, memoryview) else base


def _digest(array: Any) -> bytes:
    header = f"{array.shape}{array.strides}{array.dtype.str}".encode()
    try:
        raw = memoryview(array.reshape(-1, order="A").view("u1"))
    except (TypeError, ValueError):  # a dtype that does not show its bytes
        return looks(array, {}, set())
    return header + (bytes(raw) if raw.nbytes < _HASH_BYTES else _digest_of(raw))


def _digest_of(raw: memoryview) -> bytes:
    """An input that was only read is still the map of its blob, whose name is its digest: nothing
    is hashed, before or after.
    """
    return bytes.fromhex(known_blobs.digest(raw))


def fingerprint(obj: object, hidden: set[int], apart: Mapping[int, int]) -> bytes:
    """A digest of how `obj` pickles; the ids of all it is made of are added to `hidden`. Objects in
    `apart` (id → number) are no part of it: they count by their number. Raises what pickling
    raises.
    """
    file, hasher = io.BytesIO(), blake3.blake3()

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        hasher.update(raw if raw.nbytes < _HASH_BYTES else _digest_of(raw))
        return False

    pickler = _PartsPickler(file, protocol=5, buffer_callback=keep)
    pickler.parts, pickler.whole, pickler.apart, pickler.met = hidden, id(obj), apart, set()
    pickler.dump(obj)
    hasher.update(file.getbuffer())
    return hasher.digest()


def held(obj: object, apart: Mapping[int, int]) -> set[int]:
    """The numbers of those in `apart` (id → number) that `obj` holds, looked for no deeper than to
    the first on each way.
    """
    kind = kind_of(obj)
    if (
        kind in ("class", "random", "bytearray")
        or isinstance(obj, types.FunctionType)
        or (kind == "array" and not cast(Any, obj).dtype.hasobject)
    ):
        return set()
    pickler = _PartsPickler(io.BytesIO(), protocol=5, buffer_callback=lambda _: False)
    pickler.parts, pickler.whole, pickler.apart, pickler.met = set(), id(obj), apart, set()
    with contextlib.suppress(Exception):  # as far as it can be pickled
        pickler.dump(user_classes.reduced(obj) if kind == "own" else obj)
    return pickler.met


class _PartsPickler(cloudpickle.Pickler):
    parts: set[int]
    whole: int
    apart: Mapping[int, int]
    met: set[int]

    def persistent_id(self, obj: Any) -> int | None:
        if id(obj) == self.whole:
            return None
        number = self.apart.get(id(obj))
        if number is not None:
            self.met.add(number)
            return number
        if not isinstance(obj, (str, int, float, bytes, tuple)):
            self.parts.add(id(obj))
        return None


class Unsendable:
    """In the place of a content that cannot be had; pickling it says why."""

    def __init__(self, why: Exception) -> None:
        self._why = why

    def __reduce__(self) -> str:
        raise pickle.PicklingError(f"{type(self._why).__name__}: {self._why}")
