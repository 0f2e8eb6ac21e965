"""What is over is cleared away, all of it at one look, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from mecapy_backend.queue import keys
from mecapy_backend.store import tasks, workers
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_worker.upkeep import sweeper

from .conftest import OWNER, Desk


async def test_everything_of_a_task_goes_with_it(desk: Desk, tmp_path: Path) -> None:
    """More old tasks than one batch: rows, streams and the blob they named are gone; a young task
    and its blob stay.
    """
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "young").write_bytes(b"young")
    storing = blob_rows.row_lock(desk.db, OWNER)
    old, young = [
        (await desk.blobs.adopt(OWNER, tmp_path / name, storing))[0] for name in ("old", "young")
    ]
    ids = [await finished(desk, old) for _ in range(7)]
    kept = await finished(desk, young)
    async with desk.db.connect() as connection:
        await connection.execute(
            sa.text(
                "UPDATE tasks SET completed_at = now() - interval '2 hours' WHERE id = ANY(:ids)"
            ),
            {"ids": ids},
        )
        await connection.execute(sa.text("UPDATE blobs SET used_at = now() - interval '2 hours'"))
        await connection.execute(
            sa.text(
                "INSERT INTO workers (id, info, seen_at) VALUES ('gone', '{}', now() - interval "
                "'2 days')"
            )
        )
    await workers.heartbeat(desk.db, "here", {})
    context: Any = SimpleNamespace(
        db=desk.db,
        queue=desk.queue,
        blobs=desk.blobs,
        settings=desk.settings.model_copy(update={"keep_s": 3600.0}),
    )
    sweeper.BATCH, before = 3, sweeper.BATCH
    try:
        await sweeper.sweep(context)
    finally:
        sweeper.BATCH = before
    assert [task.id for task in await tasks.page(desk.db, OWNER)] == [kept]
    assert await desk.queue.keys("mecapy:events:*") == [keys.events(kept).encode()]
    assert not await desk.blobs.has(OWNER, old) and await desk.blobs.has(OWNER, young)
    async with desk.db.connect() as connection:
        assert list((await connection.execute(sa.text("SELECT id FROM workers"))).scalars()) == [
            "here"
        ]


async def finished(desk: Desk, digest: str) -> str:
    payload = wire.Payload(buffers=[digest])
    task_id = await desk.submit("1", enqueue=False, payload=payload)
    started = await tasks.start(desk.db, task_id, "w", 10)
    assert started and await tasks.finish(desk.db, task_id, 1, wire.Outcome(wire.COMPLETED))
    await events.append(desk.queue, task_id, [(wire.COMPLETED, {})])
    return task_id
