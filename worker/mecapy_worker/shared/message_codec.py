"""Messages as frames, and frames as messages: the tag is the frame's kind, the fields are its
header.

The reader checks everything: a field that is not of its type is a `FrameError`, and a field that is
not known is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, TypeVar, cast

from mecapy_jupyter.wire import Cell, Json, JsonObject, Payload
from mecapy_worker.shared.frames import Frame, FrameError
from mecapy_worker.shared.messages import Message
from mecapy_worker.shared.parent_input import ParentInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

M = TypeVar("M", bound=Message)


def frame_of(message: Message, body: bytes = b"", fds: tuple[int, ...] = ()) -> Frame:
    """The message as a frame. A field that has its default is left out."""
    header: JsonObject = {}
    for name, default, _ in _fields_of(type(message)):
        value = getattr(message, name)
        if value != default:
            header[name] = value
    return Frame(message.tag, header, body, fds)


def message_of(frame: Frame, kinds: dict[str, type[M]]) -> M:
    """What a frame says, if it is one of `kinds`."""
    kind = kinds.get(frame.kind)
    if kind is None:
        raise FrameError(f"an unexpected {frame.kind[:40]!r} frame")
    return read(kind, frame.header)


def read(kind: type[M], header: JsonObject) -> M:
    """A message of this kind, made from its header."""
    values: dict[str, object] = {}
    for name, default, reader in _fields_of(kind):
        if name in header:
            try:
                values[name] = reader(header[name])
            except (TypeError, ValueError):
                raise FrameError(f"a {kind.tag!r} frame without a proper {name!r}") from None
        elif default is MISSING:
            raise FrameError(f"a {kind.tag!r} frame without {name!r}")
    return kind(**values)


def _exactly(*types: type) -> Callable[[Json], object]:
    def reader(value: Json) -> object:
        if type(value) not in types:
            raise TypeError
        return value

    return reader


_text, _integer, _object = _exactly(str), _exactly(int), _exactly(dict)


def _tuple_of(item: Callable[[Json], object]) -> Callable[[Json], object]:
    def reader(value: Json) -> object:
        if not isinstance(value, list):
            raise TypeError
        return tuple([item(each) for each in value])

    return reader


def _texts_by_name(value: Json) -> object:
    for each in cast("JsonObject", _object(value)).values():
        _text(each)
    return value


def _or_none(reader: Callable[[Json], object]) -> Callable[[Json], object]:
    return lambda value: None if value is None else reader(value)


_READERS: dict[str, Callable[[Json], object]] = {
    "str": _text,
    "int": _integer,
    "bool": _exactly(bool),
    "float": _exactly(int, float),
    "str | None": _or_none(_text),
    "int | None": _or_none(_integer),
    "float | None": _or_none(_exactly(int, float)),
    "tuple[str, ...]": _tuple_of(_text),
    "tuple[int, ...]": _tuple_of(_integer),
    "tuple[str, ...] | None": _or_none(_tuple_of(_text)),
    "dict[str, str]": _texts_by_name,
    "Json": lambda value: value,
    "JsonObject": _object,
    "JsonObject | None": _or_none(_object),
    "Cell | None": _or_none(lambda value: Cell.from_json(cast("JsonObject", _object(value)))),
    "tuple[ParentInput, ...]": _tuple_of(
        lambda value: ParentInput.from_json(cast("JsonObject", _object(value)))
    ),
    "Payload | None": _or_none(lambda value: Payload.from_json(cast("JsonObject", _object(value)))),
}
"""The annotation of a field → what reads it."""

_Field = tuple[str, object, Callable[[Json], object]]
_by_kind: dict[type[Message], tuple[_Field, ...]] = {}


def _fields_of(kind: type[Message]) -> tuple[_Field, ...]:
    """Each field: its name, its default (or MISSING), how it is read."""
    found = _by_kind.get(kind)
    if found is None:
        found = _by_kind[kind] = tuple(
            (
                each.name,
                each.default if each.default_factory is MISSING else each.default_factory(),
                _READERS[cast("str", each.type)],
            )
            for each in fields(cast("type[DataclassInstance]", kind))
        )
    return found
