"""After tasks have ended: what they blocked is queued, or ends too. The reconciler repairs a step
that was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue, Share, score
from mecapy_backend.store.log import events
from mecapy_backend.store.tasks import graph
from mecapy_backend.store.tasks.graph import Settled
from mecapy_backend.store.tasks.lookup import QueuedTask

_REDIS_WITHIN_S = 2.0


async def settle(
    db: AsyncEngine, queue: Queue, ended: Collection[str], *, completed: bool = False
) -> Settled:
    """`graph.settle`, then Redis is updated if it answers."""
    settled = await graph.settle(db, ended, completed=completed)
    try:
        async with asyncio.timeout(_REDIS_WITHIN_S):
            await put_back(queue, sorted(settled.released, key=owner_and_lane), {})
            for task_id, outcome in settled.failed:
                await events.append_end(queue, task_id, outcome)
    except (RedisError, OSError):  # the rows say it
        pass
    return settled


async def put_back(queue: Queue, waiting: Sequence[QueuedTask], found: Mapping[str, Share]) -> None:
    """Into the queue, at the places they had; `waiting` is sorted by `owner_and_lane`. `found`: the
    share of an owner, where it is not the last one given.
    """
    for (owner, short, python, machine_class), tasks in groupby(waiting, key=owner_and_lane):
        entries = {task.id: score(task.priority, task.created_at.timestamp()) for task in tasks}
        await queue.put_back(
            owner,
            entries,
            short=short,
            python=python,
            machine_class=machine_class,
            share=found.get(owner),
        )


def owner_and_lane(task: QueuedTask) -> tuple[str, bool, str, str]:
    return task.owner, task.short, task.python, task.machine_class
