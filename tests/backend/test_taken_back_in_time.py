"""When what a worker left may be taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mecapy_backend.store import tasks, workers

from .test_tasks import submitted


async def test_taken_back_between_two_times_only(db: Any) -> None:
    """A statement that reaches PostgreSQL too late, or too early, takes nothing."""
    task_id, now = await submitted(db), (await workers.heartbeat(db, "w2", {})).at
    await tasks.start(db, task_id, "w1", -1)
    hour = timedelta(hours=1)
    for between in ((now - hour, now), (now + hour, now + 2 * hour), (now + hour, now - hour)):
        assert not (await tasks.reclaim_expired(db, 3, between)).requeued
    assert (await tasks.reclaim_expired(db, 3, (now, now + hour))).requeued
