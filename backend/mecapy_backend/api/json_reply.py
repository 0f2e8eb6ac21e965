"""What routes answer with: JSON that any text a cell made survives, and what Redis says if it is
there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Response
from redis.exceptions import RedisError

from mecapy_backend.store import json_text

T = TypeVar("T")

WITHIN_S = 1.0
"""Redis answers sooner or is away: nobody waits for it as long as its sockets do."""


def json(content: object, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    return Response(json_text.dumps(content), status, headers, "application/json")


async def or_none(redis_says: Awaitable[T]) -> T | None:
    """What Redis says, or None while it is away: the row is enough, and the reconciler enqueues
    what it missed.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            return await redis_says
    except (RedisError, OSError):
        return None
