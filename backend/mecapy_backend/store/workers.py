"""Who works: each worker says every few seconds that it lives. For people and estimates; leases
stand in `leases`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.tables import workers
from mecapy_jupyter.shared import version
from mecapy_jupyter.wire import WORKER_LIVES_S

_w = workers.c


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    info: dict[str, Any]  # slots, python, packages, confinement: what the worker says of itself
    started_at: datetime
    seen_at: datetime

    @property
    def python(self) -> str:
        """As "3.12"; "": it has not told."""
        return _python(self.info)


async def heartbeat(db: AsyncEngine, worker_id: str, info: dict[str, Any]) -> None:
    """I live. The same id for the life of one process."""
    row = insert(workers).values(id=worker_id, info=info)
    async with db.connect() as connection:
        await connection.execute(
            row.on_conflict_do_update(
                index_elements=["id"], set_={"info": row.excluded.info, "seen_at": sa.func.now()}
            )
        )


async def list_live(db: AsyncEngine, within_s: float = WORKER_LIVES_S) -> list[Worker]:
    """Workers heard of lately, the oldest first."""
    lately = sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.literal(within_s, sa.Float))
    async with db.connect() as connection:
        rows = await connection.execute(
            sa.select(_w.id, _w.info, _w.started_at, _w.seen_at)
            .where(_w.seen_at > lately)
            .order_by(_w.started_at)
        )
        return [Worker(*row) for row in rows]


async def record_packages(db: AsyncEngine, worker_id: str, packages: dict[str, list[str]]) -> bool:
    """What is installed on a worker: top-level module → [distribution, version]. False while the
    worker is not known.
    """
    async with db.connect() as connection:
        row = await connection.execute(
            sa.update(workers).where(_w.id == worker_id).values(packages=packages).returning(_w.id)
        )
        return row.first() is not None


async def pythons(db: AsyncEngine, within_s: float = 60.0) -> list[str]:
    """The Python versions ("3.12") of all workers. A worker that is late with its heartbeat is not
    gone: whoever is told that a Python is nowhere gives up.
    """
    return sorted({one.python for one in await list_live(db, within_s)} - {""})


async def common_packages(
    db: AsyncEngine, python: str = "", within_s: float = WORKER_LIVES_S
) -> dict[str, list[str]]:
    """Of the workers that live, have told, and run `python` ("": whichever): module →
    [distribution, version, …] of what all have.
    """
    lately = sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.literal(within_s, sa.Float))
    query = sa.select(_w.info, _w.packages).where(_w.seen_at > lately, _w.packages.is_not(None))
    async with db.connect() as connection:
        found = list(await connection.execute(query))
    rows = [row for row in found if python in ("", _python(row.info))]
    everywhere = (
        set[str](rows[0].packages).intersection(*(row.packages for row in rows[1:]))
        if rows
        else set[str]()
    )
    versions = {name: sorted({row.packages[name][1] for row in rows}) for name in everywhere}
    return {name: [rows[0].packages[name][0], *versions[name]] for name in sorted(everywhere)}


def _python(info: dict[str, Any]) -> str:
    told = str(info.get("python", ""))
    return version.minor(told) if told else ""


async def remove(db: AsyncEngine, worker_id: str) -> None:
    """I end."""
    async with db.connect() as connection:
        await connection.execute(sa.delete(workers).where(_w.id == worker_id))


async def delete_vanished(db: AsyncEngine, days: int = 1) -> None:
    """Workers that went without a word so long ago."""
    async with db.connect() as connection:
        await connection.execute(
            sa.delete(workers).where(
                _w.seen_at < sa.func.now() - sa.func.make_interval(0, 0, 0, days)
            )
        )
