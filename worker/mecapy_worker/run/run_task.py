"""One task from queued to final, the only path through a worker. It moves bytes and opens none of
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from mecapy_backend.store import tasks
from mecapy_backend.store.log import events
from mecapy_backend.store.people.shares import Took
from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.egress import egress_broker
from mecapy_worker.log import log
from mecapy_worker.packages.requested import PackagesRefused
from mecapy_worker.pool.child_factory import READY_WITHIN_S
from mecapy_worker.pool.child_handle import ChildHandle
from mecapy_worker.pool.nest import AddedPackages
from mecapy_worker.pool.zygote_client import START_WITHIN_S
from mecapy_worker.retry import retry_transient
from mecapy_worker.run import checkpoints, escalation, failure_messages
from mecapy_worker.run.added_packages import StoppedBefore, add_packages
from mecapy_worker.run.blob_retry import RetryingBlobStore
from mecapy_worker.run.event_writer import EventWriter
from mecapy_worker.run.open_inputs import InputsUnusable, open_inputs
from mecapy_worker.run.outcome import outcome_of
from mecapy_worker.run.parent_results import OpenedParents, open_parents
from mecapy_worker.run.record import conclude, failed, leave, record, refused
from mecapy_worker.run.relay import Relay
from mecapy_worker.run.shielded import LEAVING_S, shielded
from mecapy_worker.shared.message_codec import frame_of
from mecapy_worker.shared.messages import TaskMessage

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHILDREN_A_TASK = 3
"""One may have been killed while it waited, unnoticed until it has the task."""
CHILD_WITHIN_S = START_WITHIN_S + READY_WITHIN_S
"""The zygote may have to be started again, or a child that was not ready in time."""


async def run_task(ctx: Mapping[str, Context], task_id: str) -> None:
    """Carry one task from queued to final."""
    work, timer = ctx["context"], metrics.StageTimer()
    started = await _start(work, task_id)
    if started is None:
        return
    timer.stage("start")
    with work.running_task(started) as running:
        try:
            # cleaned up after the outcome is known
            async with AsyncExitStack() as stack:
                outcome, writer = await attempt(work, started, running, stack, timer)
                await conclude(work, started, running, outcome, writer)
                timer.stage("record")
        except asyncio.CancelledError:
            await shielded(leave(work, started), LEAVING_S)
            raise
        except Exception as error:  # if it stayed running, it would come back and fail again
            log.exception("not carried to an end", task=task_id, attempt=started.attempt)
            await shielded(record(work, started, failed(error)))
        finally:
            timer.trace(task_id, started.attempt, work.worker_id)


async def _start(work: Context, task_id: str) -> tasks.StartedAttempt | None:
    """The attempt that starts here; None if there is none to run."""
    if not _ID.fullmatch(task_id):
        why = "the queue holds something that is no task's id"
        return log.warning("dropped", task=ascii(task_id[:80]), why=why)
    started = await retry_transient(
        "start",
        lambda: tasks.start(work.db, task_id, work.worker_id, work.settings.lease_s),
        task=task_id,
    )
    if started is None:
        return log.info("dropped", task=task_id, why="cancelled, or taken, while it waited")
    if started.barred:
        return await refused(work, started)
    log.info("started", task=task_id, attempt=started.attempt)
    return started


async def attempt(
    work: Context,
    started: tasks.StartedAttempt,
    running: RunningTask,
    stack: AsyncExitStack,
    timer: metrics.StageTimer,
) -> tuple[wire.Outcome, EventWriter]:
    """Run the task in its own child. When this returns, the child is dead and its result is
    stored.
    """
    stack.callback(work.log_file(started).unlink, missing_ok=True)
    request = started.request
    async with _charged_writer(work, started, running) as writer:
        timeout_s = escalation.allowed_s(work.settings, started)
        running.extended = lambda: writer.add(wire.LimitEvent(timeout_s + running.extra_s))
        writer.add(
            wire.StartedEvent(
                work.worker_id,
                started.attempt,
                work.settings.max_memory_bytes,
                started.why_there,
                timeout_s + running.extra_s,
            )
        )
        if request.python and request.python != work.python:
            error = failure_messages.python(request.python, work.python)
        else:
            try:
                outcome = await _in_child(work, started, request, running, writer, stack, timer)
                return _wanted(running, outcome), writer
            except InputsUnusable as unusable:
                error = unusable.info
            except PackagesRefused as refusal:
                error = failure_messages.info("packages", str(refusal))
            except StoppedBefore:
                return wire.Outcome(wire.CANCELLED), writer
            except _NoChild:
                error = failure_messages.no_child(CHILD_WITHIN_S)
        return _wanted(running, wire.Outcome(wire.FAILED, error=error)), writer


class _NoChild(Exception):
    """The pool had no child in time."""


async def _in_child(
    work: Context,
    started: tasks.StartedAttempt,
    request: wire.TaskRequest,
    running: RunningTask,
    writer: EventWriter,
    stack: AsyncExitStack,
    timer: metrics.StageTimer,
) -> wire.Outcome:
    payload, blobs = request.payload or wire.Payload(), RetryingBlobStore(work, started, running)
    fds = await open_inputs(work, started.owner, payload, blobs, stack)
    parents = await open_parents(work, started, blobs, stack)
    fds += parents.fds
    last = await checkpoints.opened(started, blobs, len(fds), stack)
    fds += last
    timer.stage("inputs")
    message = replace(_task_message(request, parents), checkpoint=bool(last))
    task = frame_of(message, payload.pickle + parents.streams, fds)
    metrics.input_bytes.inc(sum(os.fstat(fd).st_size for fd in fds) + len(payload.pickle))
    added = await add_packages(work, started, running, writer)
    home_s = None if work.is_believed(started.owner) else 0.0
    left = _CHILDREN_A_TASK
    while True:
        left -= 1
        async with AsyncExitStack() as lent:
            child = await lent.enter_async_context(_lent(work, started, added, timer))
            await child.send_frame(task)
            async with egress_broker.opened(work.db, work.egress, started, child):
                kept = checkpoints.CheckpointStore(work, started, blobs, child.outbox)
                allowed_s = escalation.allowed_s(work.settings, started)
                end = await Relay(child, running, writer, kept, home_s).run(allowed_s)
            if not (left and child.never_began) or running.stop_reason:
                stack.push_async_exit(lent.pop_all())
                break
    if running.overstayed and home_s is None:
        work.overstayed(started.owner)
    timer.stage("run")
    if end.outcome and end.outcome.imported:
        work.pool.nests.learn(started.owner, added, end.outcome.imported)
    outcome = await outcome_of(end, child.outbox, blobs, work.settings, request)
    timer.stage("result")
    return outcome


@contextlib.asynccontextmanager
async def _lent(
    work: Context,
    started: tasks.StartedAttempt,
    added: AddedPackages | None,
    timer: metrics.StageTimer,
) -> AsyncGenerator[ChildHandle]:
    """A child of the pool. Raises _NoChild if there is none in time."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(CHILD_WITHIN_S):
                child = await stack.enter_async_context(work.pool.child(started.owner, added))
        except TimeoutError:
            raise _NoChild from None
        timer.stage("child")
        log.info("in child", task=started.task_id, attempt=started.attempt, child=child.pid)
        yield child


