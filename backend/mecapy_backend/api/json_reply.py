"""JSON answers that survive any text of a cell, and answers of Redis if it is available."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Response
from redis.exceptions import RedisError

from mecapy_backend.store import json_text

T = TypeVar("T")

WITHIN_S = 1.0
"""How long to wait for Redis, which is less than its sockets' timeout."""


def json(content: object, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    return Response(json_text.dumps(content), status, headers, "application/json")


async def or_none(redis_says: Awaitable[T]) -> T | None:
    """Redis' answer, or None while it is unavailable: the row is enough, and the reconciler
    enqueues what was missed.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            return await redis_says
    except (RedisError, OSError):
        return None
