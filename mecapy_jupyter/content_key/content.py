"""Digests a value by its content: plain values here, functions and classes in `code_content`,
everything else by what its pickle is made of, which is what a worker gets.

A set has no order; a dictionary has one, because a function sees it. An object that occurs again is
a number, as in a pickle.
"""

from __future__ import annotations

import copyreg
import io
import struct
import sys
import types
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pickle import PickleBuffer
from typing import Any, cast

from blake3 import blake3

from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.pickling import array_subclasses

_DIGEST_BYTES = 16
_MAIN = ("__main__", "__mp_main__")
_SHARERS = ("pandas._libs.internals", "BlockValuesRefs")
_METHODS: tuple[type, ...] = (types.BuiltinMethodType,)
_NEVER = (io.IOBase, types.GeneratorType, types.CoroutineType, types.FrameType, weakref.ref)


class NoContentKey(Exception):
    """A value without a stable content; the text says which."""


class Content:
    """One digest under way. `modules`: top-level names of the installed modules that it met;
    `mentions`: names, attributes and texts of the code that it met; `sources`: texts of the user's
    modules, of which not all may run.
    """

    def __init__(self, within: Content | None = None) -> None:
        self.modules = set[str]() if within is None else within.modules
        self.mentions = set[str]() if within is None else within.mentions
        self.sources = list[str]() if within is None else within.sources
        self._hash = blake3()
        self._numbers = dict[int, int]()
        self._kept: list[object] = []  # an id is free again when its object goes
        self._path: list[str] = []

    def digest(self) -> bytes:
        return self._hash.digest(length=_DIGEST_BYTES)

    def mark(self, kind: str, data: bytes | bytearray | memoryview = b"") -> None:
        """A tag and its bytes; different sequences of marks never give the same bytes."""
        self._hash.update(b"%s:%d:" % (kind.encode(), len(data)))
        self._hash.update(data)

    def add(self, value: object, where: str = "") -> None:
        """Raises NoContentKey; `where` names the part in its text."""
        with self.at(where):
            try:
                self._add(value)
            except RecursionError:
                raise self.refuse("is nested too deeply") from None

    @contextmanager
    def at(self, where: str) -> Generator[None]:
        self._path.append(where)
        yield
        self._path.pop()  # stays after an error, whose text has been made by then

    def refuse(self, why: str) -> NoContentKey:
        parts = [part for part in self._path if part]
        place = " → ".join(parts if len(parts) < 6 else [*parts[:2], "…", *parts[-2:]])
        return NoContentKey(f"{place or 'a value'} {why}")

    def is_new(self, value: object) -> bool:
        """Whether it is met for the first time; else its number stands for it."""
        number = self._numbers.setdefault(id(value), len(self._numbers))
        if number == len(self._kept):
            self._kept.append(value)
            return True
        self.mark("again", str(number).encode())
        return False

    def _add(self, value: object) -> None:
        plain = _PLAIN.get(type(value))
        if plain is not None:
            return plain(self, value)
        if not self.is_new(value):
            return None
        nested = _NESTED.get(type(value))
        if nested is not None:
            return nested(self, value)
        numpy = sys.modules.get("numpy")
        if numpy is not None and type(value) is numpy.ndarray:
            return _array(self, value)
        from mecapy_jupyter.content_key import code_content  # late: it adds values in turn

        if not code_content.add(self, value):
            self._reduced(value)
        return None

    def _reduced(self, value: Any) -> None:
        """Any other object: what its pickle would hold."""
        kind = cast("type[object]", type(value))
        if isinstance(cast("object", value), _NEVER):
            raise self.refuse(
                f"is of the type {kind.__qualname__}, whose content cannot be compared"
            )
        if (kind.__module__, kind.__qualname__) == _SHARERS:
            return self.mark("sharers")  # who shares memory shows in the numbers of the objects
        reducer = copyreg.dispatch_table.get(kind)
        try:
            made: object = reducer(value) if reducer else value.__reduce_ex__(5)
        except Exception as trouble:
            raise self.refuse(f"cannot be read: {trouble}") from trouble
        if isinstance(made, str):
            return self._global(value, made)
        if kind in _METHODS:
            self.mentions.add(str(value.__name__))
        self.mark("reduced", kind.__qualname__.encode())
        for place, part in enumerate(cast("tuple[object, ...]", made)):
            # the fourth and the fifth part are iterators over items
            is_items = place in (3, 4) and part is not None
            self.add(list(cast("Iterable[object]", part)) if is_items else part)
        return None

    def _global(self, value: Any, name: str) -> None:
        """What its pickle holds by its name. The user's own may mean something else tomorrow."""
        module = str(getattr(value, "__module__", "") or type(value).__module__)
        home = sys.modules.get(module)
        if home is None or module in _MAIN or user_modules.is_own(home):
            raise self.refuse(
                f"is known by its name alone ({module}.{name}), which may mean something else later"
            )
        self.modules.add(module.partition(".")[0])
        self.mark("global", f"{module}.{name}".encode())


