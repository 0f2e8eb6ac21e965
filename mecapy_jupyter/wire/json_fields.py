"""Reading JSON that another process wrote: each field as the type it should have, or its default.

An older process leaves fields out, a newer one adds some, and what a cell prints or shows may be
anything. So a field that is absent or of another type has its default, and nothing else is looked
at.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""Arbitrary JSON: the value of a cell, the data of a display. What has a shape is a dataclass."""

JsonObject: TypeAlias = dict[str, Json]


def as_object(value: object) -> JsonObject:
    """The value if it is a JSON object, else an empty one."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def as_text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def as_number(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer that no float can hold
        return None


def as_flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def as_time(value: Json) -> datetime | None:
    """An ISO 8601 time with its zone; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(as_text(value) or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def time_as_json(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def text(data: JsonObject, key: str) -> str:
    return as_text(data.get(key)) or ""


def number(data: JsonObject, key: str) -> float | None:
    return as_number(data.get(key))


def integer(data: JsonObject, key: str) -> int:
    return int(number(data, key) or 0)


def mapping(data: JsonObject, key: str) -> JsonObject:
    return as_object(data.get(key))


def objects(data: JsonObject, key: str) -> list[JsonObject]:
    value = data.get(key)
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]
