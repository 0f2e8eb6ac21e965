"""The workers: each reports every few seconds that it runs, for people and estimates. Leases are in
`leases`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first
from mecapy_backend.store.tables import workers
from mecapy_jupyter.shared import version
from mecapy_jupyter.wire import WORKER_LIVES_S, Distribution, JsonObject, WorkerInfo
from mecapy_jupyter.wire.shape import Shape, write

_w = workers.c
_now = sa.func.now()


@dataclass(frozen=True, slots=True)
class LiveWorker(Shape):
    """`info`: what the worker says of itself, as it wrote it; a newer one may say more than
    `WorkerInfo` knows. `draining`: it ends what it runs and takes no more tasks.
    """

    id: str
    row_info: JsonObject = field(metadata={"key": "info"})
    started_at: datetime
    seen_at: datetime
    draining: bool = False

    @property
    def info(self) -> WorkerInfo:
        return WorkerInfo.from_json({"id": self.id, "info": self.row_info})

    @property
    def python(self) -> str:
        """As "3.12"; "": it has not reported one."""
        return version.minor(self.info.python) if self.info.python else ""

    def as_json(self) -> JsonObject:
        return write(self) | {"python": self.python}


_ROW = (_w.id, _w.info, _w.started_at, _w.seen_at, _w.draining)


@dataclass(frozen=True, slots=True)
class Heard:
    """What PostgreSQL answers to a heartbeat. `draining`: the worker must take no more tasks. `at`:
    by PostgreSQL's clock.
    """

    draining: bool
    at: datetime


async def heartbeat(db: AsyncEngine, worker_id: str, info: JsonObject) -> Heard:
    """Report that this worker runs, under one id per process."""
    row = insert(workers).values(id=worker_id, info=info)
    row = row.on_conflict_do_update(
        index_elements=["id"], set_={"info": row.excluded.info, "seen_at": _now}
    )
    (answer,) = await all_rows(db, row.returning(_w.draining, _w.seen_at))
    return Heard(*answer)


async def drain(db: AsyncEngine, worker_id: str, draining: bool) -> LiveWorker | None:
    """Tell a worker to take no more tasks, or to take them again, from its next heartbeat on. None:
    there is no such worker.
    """
    change = sa.update(workers).where(_w.id == worker_id).values(draining=draining)
    row = await first(db, change.returning(*_ROW))
    return LiveWorker(*row) if row else None


async def list_live(db: AsyncEngine, within_s: float = WORKER_LIVES_S) -> list[LiveWorker]:
    """Workers heard of lately, the oldest first."""
    query = sa.select(*_ROW).where(_w.seen_at > _now - timedelta(seconds=within_s))
    return [LiveWorker(*row) for row in await all_rows(db, query.order_by(_w.started_at))]


async def record_packages(db: AsyncEngine, worker_id: str, packages: dict[str, list[str]]) -> bool:
    """What is installed on a worker: top-level module → [distribution, version]. False while the
    worker is not known.
    """
    change = sa.update(workers).where(_w.id == worker_id).values(packages=packages)
    return await changed(db, change) > 0


async def pythons(db: AsyncEngine, within_s: float = 60.0) -> list[str]:
    """The Python versions ("3.12") of all workers. A worker that is late with its heartbeat still
    counts, because a client gives up when no worker has its Python.
    """
    return sorted({one.python for one in await list_live(db, within_s)} - {""})


async def common_packages(db: AsyncEngine, python: str = "") -> dict[str, Distribution]:
    """The packages that all live workers with `python` ("": any) have, of those that have recorded
    theirs, by module.
    """
    query = sa.select(*_ROW, _w.packages).where(
        _w.seen_at > _now - timedelta(seconds=WORKER_LIVES_S), _w.packages.is_not(None)
    )
    rows = await all_rows(db, query)
    packages: list[dict[str, list[str]]] = [
        row.packages for row in rows if python in ("", LiveWorker(*row[:5]).python)
    ]
    everywhere = set(packages[0]).intersection(*packages[1:]) if packages else set[str]()
    return {
        module: Distribution(
            packages[0][module][0], tuple(sorted({of_one[module][1] for of_one in packages}))
        )
        for module in sorted(everywhere)
    }


async def remove(db: AsyncEngine, worker_id: str) -> None:
    """Report the end of a worker."""
    await changed(db, sa.delete(workers).where(_w.id == worker_id))


async def delete_vanished(db: AsyncEngine) -> None:
    """Delete workers that have not reported for a day."""
    await changed(db, sa.delete(workers).where(_w.seen_at < _now - timedelta(days=1)))
