"""The queue: one sorted set of task ids, and the cancel channel. Carries ids only; what a task is stands in PostgreSQL.

Fed by `routes.tasks` and by the worker's reconciler; the worker's engine waits in it with BZPOPMIN.
"""

from __future__ import annotations

import json
import time
from typing import Any

from arq.connections import ArqRedis
from arq.jobs import Job
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from . import keys

SOCKET_TIMEOUT_S = 8.0
"""No answer for so long: the connection is dead. Blocking commands must wait for less."""

_PRIORITY_STEP = 1e13  # more than any time in milliseconds, so that priority always comes first; the sum stays below 2^53


def score(priority: int, at_s: float | None = None) -> float:
    """Place in the queue: a higher priority first, then first come, first served."""
    return (9 - priority) * _PRIORITY_STEP + (time.time() if at_s is None else at_s) * 1000


class Queue(ArqRedis):
    """arq's connection, with a queue that keeps ids in one sorted set: nothing of arq's job keys, pickles and results."""

    async def enqueue_job(self, function: str, *args: Any, _job_id: str | None = None, **kwargs: Any) -> Job | None:
        """arq's way to enqueue, for tools that speak arq. `_job_id` is the task; the function is always ours."""
        task_id = _job_id or str(args[0])
        await self.enqueue(task_id, int(kwargs.get("priority", 5)))
        return Job(task_id, redis=self, _queue_name=keys.QUEUE)

    async def enqueue(self, task_id: str, priority: int = 5) -> int | None:
        """Put a task at its place, or leave it at the one it has. Its position now (1: next), None if a worker has it already."""
        async with self.pipeline(transaction=False) as pipe:
            pipe.zadd(keys.QUEUE, {task_id: score(priority)}, nx=True)
            pipe.zrank(keys.QUEUE, task_id)
            _, rank = await pipe.execute()
        return None if rank is None else int(rank) + 1

    async def withdraw(self, task_id: str) -> bool:
        """Take a task out. False: it was not waiting (any more)."""
        return bool(await self.zrem(keys.QUEUE, task_id))

    async def position(self, task_id: str) -> int | None:
        """1 for the task that starts next; None for one that does not wait here."""
        rank = await self.zrank(keys.QUEUE, task_id)
        return None if rank is None else int(rank) + 1

    async def depth(self) -> int:
        """How many tasks wait."""
        return int(await self.zcard(keys.QUEUE))

    async def announce_cancel(self, task_id: str) -> None:
        """Tell all workers to stop this task. May get lost; the lease renewal tells them again."""
        await self.publish(keys.CONTROL, json.dumps({"cancel": task_id}))  # pyright: ignore[reportUnknownMemberType]


def connect(url: str, *, max_connections: int = 64) -> Queue:
    """A pool of connections; nothing is opened before it is used. Close with `await queue.aclose(close_connection_pool=True)`."""
    pool: Any = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=max_connections,
        timeout=2.0,  # waiting for a free connection
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=1.5,
        health_check_interval=5,
        # One more try on a connection that Redis closed meanwhile (a restart): every command of ours may be repeated.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
    )
    return Queue(pool_or_conn=pool, default_queue_name=keys.QUEUE)
