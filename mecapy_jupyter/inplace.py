"""Which inputs a cell changed in place, and how to do the same at home.

In the child: `Watch` looks at the opened inputs before the cell runs and again after it. In the kernel: `apply` gives an
original the content its counterpart ended with, so that every other name for it sees the change. Neither talks to anybody.
"""

from __future__ import annotations

import copy
import copyreg
import io
import pickle
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import blake3
import cloudpickle

from . import known

_CONTAINERS = (list, dict, set, bytearray, deque)
_HASH_BYTES = 64 * 1024  # smaller arrays are compared by their bytes, larger ones by digest


class Watch:
    """The inputs of one run, by number, and what they held before it."""

    def __init__(self, memo: Mapping[int, object], variables: Iterable[object], namespace: object = None) -> None:
        """`memo`: as unpickled; `variables`: the values of the input variables (watched even when part of a larger object)."""
        tops = {id(value) for value in variables}
        watched = {number: obj for number, obj in memo.items() if obj is not namespace and _watchable(obj)}
        hidden = {id(_memory(obj)) for obj in watched.values() if _kind(obj) == "array"}
        self._before: dict[int, Any] = {}
        opaque = {number: obj for number, obj in watched.items() if _kind(obj) == "opaque"}
        for number, obj in opaque.items():
            if id(obj) not in hidden or id(obj) in tops:
                self._before[number] = _fingerprint(obj, hidden)
        # What lies inside an object we cannot look into belongs to it: it changes with it, and not by itself.
        self.objects = {n: obj for n, obj in watched.items() if id(obj) in tops or id(obj) not in hidden}
        for number, obj in self.objects.items():
            if number not in opaque:
                self._before[number] = _content(obj)

    def changed(self) -> dict[int, tuple[str, Any]]:
        """Number → (kind, content now) of every watched object that does not hold what it held. Content is a new object."""
        return {n: (_kind(obj), _copy(obj)) for n, obj in self.objects.items() if not _same(self._before[n], _content(obj))}


def apply(original: Any, kind: str, content: Any) -> bool:
    """Give `original` the `content` its counterpart had at the end. False: it cannot be done in place, use `content` instead."""
    if kind in ("list", "deque", "dict", "set"):
        _refill(original, kind, content["items"], content["attributes"])
    elif kind == "random":
        original.bit_generator.state = content
    elif kind == "bytearray":
        original[:] = content
    elif kind == "array":
        return _apply_array(original, content)
    elif kind == "class":
        _apply_class(original, content)
    elif kind == "cell":
        _refill_cell(original, content)
    elif kind == "instance":
        _set_attributes(original, content)
    else:
        return _apply_opaque(original, content)
    return True


def _refill(original: Any, kind: str, items: Any, attributes: dict[str, Any] | None) -> None:
    original.clear()
    if kind == "dict":
        for key, value in items:  # not update(): a Counter would count
            original[key] = value
    else:
        original.update(items) if kind == "set" else original.extend(items)
    if attributes is not None:
        _set_attributes(original, attributes)


def _set_attributes(original: Any, attributes: dict[str, Any]) -> None:
    slots = set(_slots(original))
    if hasattr(original, "__dict__"):
        original.__dict__.clear()
        original.__dict__.update({name: value for name, value in attributes.items() if name not in slots})
    for name in slots:
        if name in attributes:
            object.__setattr__(original, name, attributes[name])
        elif hasattr(original, name):
            object.__delattr__(original, name)


def _refill_cell(original: types.CellType, content: list[Any]) -> None:
    if content:
        original.cell_contents = content[0]
    else:
        del original.cell_contents


def _apply_array(original: Any, content: Any) -> bool:
    if original.shape != content.shape or original.dtype != content.dtype or not original.flags.writeable:
        return False
    original[...] = content
    return True


def _apply_class(original: type, content: dict[str, Any]) -> None:
    for name in set(_class_attributes(original)) - set(content):
        delattr(original, name)
    for name, value in content.items():
        if original.__dict__.get(name) is not value:
            setattr(original, name, value)


def _apply_opaque(original: Any, content: Any) -> bool:
    """By the object's own pickle protocol: DataFrames, random generators and the like."""
    if not hasattr(original, "__setstate__") or type(original) is not type(content):
        return False
    try:
        original.__setstate__(content.__getstate__())
    except Exception:
        return False  # the caller takes the new object instead, which is right in all but its identity
    return True


def _watchable(obj: object) -> bool:
    """Whether an object of the memo can change in place and is worth a look. Code, names and numbers cannot."""
    if isinstance(obj, type):
        return obj.__module__ == "__main__"
    if isinstance(obj, (*_CONTAINERS, types.CellType)):
        return True
    if isinstance(obj, (str, bytes, tuple, frozenset, types.CodeType, types.ModuleType, types.BuiltinFunctionType)):
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


