"""More time for a task that has not ended."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import first
from mecapy_backend.store.tables import tasks
from mecapy_jupyter import wire

_t = tasks.c


@dataclass(frozen=True, slots=True)
class Extended:
    """`extra_s`: beyond what it was submitted with; `limit_s`: of running, in all."""

    state: wire.State
    extra_s: float
    limit_s: float


async def extend(
    db: AsyncEngine, owner: str, task_id: str, more_s: float, most_s: float
) -> Extended | None:
    """Allow it `more_s` of running, up to `most_s` in all. None: it has ended or is being stopped,
    it is gone, or it may run that long already.
    """
    submitted_s = sa.cast(_t.request["timeout"].as_string(), sa.Float)
    timeout_s = sa.func.coalesce(submitted_s, wire.TIMEOUT_S)
    extra_s = sa.func.least(_t.extra_s + more_s, most_s - timeout_s)
    alive = _t.state.in_((wire.BLOCKED, wire.QUEUED, wire.RUNNING))
    change = sa.update(tasks).where(
        _t.id == task_id, _t.owner == owner, alive, ~_t.cancel_requested, _t.extra_s < extra_s
    )
    change = change.values(extra_s=extra_s)
    row = await first(
        db, change.returning(_t.state, _t.extra_s, (timeout_s + _t.extra_s).label("limit_s"))
    )
    return None if row is None else Extended(row.state, row.extra_s, row.limit_s)
