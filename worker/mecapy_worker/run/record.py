"""Records an ended attempt: its outcome in the row and the stream, or the task back in the
queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial

from redis.exceptions import RedisError

from mecapy_backend.fleet.router import Placement
from mecapy_backend.queue.queue import score
from mecapy_backend.store import tasks
from mecapy_backend.store.log import events
from mecapy_backend.store.tasks import settling
from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.log import log
from mecapy_worker.packages import base, renewal
from mecapy_worker.retry import retry_transient
from mecapy_worker.run import escalation, failure_messages
from mecapy_worker.run.blob_retry import recorded
from mecapy_worker.run.event_writer import ANSWER_S, EventWriter
from mecapy_worker.run.shielded import shielded

RETRIED = frozenset(
    {"cell", "killed", "memory", "timeout", "disk", "output", "storage", "protocol"}
)

MOST_PAUSE_S = 60.0


async def refused(work: Context, started: tasks.StartedAttempt) -> None:
    """The store has cancelled it because its owner is disabled; its followers are notified."""
    task_id = started.task_id
    log.info(wire.CANCELLED, task=task_id, why="its owner is disabled")
    with contextlib.suppress(RedisError):  # the row says it, too
        await events.append_end(work.queue, task_id, wire.Outcome(wire.CANCELLED))
    if started.awaited:
        await settle(work, task_id)


async def conclude(
    work: Context,
    started: tasks.StartedAttempt,
    running: RunningTask,
    outcome: wire.Outcome,
    writer: EventWriter,
) -> None:
    """Recorded, requeued or, if the task is no longer ours, nothing."""
    metrics.output_bytes.inc(writer.total_bytes)
    if running.stop_reason == "lost":
        metrics.leases_lost.inc()
        log.warning(
            "lost",
            task=started.task_id,
            attempt=started.attempt,
            why="the lease ran out, or the task was forgotten",
        )
    elif end := await _retried(work, started, outcome, writer):
        await shielded(record(work, started, end, writer))


async def record(
    work: Context,
    started: tasks.StartedAttempt,
    outcome: wire.Outcome,
    writer: EventWriter | None = None,
) -> None:
    """Write the outcome to the row, then the final event. Nothing if a cancel or newer attempt was
    first.
    """
    task_id, attempt = started.task_id, started.attempt
    outcome = await _as_cached(started, outcome)
    entries, log_blob, whole = await _log_of(work, started, writer) if writer else ([], "", False)
    cache_key = _cache_key(started, outcome) if whole else None
    cpu_s, peak_bytes = (writer.cpu_s, writer.peak_bytes) if writer else (0.0, 0)
    kept = entries, log_blob, cpu_s, peak_bytes, cache_key
    finish = partial(tasks.finish, work.db, task_id, attempt, outcome, *kept)
    try:
        won = await retry_transient("finish", finish, task=task_id, attempt=attempt)
    except Exception as error:  # the row refuses it, however often it is tried
        log.exception("not recorded", task=task_id, attempt=attempt)
        if writer is None:
            return
        await writer.flush()
        await record(work, started, failed(error))
        return
    if won is not None and (started.checkpoint or (writer and writer.checkpoints)):
        forget = tasks.forget_checkpoint
        await retry_transient("checkpoint", lambda: forget(work.db, task_id), task=task_id)
    if won is None:
        metrics.leases_lost.inc()
        return log.warning("too late", task=task_id, attempt=attempt, state=outcome.state)
    if not won.awaited:
        return await _publish(work, started, outcome, writer)
    async with asyncio.TaskGroup() as group:  # so that its followers learn of it no later
        group.create_task(_publish(work, started, outcome, writer))
        group.create_task(settle(work, task_id, completed=outcome.state == wire.COMPLETED))


async def _as_cached(started: tasks.StartedAttempt, outcome: wire.Outcome) -> wire.Outcome:
    """The outcome, with the reason if it may not be kept as the result of the same call."""
    if not (keys := started.request.cache):
        return outcome
    if not renewal.are_as_at(started.created_at):
        why = "packages were installed on the worker meanwhile"
    elif others := await asyncio.to_thread(base.other_than, keys.versions):
        why = others[0]
    else:
        return outcome
    return replace(outcome, uncached=(*outcome.uncached, why))


async def settle(work: Context, task_id: str, *, completed: bool = False) -> None:
    """What this task blocked goes on, or ends too."""
    try:
        settled = await settling.settle(work.db, work.queue, [task_id], completed=completed)
    except Exception as error:  # the reconciler does it
        log.warning("not settled", task=task_id, error=repr(error))
        return
    for released in settled.released:
        log.info("released", task=released.id, by=task_id)
    for failed_id, _ in settled.failed:
        log.info("failed", task=failed_id, kind="parent", by=task_id)


def failed(error: Exception) -> wire.Outcome:
    """An internal error."""
    return wire.Outcome(wire.FAILED, error=failure_messages.ours(error))


async def _publish(
    work: Context,
    started: tasks.StartedAttempt,
    outcome: wire.Outcome,
    writer: EventWriter | None,
) -> None:
    task_id, attempt = started.task_id, started.attempt
    kind = metrics.count_end(outcome)
    log.info(outcome.state, task=task_id, attempt=attempt, seconds=outcome.seconds, kind=kind)
    try:
        async with asyncio.timeout(ANSWER_S):
            if writer:
                await writer.end(outcome.state, outcome.as_json())
            else:
                await events.append_end(work.queue, task_id, outcome)
    except Exception as error:  # readers also look at the row
        log.warning("events dropped", task=task_id, attempt=attempt, error=repr(error))


async def _log_of(
    work: Context, started: tasks.StartedAttempt, writer: EventWriter
) -> tuple[list[wire.Event], str, bool]:
    """The part of the log for the row, the blob of all of it if it is longer, and whether that is
    all.
    """
    entries: list[wire.Event] = []
    owner = started.owner
    try:
        entries, spool = await writer.kept()
        if not spool:
            return entries, "", True
        digest, _ = await work.blobs.adopt(owner, spool, recorded(work, owner))
        return [], digest, True
    except Exception as error:  # the outcome matters more than its log
        log.warning("log cut", task=started.task_id, error=repr(error))
        return entries, "", False


def _cache_key(started: tasks.StartedAttempt, outcome: wire.Outcome) -> str | None:
    """Under which the result is kept; None: it is not."""
    keys = started.request.cache
    if keys is None or outcome.state != wire.COMPLETED or outcome.uncached:
        return None
    return (keys.seeded or None) if outcome.drew else keys.key


async def _retried(
    work: Context, started: tasks.StartedAttempt, outcome: wire.Outcome, writer: EventWriter
) -> wire.Outcome | None:
    """None to requeue the task for another attempt, because its owner asked for it or the end was
    our error; otherwise the outcome to record. Only earlier attempts that ended in the same way
    count.
    """
    if outcome.error is None:
        return outcome
    kind = outcome.error.kind
    if further := escalation.next_place(work, started, outcome, writer.peak_bytes):
        await writer.flush()
        why, place = further
        return await give_back(work, started, why, outcome, outcome.error.message, place=place)
    if kind in RETRIED:
        retries = started.request.retries
        failures = sum(why in RETRIED for why in started.earlier)
        retry, pause_s = failures < retries, retry_pause_s(failures)
    else:
        pause_s = 0.0
        retry = kind == tasks.LOST and started.losses + 1 < work.settings.max_losses
    if not retry:
        return outcome
    await writer.flush()
    return await give_back(work, started, kind, outcome, outcome.error.message, pause_s)


def retry_pause_s(failures: int) -> float:
    """How long a retry waits: a second after the first failure, twice as long after each further
    one, a minute at most. `failures`: before the last one.
    """
    return min(2.0**failures, MOST_PAUSE_S)


async def give_back(
    work: Context,
    started: tasks.StartedAttempt,
    why: str,
    otherwise: wire.Outcome,
    message: str = "",
    pause_s: float = 0.0,
    place: Placement | None = None,
) -> wire.Outcome | None:
    """Requeue it at its old place, or for another class of machines: None. Otherwise the outcome to
    record: that it must not run twice or, if it was cancelled or is no longer ours, `otherwise`.
    """
    task_id, number = started.task_id, started.attempt
    there = (place.machine_class, place.why) if place else ()
    state = await retry_transient(
        "requeue",
        lambda: tasks.requeue(work.db, task_id, number, why, message, pause_s, *there),
        task=task_id,
    )
    if state != wire.QUEUED:
        return tasks.once_outcome() if state else otherwise
    metrics.given_back.inc()
    log.info("given back", task=task_id, attempt=number, why=why)
    if pause_s:  # the reconciler enqueues it then
        return None
    request = started.request
    entries = {task_id: score(request.priority, started.created_at.timestamp())}
    try:
        await work.queue.put_back(
            started.owner,
            entries,
            short=started.short,
            python=request.python,
            machine_class=place.machine_class if place else work.settings.machine_class,
        )
    except (RedisError, OSError) as error:  # the reconciler enqueues it
        log.warning("not enqueued", task=task_id, error=repr(error))
    return None


async def leave(work: Context, started: tasks.StartedAttempt) -> None:
    """The worker ends before the task: another worker runs it again, unless it was cancelled or had
    used the network.
    """
    if end := await give_back(work, started, tasks.LEFT, wire.Outcome(wire.CANCELLED)):
        await record(work, started, end)
