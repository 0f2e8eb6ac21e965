"""What tasks took: for estimates and simulations. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import first
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


@dataclass(frozen=True, slots=True)
class CodeHistory:
    """What a code's tasks took lately. None: it has not run, or that is not known."""

    runs_s: float | None = None
    memory_bytes: int | None = None


async def of_code(db: AsyncEngine, owner: str, code_key: bytes) -> CodeHistory:
    """The mean of the last two runs; of memory the highest of five peaks, and a fifth more."""
    row = await first(db, _OF_CODE, {"owner": owner, "code_key": code_key})
    if row is None:
        return CodeHistory()
    memory = None if row.peak is None else round(1.2 * float(row.peak))
    return CodeHistory(None if row.runs_s is None else float(row.runs_s), memory)


_OF_CODE = sa.text(
    """WITH last AS (
         SELECT extract(epoch FROM completed_at - started_at) AS seconds, peak_bytes,
                row_number() OVER (ORDER BY completed_at DESC) AS place
         FROM tasks
         WHERE owner = :owner AND code_key = :code_key AND completed_at IS NOT NULL
           AND state = 'completed' AND started_at IS NOT NULL
         ORDER BY completed_at DESC LIMIT 5
       )
       SELECT avg(seconds) FILTER (WHERE place <= 2) AS runs_s, max(peak_bytes) AS peak FROM last"""
)
