"""A frozen dataclass that crosses a process: its JSON, both ways, follows its annotations.

Input from another process is checked. An older release leaves fields out, a newer one adds some,
and what a cell prints or shows may be anything: a field that is absent or of another type has its
default, or what is empty of its type where it has none. Fields that are not known are ignored.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar, cast

from mecapy_jupyter.wire.json_fields import (
    Json,
    JsonObject,
    as_flag,
    as_number,
    as_text,
    as_time,
    time_as_json,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Reader: TypeAlias = Callable[[Json], object]
"""Makes the field's value of a JSON value; None: it is not of the field's type."""


OPTIONAL = {"optional": True}
"""Metadata of a field that is left out of the JSON while it is empty."""


S = TypeVar("S", bound="Shape")


class Shape:
    """What crosses a process. A field whose name in JSON differs has it in its metadata, as
    `key`. A class whose JSON differs in more overrides these two, with `write` and `read`.
    """

    __slots__ = ()

    def as_json(self) -> JsonObject:
        return write(self)

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        return read(cls, data)


def write(shape: Shape) -> JsonObject:
    written: JsonObject = {}
    for part in _parts(type(shape)):
        value = getattr(shape, part.name)
        if value or not part.optional:
            written[part.key] = _written(value)
    return written


def read(cls: type[S], data: JsonObject) -> S:
    values = dict[str, object]()
    for part in _parts(cls):
        value = part.read(data.get(part.key))
        values[part.name] = part.default() if value is None else value
    return cls(**values)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    key: str
    optional: bool
    read: Reader
    default: Callable[[], object]


@cache
def _parts(cls: type[Shape]) -> tuple[_Part, ...]:
    return tuple(
        _Part(
            each.name,
            each.metadata.get("key", each.name),
            "optional" in each.metadata,
            _reader(cast("str", each.type), vars(sys.modules[cls.__module__])),
            _default(each.default, each.default_factory, cast("str", each.type)),
        )
        for each in fields(cast("type[DataclassInstance]", cls))
    )


def _default(default: object, factory: object, annotation: str) -> Callable[[], object]:
    if factory is not MISSING:
        return cast("Callable[[], object]", factory)
    return lambda: _EMPTY.get(annotation, "") if default is MISSING else default


def _written(value: object) -> Json:
    if type(value) in _AS_THEY_ARE:
        return cast("Json", value)
    match value:
        case Shape():
            return value.as_json()
        case tuple():
            return [_written(each) for each in cast("tuple[object, ...]", value)]
        case datetime():
            return time_as_json(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict() if isinstance(next(iter(cast("JsonObject", value).values()), None), Shape):
            return {name: each.as_json() for name, each in cast("dict[str, Shape]", value).items()}
        case _:
            return cast("Json", value)


def _reader(annotation: str, names: dict[str, object]) -> Reader:
    annotation = annotation.removesuffix(" | None")
    if annotation.startswith("tuple["):
        return _items(_reader(annotation[len("tuple[") : -len(", ...]")], names))
    if annotation.startswith("dict[str, "):
        return _values(_reader(annotation[len("dict[str, ") : -1], names))
    shape = names.get(annotation)
    if isinstance(shape, type) and issubclass(shape, Shape):
        return lambda value: shape.from_json(value) if isinstance(value, dict) and value else None
    return _READERS.get(annotation, as_text)  # else one of some words


def _items(read: Reader) -> Reader:
    def reader(value: Json) -> object:
        if not isinstance(value, list):
            return None
        return tuple(item for each in value if (item := read(each)) is not None)

    return reader


def _values(read: Reader) -> Reader:
    def reader(value: Json) -> object:
        if not isinstance(value, dict):
            return None
        return {name: item for name, each in value.items() if (item := read(each)) is not None}

    return reader


def _integer(value: Json) -> int | None:
    number = as_number(value)
    return None if number is None else int(number)


def _bytes(value: Json) -> bytes | None:
    """Raises ValueError for damaged ones: a task would run without its inputs."""
    return base64.b64decode(value) if isinstance(value, str) else None


_READERS: dict[str, Reader] = {
    "str": as_text,
    "int": _integer,
    "float": as_number,
    "bool": as_flag,
    "bytes": _bytes,
    "datetime": as_time,
    "Json": lambda value: value,
    "JsonObject": lambda value: value if isinstance(value, dict) else None,
}
_AS_THEY_ARE = {str, int, float, bool, type(None)}
_EMPTY: dict[str, object] = {
    "int": 0,
    "float": 0.0,
    "bool": False,
    "bytes": b"",
    "tuple[str, ...]": (),
}
"""The value of an absent field that has no default; otherwise an empty text."""