def of_scalar(value: object) -> bytes | None:
    """The digest of a number or text, without the cost of a `Content`; None for anything else."""
    if (how := _SCALARS.get(type(value))) is None:
        return None
    kind, encode = how
    data = encode(value)
    return blake3(b"%s:%d:%s" % (kind.encode(), len(data), data)).digest(length=_DIGEST_BYTES)


def _sequence(content: Content, value: Any) -> None:
    content.mark(type(value).__name__, str(len(value)).encode())
    for number, entry in enumerate(cast("Iterable[object]", value)):
        plain = _PLAIN.get(type(entry))
        if plain is None or plain is _sequence:
            content.add(entry, f"[{number}]")
        else:  # without its place: a list may hold millions
            plain(content, entry)


def _mapping(content: Content, value: Mapping[object, object]) -> None:
    content.mark("dict", str(len(value)).encode())
    for key, entry in value.items():
        content.add(key, "a key")
        content.add(entry, key if isinstance(key, str) else "an entry")


def _set(content: Content, value: Any) -> None:
    """The order of its digests, because its own differs between kernels."""
    digests = list[bytes]()
    for entry in value:
        inner = Content(content)
        inner.add(entry, "an element")
        digests.append(inner.digest())
    content.mark(type(value).__name__, b"".join(sorted(digests)))


def _array(content: Content, value: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    content.mark("ndarray", f"{value.dtype.descr!r} {value.dtype.str} {value.shape}".encode())
    content.mark("writeable", str(array_subclasses.is_writeable(value)).encode())
    if value.dtype.hasobject:
        return _sequence(content, value.reshape(-1).tolist())
    flat = numpy.ascontiguousarray(value).reshape(-1)
    return content.mark("bytes", memoryview(flat.view(numpy.uint8)))


def _plainly(kind: str, encode: Callable[[Any], bytes]) -> Callable[[Content, Any], None]:
    return lambda content, value: content.mark(kind, encode(value))


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


_SCALARS: dict[type, tuple[str, Callable[[Any], bytes]]] = {
    type(None): ("None", lambda _: b""),
    type(Ellipsis): ("Ellipsis", lambda _: b""),
    bool: ("bool", lambda value: b"1" if value else b"0"),
    int: ("int", _integer),
    float: ("float", struct.Struct(">d").pack),
    complex: ("complex", lambda value: struct.pack(">dd", value.real, value.imag)),
    str: ("str", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: ("bytes", bytes),
}
_PLAIN = {kind: _plainly(*how) for kind, how in _SCALARS.items()} | {tuple: _sequence}
_NESTED: dict[type, Callable[[Content, Any], None]] = {
    list: _sequence,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    set: _set,
    frozenset: _set,
    bytearray: _plainly("bytearray", bytes),
    PickleBuffer: _plainly("buffer", lambda value: value.raw()),  # of a subclass of arrays
}
