"""A running child's frames, one by one, into the journal, until the child has given its word, died, or was stopped.

It may not record anything about the task. `jobs` calls it; `journal` takes the events, `outcome` what comes at the end.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mecapy_jupyter import wire

from . import outcome
from .context import Hold
from .frames import Frame, FrameError
from .journal import Journal
from .outcome import Ended, Garbage, Word
from .pool import Child

GRACE_S = {"timeout": 0.5, "cancel": 0.4}
"""Between SIGINT and SIGKILL: time for the cell to stop where it is, and for what it has computed to come home."""


class Relay:
    """One child's life after it got its task."""

    def __init__(self, child: Child, hold: Hold, journal: Journal) -> None:
        self._child, self._hold, self._journal = child, hold, journal
        self._word: Word | None = None
        self._exit: dict[str, Any] | None = None
        self._limit = self._garbage = ""

    async def run(self, timeout_s: float) -> Ended:
        """Returns when the child has given its word and left no files, which needs no waiting for its death; or else when it,
        and everything it started, is dead: files must not change any more, and who stops a task waits for it to be gone."""
        since = time.monotonic()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(timeout_s))
            try:
                async for frame in self._child.frames():
                    await self._take(frame)
                    if self._word and not self._word.buffers and not self._hold.reason:
                        for printed in self._child.printed():
                            await self._take(printed)
                        break
            except (FrameError, Garbage, RecursionError, ValueError, TypeError) as error:
                self._garbage = str(error) or type(error).__name__
            seconds = time.monotonic() - since
            watch.cancel()
        if not self._word or self._word.buffers or self._hold.reason:
            await self._child.kill()
        return Ended(self._word, self._hold.reason, self._limit, self._exit, self._garbage, seconds, timeout_s)

    async def _watch(self, timeout_s: float) -> None:
        """Stop the child when its time is up or somebody wants it stopped."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._hold.stopped.wait()
        except TimeoutError:
            self._hold.stop("timeout")
        if grace_s := GRACE_S.get(self._hold.reason):
            await self._child.interrupt()
            await asyncio.sleep(grace_s)
        await self._child.kill()

    async def _take(self, frame: Frame) -> None:
        header = frame.header
        match frame.kind:
            case "stream" if header.get("name") in (wire.STDOUT, wire.STDERR):
                self._journal.text(header["name"], frame.body)
            case "display" if header.get("kind") in ("display_data", "update_display_data", "execute_result", "clear_output"):
                self._journal.display(header)
            case "progress":
                self._journal.add(wire.PROGRESS, _progress(header))
            case "usage":
                self._journal.add(wire.USAGE, header)
            case "limit":
                self._limit = str(header.get("kind", "something"))
            case "outcome" if self._word is None:
                self._word = outcome.read(header, frame.body)
                if self._word.buffers:
                    await self._child.kill()  # what it printed until now still comes, then the exit
            case "garbage":
                raise Garbage(str(header.get("detail", "no frame")))
            case "exit":
                self._exit = header
            case _:
                raise Garbage(f"an unexpected {frame.kind[:40]!r} frame")
        if self._journal.over:
            self._hold.stop("output")
        await self._journal.room()


def _progress(header: dict[str, Any]) -> dict[str, Any]:
    fraction, text = header.get("fraction"), header.get("text", "")
    if not isinstance(fraction, (int, float, type(None))) or not isinstance(text, str):
        raise Garbage("a progress frame that is none")
    return {"fraction": fraction, "text": text[:1000]}
