"""Turns the messages of a running child into the task's events until the child has sent its
outcome, died, or was stopped. It records nothing about the task.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import cast

from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import RunningTask
from mecapy_worker.pool.pool import ChildHandle
from mecapy_worker.pool.usage import cpu_s, scheduled
from mecapy_worker.run.checkpoints import CheckpointStore
from mecapy_worker.run.comm_inbox import CommInbox
from mecapy_worker.run.event_writer import EventWriter
from mecapy_worker.run.outcome import AttemptEnd, ChildOutcome, InvalidOutcome, check
from mecapy_worker.shared.frames import Frame, FrameError
from mecapy_worker.shared.message_codec import message_of
from mecapy_worker.shared.messages import (
    FROM_HANDLE,
    CheckpointMessage,
    CommMessage,
    DisplayMessage,
    ExitStatus,
    FolderGiven,
    FolderWanted,
    InterruptedMessage,
    InvalidFrame,
    LimitExceeded,
    OutcomeMessage,
    OutputMessage,
    ProgressMessage,
    UsageMessage,
)

GRACE_S = {"timeout": 0.5, "cancel": 0.4}
"""Between SIGINT and SIGTERM: time for the cell to stop."""
TERMINATE_S = 0.2
"""Between SIGTERM and SIGKILL, for a cell that ignores the interrupt."""
HOME_S = 3.0
"""Between SIGINT and SIGKILL for a cell that did stop: time to return its results."""

TEXT_CHARS = 1000
_PIECE_BYTES = 64 * 1024
_STARVED_S = 0.05
_USUAL_HEADER_BYTES = 512


class Relay:
    """One child's life with its task. `home_s`: how long one that reports its stop may take to
    return its results.
    """

    def __init__(
        self,
        child: ChildHandle,
        running: RunningTask,
        writer: EventWriter,
        checkpoints: CheckpointStore,
        home_s: float | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._home_s = HOME_S if home_s is None else home_s
        self._child, self._running, self._writer = child, running, writer
        self._inbox = CommInbox(child, writer)
        self._outcome: ChildOutcome | None = None
        self._exit_status: ExitStatus | None = None
        self._limit: LimitExceeded | None = None
        self._invalid = ""
        self._cpu_before_s = 0.0
        self._interrupted = asyncio.Event()

    async def run(self, timeout_s: float) -> AttemptEnd:
        """Returns when the child has sent its outcome without files, or when it and its processes
        are dead, because files must not change any more and a stopped task must be gone.
        """
        since, self._cpu_before_s = time.monotonic(), cpu_s(self._child.pid)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._stop_when_due(timeout_s))
            delivering = group.create_task(self._inbox.deliver())
            self._running.hear = self._inbox.hear
            try:
                await self._relay()
            except (FrameError, InvalidOutcome, RecursionError, ValueError, TypeError) as error:
                self._invalid = str(error) or type(error).__name__
            finally:
                if self._exit_status is None and self._outcome is None:  # which has counted it
                    self._count_cpu(cpu_s(self._child.pid))
            seconds = time.monotonic() - since
            self._running.hear = None
            delivering.cancel()
            stopping.cancel()
        if not self._is_complete():
            await self._child.kill()
        return AttemptEnd(
            self._outcome,
            self._running.stop_reason,
            self._limit,
            self._exit_status,
            self._invalid,
            seconds,
            timeout_s + self._running.extra_s,
            self._stopped_s(),
        )

    async def _relay(self) -> None:
        async for frame in self._child.frames():
            await self._take(frame)
            if self._is_complete():
                for printed in self._child.printed():
                    await self._take(printed)
                break

    def _is_complete(self) -> bool:
        """Nothing more is needed of the child, not even its death."""
        return bool(self._outcome and not self._outcome.files and not self._running.stop_reason)

    def _stopped_s(self) -> float | None:
        running = self._running
        return time.monotonic() - running.stop_requested_s if running.stop_reason else None

    async def _stop_when_due(self, timeout_s: float) -> None:
        """Stop the child when its time is up or it is cancelled."""
        try:
            async with asyncio.timeout(timeout_s + self._running.extra_s) as self._running.due:
                await self._running.stopped.wait()
        except TimeoutError:
            self._running.stop("timeout")
            await self._child.locate()
        finally:
            self._running.due = None
        if grace_s := GRACE_S.get(self._running.stop_reason):
            self._interrupted.clear()  # reporting a stop without a request gains no time
            await self._child.interrupt()
            await self._allow(self._interrupted, grace_s)
            if self._interrupted.is_set():
                await self._allow(asyncio.Event(), self._home_s)
                self._running.overstayed = self._outcome is None
            else:
                await self._child.terminate()
                await self._allow(asyncio.Event(), TERMINATE_S)
        self._count_cpu(cpu_s(self._child.pid))
        await self._child.kill()

    async def _allow(self, event: asyncio.Event, grace_s: float) -> None:
        """Until the event, for at most `grace_s`; the child's death ends it, too. What the child
        waits for a processor of a busy machine is no part of that, up to a limit.
        """
        until = time.monotonic() + max(HOME_S, 3 * grace_s)
        while grace_s > _STARVED_S and time.monotonic() < until:
            before = scheduled(self._child.pid)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await event.wait()
                    return
            now = scheduled(self._child.pid)
            ran_s, waited_s = now.ran_s - before.ran_s, now.waited_s - before.waited_s
            grace_s = grace_s - ran_s if now.runnable else waited_s

    def _count_cpu(self, used_s: float) -> None:
        """CPU time, minus what was used before the task. Its other processes count up to their last
        measurement.
        """
        now_s = max(self._writer.cpu_s, round(used_s - self._cpu_before_s, 3))
        metrics.children_cpu_s.inc(now_s - self._writer.cpu_s)
        self._writer.cpu_s = now_s

    async def _text(self, name: str, text: bytes) -> None:
        """Adds the text in pieces, so that other tasks and the lease continue; drops what exceeds
        the output limit.
        """
        for at in range(0, len(text), _PIECE_BYTES):
            if self._writer.over:
                return
            self._writer.text(name, text[at : at + _PIECE_BYTES])
            await self._writer.room()

    async def _take(self, frame: Frame) -> None:
        self._writer.total_bytes += _bytes_without_event(frame)
        match message_of(frame, FROM_HANDLE):
            case OutputMessage(name) if name in (wire.STDOUT, wire.STDERR):
                await self._text(name, frame.body)
            case DisplayMessage(kind) as shown if kind in wire.DISPLAY_KINDS:
                self._writer.shown(_display(shown), frame.size_bytes - len(frame.body))
            case CommMessage(kind) as said if kind in wire.COMM_KINDS:
                self._writer.shown(_comm(said), frame.size_bytes - len(frame.body))
            case ProgressMessage(fraction, text):
                self._writer.add(wire.ProgressEvent(fraction, text[:TEXT_CHARS]))
            case UsageMessage() as used:
                self._count_cpu(used.cpu_s)
                self._writer.peak_bytes = max(self._writer.peak_bytes, used.memory_bytes or 0)
                self._writer.add(_usage(used))
            case LimitExceeded() as limit:
                self._limit = limit
            case OutcomeMessage() as said if self._outcome is None:
                await self._take_outcome(said, frame.body)
            case CheckpointMessage():
                await self._checkpoint()
            case FolderWanted(home):
                found = await self._child.earlier_folder(home)
                await self._child.send(FolderGiven(found))
            case InterruptedMessage():
                self._interrupted.set()
            case InvalidFrame(detail):
                raise FrameError(detail)
            case ExitStatus() as exit_status:
                self._exit_status = exit_status
            case _:
                raise FrameError(f"an unexpected {frame.kind[:40]!r} frame")
        if self._writer.over:
            self._running.stop("output")
        await self._writer.room()

    async def _checkpoint(self) -> None:
        if why := await self._checkpoints.keep():
            said = f"mecapy: this checkpoint is not kept: {why}\n"
            self._writer.text(wire.STDERR, said.encode())
        else:
            self._writer.checkpoints += 1

    async def _take_outcome(self, message: OutcomeMessage, body: bytes) -> None:
        self._count_cpu(cpu_s(self._child.pid))
        self._outcome = check(message, body)
        if self._outcome.files or self._running.stop_reason:
            await self._child.kill()  # pending output still comes, then the exit


def _display(shown: DisplayMessage) -> wire.DisplayEvent:
    return wire.DisplayEvent(
        cast(wire.DisplayKind, shown.kind),
        shown.data,
        shown.metadata,
        shown.display_id,
        shown.wait,
    )


def _comm(said: CommMessage) -> wire.CommEvent:
    return wire.CommEvent(cast(wire.CommKind, said.kind), said.comm_id, said.data, said.buffers)


def _usage(used: UsageMessage) -> wire.UsageEvent:
    return wire.UsageEvent(
        used.cpu_percent, used.memory_bytes, used.cpu_s, used.processes, used.disk_bytes
    )


def _bytes_without_event(frame: Frame) -> int:
    """Sizes of frames that become no event count as output, so that they are bounded. The header of
    a display or widget message counts with its event.
    """
    if frame.kind == OutcomeMessage.tag:  # once, and with a bound of its own
        return 0
    header_bytes = max(0, frame.size_bytes - len(frame.body) - _USUAL_HEADER_BYTES)
    return (0 if frame.kind in (DisplayMessage.tag, CommMessage.tag) else header_bytes) + (
        0 if frame.kind == OutputMessage.tag else len(frame.body)
    )
