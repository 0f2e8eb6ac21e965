"""The worker's handle of one child: its frames, its output, its end.

All a child says arrives here bounded and in order, and is never believed beyond what it says about
its own task.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from mecapy_worker.pool.usage import Usage
from mecapy_worker.pool.zygote_client import Ending, ZygoteClient
from mecapy_worker.shared import crash_line
from mecapy_worker.shared.frames import AsyncChannel, Frame, FrameError, ready

_QUEUED_FRAMES = 64
_CHUNK_BYTES = 64 * 1024
_LARGE_BYTES = 2 * 1024 * 1024  # of such frames one waits at a time
_PRINTED_CHUNKS = 64
_SAYS = frozenset(
    {"stream", "display", "progress", "stopped", "outcome"}
)  # the other kinds of `frames` are ours
_LARGE = frozenset({"display", "outcome"})
_DRAIN_WITHIN_S = 2.0  # after all its processes are dead, what it had said is still read


class ChildHandle:
    """A confined process that waits for one task. `folder` is its working directory, `outbox` where
    it leaves large results, `egress_socket` our end of its way out, where the deployment
    allows hosts.
    """

    def __init__(
        self,
        zygote: ZygoteClient,
        name: str,
        root: Path,
        ends: tuple[socket.socket, int, int],
        max_body_bytes: int,
        egress_socket: socket.socket | None = None,
    ) -> None:
        self.name = name
        self.root = root
        self.folder = root / "work"
        self.outbox = root / "outbox"
        self.egress_socket = egress_socket
        self.pid = 0
        self.applied: tuple[str, ...] = ()
        self.missing: dict[str, str] = {}
        self._zygote = zygote
        sock, self._out, self._err = ends
        self._channel = AsyncChannel(sock, max_body_bytes, _LARGE)
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(_QUEUED_FRAMES)
        self._large = asyncio.Semaphore(1)
        self._limit: Frame | None = None
        self._pump: asyncio.Task[None] | None = None
        self._last: tuple[float, float] | None = None

    async def wait_ready(self) -> None:
        """Until it is confined and warm. ChildFailed when it dies before."""
        frame = await self._channel.receive()
        if frame is None or frame.kind != "ready":
            os.set_blocking(self._err, False)
            raise ChildFailed("a child died before it was ready: " + await _drained(self._err))
        self.applied, self.missing = tuple(frame.header["applied"]), dict(frame.header["missing"])

    @property
    def alive(self) -> bool:
        return not self._zygote.dead.is_set() and not self._zygote.has_ended(self.name)

    async def send(
        self,
        kind: str,
        header: dict[str, Any] | None = None,
        body: bytes = b"",
        fds: Sequence[int] = (),
    ) -> None:
        """Send it a frame. When it is dead this is silent: `frames` then ends with its exit."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._channel.send(kind, header, body, fds)

    async def receive(self) -> Frame | None:
        """The next frame of the child alone, without output and watch (for the probe)."""
        return await self._channel.receive()

    async def frames(self) -> AsyncIterator[Frame]:
        """All it says until its end: its frames, `stream`, `usage`, `invalid` (no frame), `limit`
        (why it was stopped), and last `exit`.
        """
        if self._pump is None:
            self._pump = asyncio.create_task(self._run_pump())
        while True:
            frame = await self._frames.get()
            yield frame
            if frame.size_bytes > _LARGE_BYTES:
                self._large.release()
            if frame.kind == "exit":
                return

    def printed(self) -> list[Frame]:
        """What native code and subprocesses have written by now and `frames` has not yielded yet.
        Ends `frames`.
        """
        if self._pump is not None:
            self._pump.cancel()
        left = [self._frames.get_nowait() for _ in range(self._frames.qsize())]
        for fd, name in ((self._out, "stdout"), (self._err, "stderr")):
            with contextlib.suppress(BlockingIOError):
                for _ in range(_PRINTED_CHUNKS):  # a process it left behind may print on and on
                    if not (chunk := os.read(fd, _CHUNK_BYTES)):
                        break
                    left.append(
                        Frame("stream", {"name": name}, chunk.decode(errors="replace").encode())
                    )
        return [frame for frame in left if frame.kind == "stream"]

    async def interrupt(self) -> None:
        """As Ctrl-C does: SIGINT to the child itself."""
        await self._zygote.signal(self.name, signal.SIGINT)

    async def terminate(self) -> None:
        """SIGTERM to the child itself: the last word to code that does not hear the interrupt."""
        await self._zygote.signal(self.name, signal.SIGTERM)

    async def locate(self) -> None:
        """Let it say where its code stands, as far as it can."""
        await self._zygote.signal(self.name, crash_line.ASK)

    async def kill(self) -> Ending:
        """When this returns, the child and all it started are dead and reaped."""
        return await self._zygote.kill(self.name)

    def observe(self, usage: Usage, now: float, *, report: bool) -> None:
        """A look of the watch. Reported when there is room: a reader that is behind misses a usage,
        not a frame.
        """
        if report and not self._frames.full():
            then, cpu_s = self._last or (now, usage.cpu_s)
            percent = (
                round(100 * max(0.0, usage.cpu_s - cpu_s) / (now - then), 1) if now > then else None
            )
            header = {
                "cpu_percent": percent,
                "memory_bytes": usage.memory_bytes,
                "cpu_s": usage.cpu_s,
            }
            self._frames.put_nowait(
                Frame(
                    "usage", header | {"processes": usage.processes, "disk_bytes": usage.disk_bytes}
                )
            )
        if report or self._last is None:
            self._last = (now, usage.cpu_s)

    async def stop(self, kind: str, used: int, allowed: int) -> None:
        """End it for a limit; `frames` says so before the exit."""
        self._limit = self._limit or Frame(
            "limit", {"kind": kind, "used": used, "allowed": allowed}
        )
        if kind == "processes":  # a fork bomb is not asked, and leaves the zygote no time to do it
            self._zygote.kill_now(self.name, self.pid)
        else:
            await self.locate()
            await crash_line.answered(self.outbox)
        await self.kill()

    async def close(self) -> None:
        """Let go of its ends. It must be dead."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._channel.close()
        if self.egress_socket is not None:
            self.egress_socket.close()
        os.close(self._out)
        os.close(self._err)
        self._zygote.forget(self.name)

    async def _run_pump(self) -> None:
        readers = [
            asyncio.create_task(reader)
            for reader in (
                self._read_frames(),
                self._read_output(self._out, "stdout"),
                self._read_output(self._err, "stderr"),
            )
        ]
        try:
            ending = await self._zygote.ended(self.name)
            await self._drain(readers)
            if self._limit:
                await self._frames.put(self._limit)
            await self._frames.put(Frame("exit", ending))
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _drain(self, readers: list[asyncio.Task[None]]) -> None:
        """Let the readers reach the end. Cut off only a pipe that does not close, never a slow
        consumer of `frames`.
        """
        while (await asyncio.wait(readers, timeout=_DRAIN_WITHIN_S))[1]:
            if not self._frames.full() and not self._large.locked():
                return

    async def _read_frames(self) -> None:
        try:
            while (frame := await self._channel.receive()) is not None:
                if frame.kind not in _SAYS:
                    raise FrameError(f"a child may not say {frame.kind[:40]!r}")
                if frame.size_bytes > _LARGE_BYTES:
                    await self._large.acquire()
                await self._frames.put(frame)
        except FrameError as error:
            await self._frames.put(Frame("invalid", {"detail": str(error)}))
            await self.kill()

    async def _read_output(self, fd: int, name: str) -> None:
        """What native code and subprocesses write to the descriptor itself."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while chunk := await _read(fd):
            if text := decoder.decode(chunk):
                await self._frames.put(Frame("stream", {"name": name}, text.encode()))


class ChildFailed(RuntimeError):
    """A child could not be made ready."""


async def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            await ready(fd)


async def _drained(fd: int) -> str:
    text = b""
    while len(text) < _CHUNK_BYTES and (chunk := await _read(fd)):
        text += chunk
    return text.decode(errors="replace")
