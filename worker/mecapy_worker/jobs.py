"""What a job of the queue is: one task, carried from queued to final. The only path a task takes through a worker.

It moves bytes and opens none of them. Before it: `engine`; after it: `relay`, `outcome`, and the store.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from mecapy_backend.store import events, tasks

from mecapy_jupyter import wire

from . import reasons
from .context import Context, Hold, log, patiently
from .journal import Journal
from .outcome import settle
from .relay import Relay

RETRIED = frozenset({"cell", "killed", "memory", "timeout", "disk", "output", "storage", "protocol"})
LEAVING_S = 5.0


async def run_task(ctx: dict[str, Any], task_id: str) -> None:
    """Carry one task from queued to final."""
    work: Context = ctx["context"]
    started = await patiently("start", lambda: tasks.start(work.db, task_id, work.worker_id, work.settings.lease_s), task=task_id)
    if started is None:
        return log.info("dropped", task=task_id, why="cancelled, or taken, while it waited")
    log.info("started", task=task_id, attempt=started.attempt)
    with work.holding(task_id, started.attempt) as hold:
        try:
            async with Journal(work.queue, task_id, work.settings, work.spool(started)) as journal:
                outcome = await attempt(work, started, hold, journal)
        except asyncio.CancelledError:
            await to_the_end(give_back(work, started, "the worker leaves"))
            raise
        if hold.reason == "lost":
            log.warning("lost", task=task_id, attempt=started.attempt, why="the lease ran out, or the task was forgotten")
        elif not await try_again(work, started, outcome):
            await to_the_end(record(work, started, outcome, journal))


async def attempt(work: Context, started: tasks.Started, hold: Hold, journal: Journal) -> wire.Outcome:
    """Run the task in a child of its own. When this returns the child is gone and its result is in the object store."""
    request, ours = started.request, work.pool.report.python
    journal.add(wire.STARTED, {"worker": work.worker_id, "attempt": started.attempt})
    if request.get("python") and request["python"] != ours:
        return wire.Outcome(wire.FAILED, error=reasons.python(request["python"], ours))
    payload = wire.Payload.from_json(request["payload"]) if request.get("payload") else wire.Payload()
    try:
        async with _opened(work, started.owner, payload) as fds, work.pool.child() as child:
            await child.send("task", _header(request, started.attempt, fds), payload.pickle, fds)
            ended = await Relay(child, hold, journal).run(float(request.get("timeout", 300)))
            return await settle(ended, child.outbox, work.blobs, started.owner, work.settings)
    except InputsGone as gone:
        return wire.Outcome(wire.FAILED, error=reasons.storage(f"An input could not be read ({gone}); run the cell again."))


class InputsGone(Exception):
    """A blob of the inputs cannot be opened."""


@asynccontextmanager
async def _opened(work: Context, owner: str, payload: wire.Payload) -> AsyncGenerator[tuple[int, ...]]:
    fds: list[int] = []
    try:
        for digest in payload.digests:
            try:
                fds.append(await work.blobs.open(owner, digest))
            except Exception as error:
                raise InputsGone(str(error) or type(error).__name__) from error
        yield tuple(fds)
    finally:
        for fd in fds:
            os.close(fd)


def _header(request: dict[str, Any], number: int, fds: tuple[int, ...]) -> dict[str, Any]:
    """The task frame's header: the request without the pickle's bytes, which are the frame's body."""
    payload = request.get("payload")
    bare = {"pickle_blob": payload.get("pickle_blob", ""), "buffers": payload.get("buffers", [])} if payload else None
    return request | {
        "payload": bare,
        "pickle_blob": bool(bare and bare["pickle_blob"]),
        "attempt": number,
        "blob_sizes": [os.fstat(fd).st_size for fd in fds],
    }


async def record(work: Context, started: tasks.Started, outcome: wire.Outcome, journal: Journal) -> None:
    """The outcome into the row, then the final event. A cancel or a newer attempt that was first has won: then nothing."""
    entries, spool = journal.kept()
    about: dict[str, Any] = {"task": started.task_id, "attempt": started.attempt}
    log_blob = ""
    try:
        if spool:
            log_blob, _ = await work.blobs.adopt(started.owner, spool)
    except Exception as error:  # the outcome matters more than its log
        log.warning("log cut", **about, error=repr(error))
    rows = [] if log_blob else entries
    if not await patiently("finish", lambda: tasks.finish(work.db, started.task_id, started.attempt, outcome, rows, log_blob), **about):
        return log.warning("too late", **about, state=outcome.state)
    log.info(outcome.state, **about, seconds=outcome.seconds, kind=outcome.error.kind if outcome.error else "")
    try:
        await events.append(work.queue, started.task_id, [(outcome.state, outcome.as_json())])
        await events.close(work.queue, started.task_id)
    except Exception as error:  # readers also look at the row
        log.warning("events dropped", **about, error=repr(error))


async def try_again(work: Context, started: tasks.Started, outcome: wire.Outcome) -> bool:
    """Whether the task goes back for another attempt, as its owner asked for."""
    retries = int(started.request.get("retries", 0))
    if outcome.error is None or outcome.error.kind not in RETRIED or started.attempt > retries:
        return False
    return await give_back(work, started, f"attempt {started.attempt} failed ({outcome.error.kind}: {outcome.error.type})")


async def give_back(work: Context, started: tasks.Started, why: str) -> bool:
    """Into the queue again. A task that is to be cancelled ends here instead."""
    task_id, number = started.task_id, started.attempt
    if not await patiently("requeue", lambda: tasks.requeue(work.db, task_id, number), task=task_id):
        return False
    log.info("given back", task=task_id, attempt=number, why=why)
    await work.queue.enqueue(task_id, int(started.request.get("priority", 5)))
    return True


async def to_the_end(work: Coroutine[Any, Any, Any]) -> None:
    """Finish `work` even when this task is cancelled meanwhile (a few seconds at most, then the lease's end puts it right)."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LEAVING_S)
        raise
