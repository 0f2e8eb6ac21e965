"""JSON text as the store keeps it: what PostgreSQL and every client can read, whatever a cell
printed or returned.
"""

from __future__ import annotations

import json
import math

from mecapy_jupyter.wire import Json

loads = json.loads


class Encoded(str):
    """JSON text already; written as it is."""

    __slots__ = ()


def encode(value: object) -> Encoded:
    """Strict JSON in ASCII. ValueError for NaN, infinities and integers too long to write.

    ASCII, because event streams are split into lines and some clients also split at U+2028 or
    U+0085, and because lone surrogates (a cell may print them) survive as escapes.
    """
    return Encoded(json.dumps(value, separators=(",", ":"), allow_nan=False))


def dumps(value: object) -> str:
    """Like `encode`, for values that come from a child: what JSON cannot hold stands as {"repr":
    text}.
    """
    if isinstance(value, Encoded):
        return value
    try:
        return encode(value)
    except (ValueError, TypeError):
        return encode(_plain(value))


def _plain(value: object) -> Json:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        case list() | tuple():
            return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        case float() if not math.isfinite(value):
            return {"repr": repr(value)}
        case int() if value.bit_length() > 10_000:  # Python refuses to write more than 4300 digits
            return {"repr": hex(value)[:80] + "…"}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return {"repr": repr(value)[:200]}
