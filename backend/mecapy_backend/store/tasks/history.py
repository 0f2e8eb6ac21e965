"""What tasks took: for estimates and simulations. Changes nothing."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.tables import tasks
from mecapy_jupyter import wire

_t = tasks.c
_RAN_S = sa.extract("epoch", _t.completed_at - _t.started_at)


async def run_times_s(db: AsyncEngine, most: int = 100_000) -> list[float]:
    """Seconds that the last completed tasks of all owners ran."""
    query = sa.select(_RAN_S).where(_t.state == wire.COMPLETED, _t.started_at.is_not(None))
    async with db.connect() as connection:
        rows = await connection.execute(query.order_by(_t.completed_at.desc()).limit(most))
        return [max(0.0, float(seconds)) for (seconds,) in rows]
