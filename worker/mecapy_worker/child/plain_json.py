"""A cell's displays as JSON, as a kernel's session writes them."""

from __future__ import annotations

import base64
import numbers
from collections.abc import Mapping, Sequence
from datetime import date
from typing import cast

from mecapy_jupyter.wire import Json, JsonObject


def plain_mapping(data: Mapping[object, object]) -> JsonObject:
    return {str(key): plain(item) for key, item in data.items()}


def plain(value: object) -> Json:
    """Bytes become base64, other number types plain numbers, anything else its text."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return plain_mapping(cast("dict[object, object]", value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return value.isoformat() if isinstance(value, date) else str(value)
