"""What tasks took: for estimates and simulations. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows
from mecapy_backend.store.tables import tasks
from mecapy_jupyter import wire

_t = tasks.c
_RAN_S = sa.extract("epoch", _t.completed_at - _t.started_at)


async def run_times_s(db: AsyncEngine) -> list[float]:
    """Seconds that the last completed tasks of all owners ran."""
    query = sa.select(_RAN_S).where(_t.state == wire.COMPLETED, _t.started_at.is_not(None))
    rows = await all_rows(db, query.order_by(_t.completed_at.desc()).limit(100_000))
    return [max(0.0, float(seconds)) for (seconds,) in rows]


@dataclass(frozen=True, slots=True)
class PastRun:
    """A completed run. None: not known."""

    seconds: float
    peak_bytes: int | None = None
    input_bytes: int | None = None


async def of_code(db: AsyncEngine, owner: str, code_key: bytes) -> list[PastRun]:
    """Its last completed runs, the latest first."""
    rows = await all_rows(db, _OF_CODE, {"owner": owner, "code_key": code_key})
    return [PastRun(max(0.0, float(row[0])), row[1], row[2]) for row in rows]


_OF_CODE = sa.text(
    """SELECT extract(epoch FROM completed_at - started_at), peak_bytes, input_bytes
       FROM tasks
       WHERE owner = :owner AND code_key = :code_key AND completed_at IS NOT NULL
         AND state = 'completed' AND started_at IS NOT NULL
       ORDER BY completed_at DESC LIMIT 20"""
)
