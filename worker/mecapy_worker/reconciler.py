"""Makes good what was lost: tasks whose worker vanished, and queued rows that Redis no longer knows. Sweeps blobs nobody names.

PostgreSQL is the truth; everything here may run twice at once without harm, the advisory lock only spares the work.
Every worker runs it (`main`); `store.tasks` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa

from mecapy_backend import keys
from mecapy_backend.store import blob_rows, events, tasks
from mecapy_jupyter import wire

from .context import Context, log, passing

LOCK = 0x6D656361  # "meca"
LOOK_S, SURE_AFTER_S, QUEUE_EVERY, SWEEP_EVERY, BATCH = 1.0, 0.25, 5, 60, 1000


async def reconcile(ctx: Context) -> None:
    """For ever. After PostgreSQL was away, every worker first gets one lease's time to say that it lives."""
    turn = 0
    while True:
        try:
            async with _one_at_a_time(ctx) as chosen:
                if chosen:
                    await take_back(ctx)
                    if turn % QUEUE_EVERY == 0:
                        await enqueue_missing(ctx)
                    if turn % SWEEP_EVERY == 0:
                        await sweep(ctx)
            turn += 1
            await asyncio.sleep(LOOK_S)
        except Exception as error:
            log.warning("not reconciled", error=repr(error)) if passing(error) else log.exception("not reconciled")
            await asyncio.sleep(ctx.settings.lease_s)


@asynccontextmanager
async def _one_at_a_time(ctx: Context) -> AsyncGenerator[bool]:
    async with ctx.db.connect() as connection:
        chosen = bool(await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LOCK))))
        try:
            yield chosen
        finally:
            if chosen:
                await connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))


async def take_back(ctx: Context) -> None:
    """What vanished workers held goes back into the queue, or ends."""
    found = await tasks.expired(ctx.db, ctx.settings.max_losses)
    for task_id, priority in found.requeued:
        log.warning("taken back", task=task_id, why="its worker's lease ran out")
        await ctx.queue.enqueue(task_id, priority)
    await _end(ctx, found.lost, tasks.lost_outcome(ctx.settings.max_losses))
    await _end(ctx, found.cancelled, wire.Outcome(wire.CANCELLED))


async def _end(ctx: Context, ended: Sequence[tuple[str, int]], outcome: wire.Outcome) -> None:
    for task_id, attempt in ended:
        log.warning(outcome.state, task=task_id, attempt=attempt, kind="worker_lost")
        await events.append(ctx.queue, task_id, [(outcome.state, outcome.as_json())])
        await events.close(ctx.queue, task_id)


async def enqueue_missing(ctx: Context) -> None:
    """Queued rows that are not in Redis (it was emptied, or a worker died between taking an id and starting it).

    Looked at twice: between a commit and its enqueue, and between a pop and its start, a row is missing for a moment rightly.
    """
    if first := await _missing(ctx):
        await asyncio.sleep(SURE_AFTER_S)
        for task_id, priority in (await _missing(ctx)).items() & first.items():
            log.info("enqueued again", task=task_id)
            await ctx.queue.enqueue(task_id, priority)


async def sweep(ctx: Context) -> None:
    """Blobs that no task names any more go after a time of grace."""
    if gone := await blob_rows.sweep(ctx.db, ctx.blobs, ctx.settings.blob_grace_s):
        log.info("swept", blobs=len(gone))


async def _missing(ctx: Context) -> dict[str, int]:
    waiting = await tasks.waiting(ctx.db, BATCH)
    scores: list[float | None] = await ctx.queue.zmscore(keys.QUEUE, [task_id for task_id, _ in waiting]) if waiting else []
    return {task_id: priority for (task_id, priority), score in zip(waiting, scores, strict=True) if score is None}