def _task_message(request: wire.TaskRequest, parents: OpenedParents) -> TaskMessage:
    """The pickle itself is the frame's body."""
    payload = replace(request.payload, pickle=b"") if request.payload else None
    return TaskMessage(
        request.code,
        request.cell,
        payload,
        request.inputs,
        request.outputs,
        request.keep,
        request.needs,
        parents.inputs,
        request.cache.files if request.cache else None,
    )


@contextlib.asynccontextmanager
async def _charged_writer(
    work: Context, started: tasks.StartedAttempt, running: RunningTask
) -> AsyncGenerator[EventWriter]:
    """Writes the attempt's events. What it takes counts for its owner however it ends."""
    began_s = time.monotonic()
    first = events.first_number(started.attempt, started.started_at)
    writer = EventWriter(work.queue, started.task_id, work.settings, work.log_file(started), first)
    try:
        async with writer:
            yield writer
    finally:
        running.extended = None
        work.charge(started.owner, Took(writer.cpu_s, 1, time.monotonic() - began_s))


def _wanted(running: RunningTask, outcome: wire.Outcome) -> wire.Outcome:
    """A task that is cancelled while it waits for the object store ends as cancelled."""
    away = outcome.error is not None and outcome.error.kind == "storage"
    if away and running.stop_reason == "cancel":
        return wire.Outcome(wire.CANCELLED, seconds=outcome.seconds)
    return outcome