def _kind(obj: object) -> str:
    for plain in _CONTAINERS:
        if isinstance(obj, plain):
            return plain.__name__
    if isinstance(obj, type):
        return "class"
    if isinstance(obj, types.CellType):
        return "cell"
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and type(obj) in (numpy.ndarray, numpy.memmap, numpy.recarray, numpy.matrix):
        return "array"
    if numpy is not None and type(obj) is numpy.random.Generator:
        return "random"
    return "instance" if isinstance(obj, types.FunctionType) or _is_plain_instance(obj) else "opaque"


def _is_plain_instance(obj: object) -> bool:
    """Whether all its state is its `__dict__` and its slots, as far as pickle is concerned."""
    cls = type(obj)
    if cls in copyreg.dispatch_table or not (hasattr(obj, "__dict__") or all("__slots__" in vars(base) for base in cls.__mro__[:-1])):
        return False
    own = ("__setstate__", "__reduce__", "__getstate__", "__reduce_ex__", "__getnewargs_ex__", "__getnewargs__")
    return all(getattr(cls, name, None) is getattr(object, name, None) for name in own)


def _content(obj: Any) -> Any:
    """What `obj` holds, in a form that `_same` compares by identity. Keeps what it holds alive, so identities stay unique."""
    kind = _kind(obj)
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
        attributes = _class_attributes(obj)
        return [*attributes, *attributes.values()]
    if kind == "instance":
        return _attribute_list(obj)
    if kind == "cell":
        return _cell_list(obj)
    if kind == "random":
        return repr(obj.bit_generator.state).encode()
    return _fingerprint(obj, set())


def _attribute_list(obj: Any) -> list[Any]:
    attributes = _attributes(obj)
    return [*attributes, *attributes.values()] if attributes else []


def _attributes(obj: Any) -> dict[str, Any] | None:
    """What is in its `__dict__` and its slots; None where it has neither."""
    stored, slots = getattr(obj, "__dict__", None), _slots(obj)
    if stored is None and not slots:
        return None
    return dict(stored or {}) | {name: getattr(obj, name) for name in slots if hasattr(obj, name)}


def _slots(obj: object) -> list[str]:
    slotted = [vars(base) for base in type(obj).__mro__ if "__slots__" in vars(base)]
    return [name for names in slotted for name, slot in names.items() if isinstance(slot, types.MemberDescriptorType)]


def _cell_list(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not bound
        return []


def _class_attributes(cls: type) -> dict[str, Any]:
    return {name: value for name, value in vars(cls).items() if not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl"}


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, bytes):
        return before == now
    if isinstance(before, tuple):  # a set: ids, and the list that keeps them
        return cast("tuple[Any, ...]", before)[0] == now[0]
    return len(before) == len(now) and all(a is b or (type(a) is str and a == b) for a, b in zip(before, now, strict=True))


def _copy(obj: Any) -> Any:
    kind = _kind(obj)
    attributes = _attributes(obj)
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
        return _class_attributes(obj)
    if kind == "random":
        return obj.bit_generator.state
    return attributes if kind == "instance" else copy.copy(obj)


def _memory(array: Any) -> object:
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
        return _fingerprint(array, set())
    return header + (bytes(raw) if raw.nbytes < _HASH_BYTES else _digest_of(raw))


def _digest_of(raw: memoryview) -> bytes:
    """An input that was only read is still the map of its blob, whose name is its digest: nothing is hashed, before or after."""
    return bytes.fromhex(known.digest_of(raw) or known.hashed(raw))


def _fingerprint(obj: object, hidden: set[int]) -> bytes:
    """A digest of how `obj` pickles; the ids of all it is made of are added to `hidden`."""
    file, hasher = io.BytesIO(), blake3.blake3()

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        hasher.update(raw if raw.nbytes < _HASH_BYTES else _digest_of(raw))
        return False

    pickler = _PartsPickler(file, protocol=5, buffer_callback=keep)
    pickler.parts, pickler.whole = hidden, id(obj)
    try:
        pickler.dump(obj)
    except Exception:
        return b""  # it came by pickle and will not go by it: nothing to compare, nothing to send
    hasher.update(file.getbuffer())
    return hasher.digest()


class _PartsPickler(cloudpickle.Pickler):
    parts: set[int]
    whole: int

    def persistent_id(self, obj: Any) -> None:
        if id(obj) != self.whole and not isinstance(obj, (str, int, float, bytes, tuple)):
            self.parts.add(id(obj))


def rebind(namespace: dict[str, Any], swaps: Sequence[tuple[object, object]]) -> list[str]:
    """Where an original could not be changed in place: let every name for it mean the new object. Returns the names."""
    new = {id(old): replacement for old, replacement in swaps}
    names = [name for name, value in namespace.items() if id(value) in new and not name.startswith("_")]
    for name in names:
        namespace[name] = new[id(namespace[name])]
    return names
