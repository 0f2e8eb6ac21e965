"""Who works: each worker says every few seconds that it lives. For people and estimates; leases stand in `tasks`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from .tables import workers

_w = workers.c


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    info: dict[str, Any]  # slots, python, packages, confinement: what the worker says of itself
    started_at: datetime
    seen_at: datetime


async def beat(db: AsyncEngine, worker_id: str, info: dict[str, Any]) -> None:
    """I live. The same id for the life of one process."""
    row = insert(workers).values(id=worker_id, info=info)
    async with db.connect() as connection:
        await connection.execute(
            row.on_conflict_do_update(index_elements=["id"], set_={"info": row.excluded.info, "seen_at": sa.func.now()})
        )


async def alive(db: AsyncEngine, within_s: float = 10.0) -> list[Worker]:
    """Workers heard of lately, the oldest first."""
    lately = sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.literal(within_s, sa.Float))
    async with db.connect() as connection:
        rows = await connection.execute(
            sa.select(_w.id, _w.info, _w.started_at, _w.seen_at).where(_w.seen_at > lately).order_by(_w.started_at)
        )
        return [Worker(*row) for row in rows]


async def leave(db: AsyncEngine, worker_id: str) -> None:
    """I end. Also clears away workers that vanished a day ago without a word."""
    old = _w.seen_at < sa.func.now() - sa.func.make_interval(0, 0, 0, 1)
    async with db.connect() as connection:
        await connection.execute(sa.delete(workers).where(sa.or_(_w.id == worker_id, old)))
