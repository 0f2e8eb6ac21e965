"""Whether Redis executes the queue's commands, and its clock's difference."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)

from mecapy_backend.queue import keys, queue
from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.health import PROBE_TIMEOUT_S, Check, Probed
from mecapy_jupyter.shared.errors import ConfigError

_CLUSTER = "cluster"
_CLUSTER_CODES = ("CROSSSLOT", "MOVED", "CLUSTERDOWN")  # redis-py has no classes for them here
_CLUSTER_ADVICE = (
    "MECAPY_REDIS_URL names a Redis Cluster, which spreads the queue's keys over its nodes: the "
    "queue needs one Redis or Valkey without cluster mode"
)
_KINDS: dict[type[Exception], tuple[str, str]] = {
    ReadOnlyError: (
        "read-only",
        "Redis takes no writes (a replica?): MECAPY_REDIS_URL must name the primary",
    ),
    OutOfMemoryError: (
        "full",
        "Redis has reached its `maxmemory`: raise it, or see what else writes there",
    ),
    AuthenticationError: (
        "refused",
        "Redis refuses the user or password of MECAPY_REDIS_URL",
    ),
}


async def probe_redis(redis: Queue) -> Probed:
    asked_s = time.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            now_s = await _use(redis)
    except NoPermissionError as refused:
        allow = "Redis does not let the user of MECAPY_REDIS_URL do what the queue does; allow it"
        return _failed("refused", f"{allow} (docs/managed-services.md): {str(refused)[:200]}")
    except Exception as error:
        below = error.__cause__ or error.__context__  # redis-py makes a ConnectionError of it
        for kind, (state, advice) in _KINDS.items():
            if isinstance(error, kind) or isinstance(below, kind):
                return _failed(state, advice)
        if any(code in str(error) for code in _CLUSTER_CODES):
            return _failed(_CLUSTER, _CLUSTER_ADVICE)
        return _failed(
            "away",
            f"Redis does not answer ({type(error).__name__}): see that it runs and that "
            f"MECAPY_REDIS_URL names it. Tasks are kept; they start when it is back",
        )
    return Probed((Check("redis"),), (asked_s + time.time()) / 2 - now_s)


async def _use(redis: Queue) -> float:
    """The commands of the queue and of event streams, on keys of our own; also Redis' time."""
    await redis.position(keys.PROBE)
    probe, other = keys.PROBE, keys.PROBE_OTHER
    pipe: Any
    async with redis.client() as connection, connection.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.client_id()
        pipe.zadd(probe, {"probe": 1.0})
        pipe.execute_command("BZPOPMIN", probe, other, 1)
        pipe.xadd(other, {"probe": ""}, maxlen=1)
        pipe.xrange(other, count=1)
        pipe.expire(other, 10)
        pipe.publish(probe, "")
        pipe.delete(probe, other)
        (seconds, micros), number, *_ = await pipe.execute()
        await connection.client_unblock(number)  # pyright: ignore[reportUnknownMemberType]
    return int(seconds) + int(micros) / 1e6


async def refuse_cluster(url: str) -> None:
    """Before anything is served, when an unavailable Redis is not an error."""
    redis = queue.connect(url)
    try:
        (check,) = (await probe_redis(redis)).checks
    finally:
        await redis.aclose(close_connection_pool=True)
    if check.state == _CLUSTER:
        raise ConfigError(check.advice)


def _failed(state: str, advice: str) -> Probed:
    return Probed((Check("redis", state, advice),))
