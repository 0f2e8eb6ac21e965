"""Repairs what was lost: tasks whose worker vanished, and queued rows that Redis no longer has.
Runs the sweeper. PostgreSQL is the truth; everything here may run twice at once without harm. Every
worker runs it (`main`); `store.tasks` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from mecapy_backend.store import tasks
from mecapy_backend.store.database import try_lock
from mecapy_backend.store.log import events
from mecapy_backend.store.people import shares
from mecapy_backend.store.tasks import graph, settling
from mecapy_backend.store.tasks.settling import owner_and_lane
from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import Context
from mecapy_worker.log import log
from mecapy_worker.retry import is_transient
from mecapy_worker.upkeep import sweeper

LOOK_S, SURE_AFTER_S, QUEUE_EVERY, SWEEP_EVERY, BATCH = 1.0, 0.25, 5, 60, 1000
SAID = 100  # of thousands of lost tasks, only this many are logged
# "meca" and the next two.
QUEUE_LOCK, SWEEP_LOCK, CAPS_LOCK = 0x6D656361, 0x6D656362, 0x6D656363
_QUEUE_IDLE_S, _SWEEP_IDLE_S = 10, 600


async def reconcile(ctx: Context) -> None:
    """Forever, each of the four separately: a long sweep must not delay tasks."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_every(ctx, 1, take_back))
        group.create_task(
            _every(ctx, QUEUE_EVERY, _one_at_a_time(QUEUE_LOCK, _QUEUE_IDLE_S, enqueue_missing))
        )
        group.create_task(_every(ctx, 1, _one_at_a_time(CAPS_LOCK, _QUEUE_IDLE_S, repair_queue)))
        group.create_task(
            _every(ctx, SWEEP_EVERY, _one_at_a_time(SWEEP_LOCK, _SWEEP_IDLE_S, sweeper.sweep))
        )


async def _every(ctx: Context, looks: int, step: Callable[[Context], Awaitable[None]]) -> None:
    me = asyncio.current_task()
    # Asked as well, because a driver may swallow a cancel, or turn it into an error of its own.
    while me and not me.cancelling():
        try:
            await step(ctx)
        except Exception as error:
            if is_transient(error):
                log.warning("not reconciled", error=repr(error))
            else:
                log.exception("not reconciled")
        await asyncio.sleep(looks * LOOK_S)


def _one_at_a_time(
    lock: int, idle_s: int, step: Callable[[Context], Awaitable[None]]
) -> Callable[[Context], Awaitable[None]]:
    """One worker at a time, which spares the others the work."""

    async def run(ctx: Context) -> None:
        async with try_lock(ctx.db, lock, idle_s) as locked:
            if locked:
                await step(ctx)

    return run


async def take_back(ctx: Context) -> None:
    """Tasks of vanished workers return to the queue, or end."""
    found = await tasks.reclaim_expired(ctx.db, ctx.settings.max_losses, ctx.lease.takes_back)
    metrics.recovered.labels("requeued").inc(len(found.requeued))
    metrics.recovered.labels("ended").inc(len(found.lost) + len(found.once) + len(found.cancelled))
    for task in found.requeued:
        log.warning("taken back", task=task.id, why="its worker's lease ran out")
    await put_back(ctx, sorted(found.requeued, key=owner_and_lane))
    if found.awaited:
        await settling.settle(ctx.db, ctx.queue, found.awaited)
    await _end(ctx, found.lost, tasks.lost_outcome(ctx.settings.max_losses))
    await _end(ctx, found.once, tasks.once_outcome())
    await _end(ctx, found.cancelled, wire.Outcome(wire.CANCELLED))


async def _end(ctx: Context, ended: Sequence[tuple[str, int]], outcome: wire.Outcome) -> None:
    for task_id, attempt in ended:
        metrics.count_end(outcome)
        log.warning(outcome.state, task=task_id, attempt=attempt, kind="worker_lost")
        await events.append_end(ctx.queue, task_id, outcome)


async def enqueue_missing(ctx: Context) -> None:
    """Put queued rows that are not in Redis at the places they had: Redis was emptied, or a worker
    died between taking an id and starting it. Only each owner's first tasks are checked, however
    long the queue is, until one is missing. Each is checked twice, because a row is missing for a
    moment between a commit and its enqueue, and between a pop and its start.
    """
    await _settle_missed(ctx)
    if not await _missing(ctx, await tasks.queue_heads(ctx.db)):
        return
    first = await _missing(ctx, await tasks.queued_tasks(ctx.db))
    await asyncio.sleep(SURE_AFTER_S)
    still = [task for task in await tasks.queued_tasks(ctx.db) if task in first]
    again = await _missing(ctx, still)
    lost = [task for task in still if task in again]
    await put_back(ctx, lost)
    metrics.recovered.labels("enqueued").inc(len(lost))
    for task in lost[:SAID]:
        log.info("enqueued again", task=task.id, of=len(lost))


async def _settle_missed(ctx: Context) -> None:
    """Blocked tasks whose parents ended, if the process that ended them died before it settled
    them.
    """
    if ended := await graph.unsettled(ctx.db):
        settled = await settling.settle(ctx.db, ctx.queue, ended)
        metrics.recovered.labels("settled").inc(len(settled.released) + len(settled.failed))
        log.info("settled again", tasks=len(ended))
    await graph.release_orphans(ctx.db)


async def put_back(ctx: Context, waiting: Sequence[tasks.QueuedTask]) -> None:
    """Into the queue, at the places they had, with their owners' shares."""
    owners = sorted({task.owner for task in waiting})
    found = await shares.shares_of(ctx.db, owners, ctx.settings)
    await settling.put_back(ctx.queue, waiting, found)


async def repair_queue(ctx: Context) -> None:
    """Repair the queue itself: retries whose pause is over, a front that nobody fills, counts of
    running tasks, and changed limits of waiting tasks. Only what really runs counts as running,
    because a worker that died has not reported the end of its tasks.
    """
    await put_back(ctx, await tasks.due_again(ctx.db))
    await ctx.queue.refill_all()  # a worker may have died before it could
    held = await ctx.queue.counted_running()
    runs = await shares.running_capped(ctx.db, ctx.settings)
    counted = {task_id for ids in runs.values() for task_id in ids}
    gone = held - counted - await ctx.queue.fronts()
    if ctx.surplus & gone:  # seen twice, because one that was taken a moment ago does not run yet
        await ctx.queue.release(*(ctx.surplus & gone))
    ctx.surplus.clear()
    ctx.surplus.update(gone)
    owners = {head.owner for head in await tasks.queue_heads(ctx.db, 1)} | runs.keys()
    found = await shares.shares_of(ctx.db, sorted(owners), ctx.settings)
    await ctx.queue.update_shares(found)
    for owner, ids in runs.items():
        if missing := [task_id for task_id in ids if task_id not in held]:
            await ctx.queue.count_running(owner, found[owner], missing)


async def _missing(ctx: Context, waiting: Sequence[tasks.QueuedTask]) -> set[tasks.QueuedTask]:
    """Those of these queued tasks that Redis does not know."""
    missing = set[tasks.QueuedTask]()
    for batch in _batches(waiting):
        unknown = await ctx.queue.not_waiting([task.id for task in batch])
        missing.update(task for task in batch if task.id in unknown)
    return missing


def _batches(waiting: Sequence[tasks.QueuedTask]) -> Iterator[Sequence[tasks.QueuedTask]]:
    """Few enough for one command of Redis."""
    return (waiting[at : at + BATCH] for at in range(0, len(waiting), BATCH))
