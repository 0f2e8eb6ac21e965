"""Whether Redis takes writes, and how far its clock is from ours."""

from __future__ import annotations

import asyncio
import time

from redis.exceptions import OutOfMemoryError, ReadOnlyError

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.health import PROBE_TIMEOUT_S, Check, Probed


async def probe_redis(queue: Queue) -> Probed:
    asked_s = time.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), queue.pipeline(transaction=False) as pipe:
            pipe.time()  # pyright: ignore[reportUnknownMemberType]  (redis-py's edge)
            pipe.set(keys.PROBE, "1", ex=10)
            pipe.delete(keys.PROBE)
            (seconds, micros), *_ = await pipe.execute()
    except ReadOnlyError:
        return _failed(
            "read-only",
            "Redis takes no writes (a replica?): MECAPY_REDIS_URL must name the primary",
        )
    except OutOfMemoryError:
        return _failed(
            "full", "Redis has reached its `maxmemory`: raise it, or see what else writes there"
        )
    except Exception as error:
        return _failed(
            "away",
            f"Redis does not answer ({type(error).__name__}): see that it runs and that "
            f"MECAPY_REDIS_URL names it. Tasks are kept; they start when it is back",
        )
    return Probed(
        (Check("redis"),), (asked_s + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)
    )


def _failed(state: str, advice: str) -> Probed:
    return Probed((Check("redis", state, advice),))
