"""What a job of the queue is: one task, carried from queued to final. The only path a task takes
through a worker.

It moves bytes and opens none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import RedisError

from mecapy_backend.queue.queue import score
from mecapy_backend.store import tasks
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.egress import egress_broker
from mecapy_worker.log import log
from mecapy_worker.retry import retry_transient
from mecapy_worker.run import failure_messages
from mecapy_worker.run.blob_retry import RetryingBlobStore, forget_unusable, out_of_files, recorded
from mecapy_worker.run.event_writer import ANSWER_S, EventWriter
from mecapy_worker.run.outcome import settle
from mecapy_worker.run.relay import Relay
from mecapy_worker.shared.frames import MAX_FDS

RETRIED = frozenset(
    {"cell", "killed", "memory", "timeout", "disk", "output", "storage", "protocol"}
)
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LEAVING_S = 5.0
CHILD_WITHIN_S = 60.0


async def run_task(ctx: dict[str, Any], task_id: str) -> None:
    """Carry one task from queued to final."""
    work: Context = ctx["context"]
    if not _ID.fullmatch(task_id):
        return log.warning(
            "dropped",
            task=ascii(task_id[:80]),
            why="the queue holds something that is no task's id",
        )
    timer = metrics.StageTimer()
    started = await retry_transient(
        "start",
        lambda: tasks.start(work.db, task_id, work.worker_id, work.settings.lease_s),
        task=task_id,
    )
    if started is None:
        return log.info("dropped", task=task_id, why="cancelled, or taken, while it waited")
    if started.barred:
        return await refuse(work, task_id)
    timer.stage("start")
    log.info("started", task=task_id, attempt=started.attempt)
    with work.running_task(task_id, started.attempt) as running:
        try:
            async with (
                AsyncExitStack() as child
            ):  # cleared away after the outcome is known to everybody
                child.callback(work.log_file(started).unlink, missing_ok=True)
                outcome, writer = await attempt(work, started, running, child, timer)
                await conclude(work, started, running, outcome, writer)
                timer.stage("record")
        except asyncio.CancelledError:
            await shielded(leave(work, started), LEAVING_S)
            raise
        except (
            Exception
        ) as error:  # ours; left running, the task would come back to do the same again
            log.exception("not carried to an end", task=task_id, attempt=started.attempt)
            await shielded(
                record(
                    work,
                    started,
                    wire.Outcome(wire.FAILED, error=failure_messages.ours(error)),
                    None,
                )
            )


async def refuse(work: Context, task_id: str) -> None:
    """The store has cancelled it, for its owner is disabled; whoever follows it hears of that."""
    log.info(wire.CANCELLED, task=task_id, why="its owner is disabled")
    with contextlib.suppress(RedisError):  # the row says it, too
        await events.append(
            work.queue,
            task_id,
            [(wire.CANCELLED, wire.Outcome(wire.CANCELLED).as_json())],
            last=True,
        )


async def attempt(
    work: Context,
    started: tasks.StartedAttempt,
    running: RunningTask,
    stack: AsyncExitStack,
    timer: metrics.StageTimer,
) -> tuple[wire.Outcome, EventWriter]:
    """Run the task in a child of its own. When this returns the child is dead and its result is in
    the object store.
    """
    request, ours = started.request, work.python
    payload = (
        wire.Payload.from_json(request["payload"]) if request.get("payload") else wire.Payload()
    )
    async with charged(work, started) as writer:
        keep = RetryingBlobStore(work, started.owner, running)
        about = {
            "worker": work.worker_id,
            "attempt": started.attempt,
            "memory_limit_bytes": work.settings.max_memory_bytes,
        }
        writer.add(wire.STARTED, about)
        if request.get("python") and request["python"] != ours:
            return wire.Outcome(
                wire.FAILED, error=failure_messages.python(request["python"], ours)
            ), writer
        if len(payload.digests) > MAX_FDS:
            return wire.Outcome(
                wire.FAILED, error=failure_messages.too_many_inputs(len(payload.digests), MAX_FDS)
            ), writer
        try:
            fds = await _opened(work, started.owner, payload, keep, stack)
            timer.stage("inputs")
            async with asyncio.timeout(CHILD_WITHIN_S):
                child = await stack.enter_async_context(work.pool.child())
            timer.stage("child")
        except InputsGone as gone:
            why = failure_messages.storage(f"An input could not be read ({gone}); {gone.todo}.")
        except TimeoutError:
            why = failure_messages.no_child(CHILD_WITHIN_S)
        else:
            header = _header(request, started.attempt, fds)
            metrics.input_bytes.inc(sum(header["blob_sizes"]) + len(payload.pickle))
            log.info("in child", task=started.task_id, attempt=started.attempt, child=child.pid)
            await child.send("task", header, payload.pickle, fds)
            async with egress_broker.opened(work.db, work.egress, started, child):
                ended = await Relay(child, running, writer).run(float(request.get("timeout", wire.TIMEOUT_S)))
            timer.stage("run")
            outcome = await settle(ended, child.outbox, keep, work.settings, request)
            timer.stage("result")
            return _wanted(running, outcome), writer
        return _wanted(running, wire.Outcome(wire.FAILED, error=why)), writer


@contextlib.asynccontextmanager
async def charged(work: Context, started: tasks.StartedAttempt) -> AsyncGenerator[EventWriter]:
    """The attempt's writer. What its child took counts for its owner however it ends, given back
    or failed by us, too.
    """
    writer = EventWriter(
        work.queue, started.task_id, work.settings, work.log_file(started), started.attempt
    )
    try:
        async with writer:
            yield writer
    finally:
        work.charge(started.owner, writer.cpu_s)


def _wanted(running: RunningTask, outcome: wire.Outcome) -> wire.Outcome:
    """A task that is cancelled while it waits for the object store did not fail over that."""
    away = outcome.error is not None and outcome.error.kind == "storage"
    return (
        wire.Outcome(wire.CANCELLED, seconds=outcome.seconds)
        if away and running.stop_reason == "cancel"
        else outcome
    )


async def conclude(
    work: Context,
    started: tasks.StartedAttempt,
    running: RunningTask,
    outcome: wire.Outcome,
    writer: EventWriter,
) -> None:
    """What becomes of an attempt that ended: recorded, tried again, or, where the task is no longer
    ours, nothing.
    """
    metrics.output_bytes.inc(writer.total_bytes)
    if running.stop_reason == "lost":
        metrics.leases_lost.inc()
        log.warning(
            "lost",
            task=started.task_id,
            attempt=started.attempt,
            why="the lease ran out, or the task was forgotten",
        )
    elif end := await try_again(work, started, outcome, writer):
        await shielded(record(work, started, end, writer))


class InputsGone(Exception):
    """A blob of the inputs cannot be opened."""

    todo = "run the cell again"


async def _opened(
    work: Context, owner: str, payload: wire.Payload, keep: RetryingBlobStore, stack: AsyncExitStack
) -> tuple[int, ...]:
    fds: list[int] = []
    for digest in payload.digests:
        try:
            fds.append(await keep.open(digest))
        except Exception as error:
            await forget_unusable(work, owner, digest, error)
            gone = InputsGone(str(error) or type(error).__name__)
            if out_of_files(error):
                gone.todo = (
                    "stack arrays into fewer ones, or let the operators raise the "
                    "worker's limit of open files (`ulimit -n`)"
                )
            raise gone from error
        stack.callback(os.close, fds[-1])
    return tuple(fds)


def _header(request: dict[str, Any], number: int, fds: tuple[int, ...]) -> dict[str, Any]:
    """The task frame's header: the request without the pickle's bytes, which are the body."""
    payload = request.get("payload")
    bare = (
        {"pickle_blob": payload.get("pickle_blob", ""), "buffers": payload.get("buffers", [])}
        if payload
        else None
    )
    return request | {
        "payload": bare,
        "pickle_blob": bool(bare and bare["pickle_blob"]),
        "attempt": number,
        "blob_sizes": [os.fstat(fd).st_size for fd in fds],
    }


async def record(
    work: Context, started: tasks.StartedAttempt, outcome: wire.Outcome, writer: EventWriter | None
) -> None:
    """The outcome into the row, then the final event. A cancel or a newer attempt that was first
    has won: then nothing.
    """
    about: dict[str, Any] = {"task": started.task_id, "attempt": started.attempt}
    entries, log_blob = await _log_of(work, started, writer) if writer else ([], "")
    cpu_s = writer.cpu_s if writer else 0.0
    try:
        won = await retry_transient(
            "finish",
            lambda: tasks.finish(
                work.db, started.task_id, started.attempt, outcome, entries, log_blob, cpu_s
            ),
            **about,
        )
    except Exception as error:  # the row does not take it, however often we try
        log.exception("not recorded", **about)
        if writer is None:
            return None
        await writer.flush()
        return await record(
            work, started, wire.Outcome(wire.FAILED, error=failure_messages.ours(error)), None
        )
    if not won:
        metrics.leases_lost.inc()
        return log.warning("too late", **about, state=outcome.state)
    kind = outcome.error.kind if outcome.error else ""
    metrics.ended.labels(outcome.state, kind).inc()
    log.info(outcome.state, **about, seconds=outcome.seconds, kind=kind)
    try:
        async with asyncio.timeout(ANSWER_S):
            if writer:
                await writer.end(outcome.state, outcome.as_json())
            else:
                await events.append(
                    work.queue, started.task_id, [(outcome.state, outcome.as_json())], last=True
                )
    except Exception as error:  # readers also look at the row
        log.warning("events dropped", **about, error=repr(error))


async def _log_of(
    work: Context, started: tasks.StartedAttempt, writer: EventWriter
) -> tuple[list[wire.Event], str]:
    """What to keep of the log in the row, and the blob that has all of it where that is more."""
    entries, spool = writer.kept()
    try:
        return (
            ([], (await work.blobs.adopt(started.owner, spool, recorded(work, started.owner)))[0])
            if spool
            else (entries, "")
        )
    except Exception as error:  # the outcome matters more than its log
        log.warning("log cut", task=started.task_id, error=repr(error))
        return entries, ""


async def try_again(
    work: Context, started: tasks.StartedAttempt, outcome: wire.Outcome, writer: EventWriter
) -> wire.Outcome | None:
    """None where the task goes back for another attempt, as its owner asked for, or because its end
    was our fault. Else what to record.

    Of the attempts before this one only those count that ended in the same way: what a stopped
    worker gave back cost nothing.
    """
    if outcome.error is None:
        return outcome
    kind = outcome.error.kind
    if kind in RETRIED:
        again = sum(why in RETRIED for why in started.earlier) < int(
            started.request.get("retries", 0)
        )
    else:
        again = kind == tasks.LOST and started.losses + 1 < work.settings.max_losses
    if not again:
        return outcome
    await writer.flush()
    return await give_back(work, started, kind, outcome, outcome.error.message)


async def give_back(
    work: Context, started: tasks.StartedAttempt, why: str, otherwise: wire.Outcome, said: str = ""
) -> wire.Outcome | None:
    """Into the queue again, at its old place: None. Else what to record: that it must not run
    twice, or, where it is to be cancelled or no longer ours, `otherwise`.
    """
    task_id, number = started.task_id, started.attempt
    state = await retry_transient(
        "requeue", lambda: tasks.requeue(work.db, task_id, number, why, said), task=task_id
    )
    if state != wire.QUEUED:
        return tasks.once_outcome() if state else otherwise
    metrics.given_back.inc()
    log.info("given back", task=task_id, attempt=number, why=why)
    try:
        place = {
            task_id: score(int(started.request.get("priority", 5)), started.created_at.timestamp())
        }
        python = str(started.request.get("python", ""))
        await work.queue.put_back(started.owner, place, short=started.short, python=python)
    except (RedisError, OSError) as error:  # the reconciler enqueues it
        log.warning("not enqueued", task=task_id, error=repr(error))
    return None


async def leave(work: Context, started: tasks.StartedAttempt) -> None:
    """The worker ends before the task: somebody else runs it again, unless it was to be cancelled
    anyway, or had used the network.
    """
    if end := await give_back(work, started, tasks.LEFT, wire.Outcome(wire.CANCELLED)):
        await record(work, started, end, None)


async def shielded(work: Coroutine[Any, Any, Any], within_s: float | None = None) -> None:
    """Finish `work` even when this task is cancelled meanwhile (a few seconds at most, or
    `within_s`: the lease's end puts it right).
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=within_s)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LEAVING_S)
        raise
    finally:
        while not task.done():  # a library below may swallow a cancel that comes at a bad moment
            task.cancel()
            await asyncio.wait([task], timeout=1)
    if not task.cancelled():
        task.result()
