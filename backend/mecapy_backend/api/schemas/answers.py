"""The answers of the REST API in its OpenAPI document, by the shapes that `wire` declares: nothing
checks an answer, so its model only describes.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeGuard, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, create_model

from mecapy_jupyter.wire.shape import Shape

_ANY_JSON = {"Json": Any, "JsonObject": dict[str, Any]}


def answer(kind: object, **others: Any) -> Any:
    """A type with a model for each shape in it. `others`: what a shape's JSON has besides its
    fields, or instead of them; None: what it lacks.
    """
    origin, kinds = get_origin(kind), get_args(kind)
    if origin is UnionType or origin is Union:
        return Union[tuple(map(answer, kinds))]  # noqa: UP007 as many kinds as there are
    if origin is not None and origin is not Literal:
        return origin[tuple(map(answer, kinds))]
    return _model(kind, **others) if _is_shape(kind) else kind


def _is_shape(kind: object) -> TypeGuard[type[Shape]]:
    return isinstance(kind, type) and issubclass(kind, Shape)


@cache
def _model(shape: type[Shape], **others: Any) -> type[BaseModel]:
    """Described by the shape's docstring, which is of its fields."""
    hints = get_type_hints(shape, localns=_ANY_JSON)
    parts: dict[str, Any] = {
        one.metadata.get("key", one.name): (
            answer(hints[one.name]),
            None if "optional" in one.metadata else ...,
        )
        for one in fields(cast(Any, shape))
    }
    parts |= {name: (kind, ...) for name, kind in others.items()}
    there: dict[str, Any] = {name: part for name, part in parts.items() if part[0] is not None}
    return create_model(shape.__name__, __doc__=shape.__doc__, **there)
