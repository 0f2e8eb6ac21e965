"""Repeats calls to PostgreSQL and Redis while these are unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mecapy_backend.store import database
from mecapy_worker import metrics
from mecapy_worker.log import log

T = TypeVar("T")

backoff = EqualJitterBackoff(cap=2, base=0.05)


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, DBAPIError):
        away = isinstance(error, (OperationalError, InterfaceError))
        return away or database.may_succeed_later(error)
    return isinstance(error, (PoolTimeout, RedisError, OSError))


async def retry_transient(what: str, call: Callable[[], Awaitable[T]], **context: object) -> T:
    """`call` until it succeeds, with jittered pauses of 50 ms to 2 s. Raises what is not transient.
    `context` goes into the log.
    """
    failures = 0
    while True:
        try:
            return await call()
        except Exception as error:
            if not is_transient(error):
                raise
            failures += 1
            metrics.waits.labels(what).inc()
            log.warning("waiting", what=what, failures=failures, error=repr(error), **context)
            await asyncio.sleep(backoff.compute(failures))
