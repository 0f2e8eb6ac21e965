"""A running child's frames, one by one, into the writer, until the child has given its word, died,
or was stopped.

It may not record anything about the task. `jobs` calls it; `writer` takes the events, `outcome`
what comes at the end.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from mecapy_jupyter import wire
from mecapy_worker.context import RunningTask
from mecapy_worker.pool.pool import ChildHandle
from mecapy_worker.pool.usage import cpu_s
from mecapy_worker.run import outcome
from mecapy_worker.run.event_writer import EventWriter
from mecapy_worker.run.outcome import AttemptEnd, ChildOutcome, InvalidOutcome
from mecapy_worker.shared.frames import Frame, FrameError

GRACE_S = {"timeout": 0.5, "cancel": 0.4}
"""Between SIGINT and SIGTERM: time for the cell to stop where it is."""
TERMINATE_S = 0.2
"""Between SIGTERM and SIGKILL, for a cell that did not hear the interrupt."""
HOME_S = 3.0
"""Between SIGINT and SIGKILL for a cell that did stop: time for what it computed to come home."""

_PIECE_BYTES = 64 * 1024
_USUAL_HEADER_BYTES = 512


class Relay:
    """One child's life after it got its task."""

    def __init__(self, child: ChildHandle, running: RunningTask, writer: EventWriter) -> None:
        self._child, self._running, self._writer = child, running, writer
        self._word: ChildOutcome | None = None
        self._exit: dict[str, Any] | None = None
        self._limit = self._garbage = ""
        self._used, self._had_cpu_s = 0, 0.0
        self._obeyed = asyncio.Event()

    async def run(self, timeout_s: float) -> AttemptEnd:
        """Returns when the child has given its word and left no files, which needs no waiting for
        its death; or else when it, and everything it started, is dead: files must not change any
        more, and who stops a task waits for it to be gone.
        """
        since, self._had_cpu_s = time.monotonic(), cpu_s(self._child.pid)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(timeout_s))
            try:
                async for frame in self._child.frames():
                    await self._take(frame)
                    if self._word and not self._word.files and not self._running.stop_reason:
                        for printed in self._child.printed():
                            await self._take(printed)
                        break
            except (FrameError, InvalidOutcome, RecursionError, ValueError, TypeError) as error:
                self._garbage = str(error) or type(error).__name__
            finally:
                if self._exit is None:
                    self._took(cpu_s(self._child.pid))
            seconds = time.monotonic() - since
            watch.cancel()
        if not self._word or self._word.files or self._running.stop_reason:
            await self._child.kill()
        stopped_s = (
            time.monotonic() - self._running.stop_requested_s if self._running.stop_reason else None
        )
        return AttemptEnd(
            self._word,
            self._running.stop_reason,
            self._limit,
            self._exit,
            self._garbage,
            seconds,
            timeout_s,
            stopped_s,
            self._used,
        )

    async def _watch(self, timeout_s: float) -> None:
        """Stop the child when its time is up or somebody wants it stopped."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._running.stopped.wait()
        except TimeoutError:
            self._running.stop("timeout")
            await self._child.locate()
        if grace_s := GRACE_S.get(self._running.stop_reason):
            await self._child.interrupt()
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._obeyed.wait()
            if self._obeyed.is_set():
                await asyncio.sleep(HOME_S)
            else:
                await self._child.terminate()
                await asyncio.sleep(TERMINATE_S)
        self._took(cpu_s(self._child.pid))
        await self._child.kill()

    def _took(self, used_s: float) -> None:
        """Processor time, of which some was before the task came. Not counted: what its other
        processes took since the last look.
        """
        self._writer.cpu_s = max(self._writer.cpu_s, round(used_s - self._had_cpu_s, 3))

    async def _text(self, name: str, text: bytes) -> None:
        """In pieces: other tasks and the lease go on meanwhile, and what is more than a task may
        print is not kept either.
        """
        for at in range(0, len(text), _PIECE_BYTES):
            if self._writer.over:
                return
            self._writer.text(name, text[at : at + _PIECE_BYTES])
            await self._writer.room()

    async def _take(self, frame: Frame) -> None:
        header = frame.header
        self._writer.total_bytes += _uncounted(frame)
        match frame.kind:
            case "stream" if header.get("name") in (wire.STDOUT, wire.STDERR):
                await self._text(header["name"], frame.body)
            case "display" if header.get("kind") in (
                "display_data",
                "update_display_data",
                "execute_result",
                "clear_output",
            ):
                self._writer.display(header)
            case "progress":
                self._writer.add(wire.PROGRESS, _progress(header))
            case "usage":
                self._took(header["cpu_s"])
                self._writer.add(wire.USAGE, header)
            case "limit":
                self._limit, self._used = (
                    str(header.get("kind", "something")),
                    int(header.get("used", 0)),
                )
            case "outcome" if self._word is None:
                self._took(cpu_s(self._child.pid))
                self._word = outcome.read(header, frame.body)
                if self._word.files or self._running.stop_reason:
                    await self._child.kill()  # what it printed until now still comes, then the exit
            case "stopped":
                self._obeyed.set()
            case "invalid":
                raise InvalidOutcome(str(header.get("detail", "no frame")))
            case "exit":
                self._exit = header
            case _:
                raise InvalidOutcome(f"an unexpected {frame.kind[:40]!r} frame")
        if self._writer.over:
            self._running.stop("output")
        await self._writer.room()


def _uncounted(frame: Frame) -> int:
    """Of what a child sent, that which no event is made of: it counts as output, so that nobody can
    send it without end.
    """
    if frame.kind == "outcome":  # once, and with a bound of its own
        return 0
    header_bytes = (
        0
        if frame.kind == "display"
        else max(0, frame.size_bytes - len(frame.body) - _USUAL_HEADER_BYTES)
    )
    return header_bytes + (0 if frame.kind == "stream" else len(frame.body))


def _progress(header: dict[str, Any]) -> dict[str, Any]:
    fraction, text = header.get("fraction"), header.get("text", "")
    if not isinstance(fraction, (int, float, type(None))) or not isinstance(text, str):
        raise InvalidOutcome("a progress frame that is none")
    return {"fraction": fraction, "text": text[:1000]}
