"""Deletes what is over: tasks whose announced time is over, blobs that no task names, workers that
vanished. One worker at a time does it (`reconciler` calls it).
"""

from __future__ import annotations

import asyncio

from mecapy_backend.store import sweeps, workers, workflows
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_backend.store.people import deletion
from mecapy_backend.store.tasks import retention
from mecapy_worker.context import Context
from mecapy_worker.log import log

BATCH, BATCHES, PAUSE_S = 500, 100, 0.1


async def sweep(ctx: Context) -> None:
    """Delete all that is over by now, in batches small enough to delay nobody; the rest waits for
    the next time.
    """
    tasks = blobs = 0
    for _ in range(BATCHES):
        if not (gone := await retention.forget_old(ctx.db, ctx.settings.keep_s, BATCH)):
            break
        tasks += len(gone)
        for task_id in gone:
            log.info("expired", task=task_id)
        await events.forget(ctx.queue, *gone)
        await asyncio.sleep(PAUSE_S)
    for _ in range(BATCHES):
        swept = await blob_rows.sweep(ctx.db, ctx.blobs, ctx.settings.blob_grace_s, BATCH)
        blobs += len(swept)
        if len(swept) < BATCH:
            break
        await asyncio.sleep(PAUSE_S)
    await sweeps.forget_old(ctx.db, ctx.settings.keep_s)
    await workflows.forget_old(ctx.db, ctx.settings.keep_s)
    await workers.delete_vanished(ctx.db)
    for user_id in await deletion.resume(ctx.db, ctx.queue, ctx.blobs):
        log.info("user's data deleted", owner=user_id)
    if tasks or blobs:
        log.info("swept", tasks=tasks, blobs=blobs)
