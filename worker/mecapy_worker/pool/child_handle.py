"""The worker's handle of one child: frames, output, end. Everything from a child is bounded, in
order, and trusted only about its own task.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from mecapy_worker.pool.child_files import WorkerEnds
from mecapy_worker.pool.child_groups import ChildGroup
from mecapy_worker.pool.earlier_folders import FolderOwner
from mecapy_worker.pool.printed_text import CHUNK_BYTES, PrintedText, read_all, read_chunk
from mecapy_worker.pool.usage import Usage
from mecapy_worker.pool.zygote_client import ZygoteClient
from mecapy_worker.shared import crash_line
from mecapy_worker.shared.channel import AsyncChannel
from mecapy_worker.shared.frames import Frame, FrameError
from mecapy_worker.shared.message_codec import frame_of, read
from mecapy_worker.shared.messages import (
    FROM_CHILD,
    LARGE,
    ChildReady,
    ExitStatus,
    HomeMessage,
    InvalidFrame,
    LimitExceeded,
    Message,
    OutputMessage,
    UsageMessage,
)

_QUEUED_FRAMES = 64
_LARGE_BYTES = 2 * 1024 * 1024  # at most one such frame waits at a time
_PRINTED_CHUNKS = 64
_FRAME_TURNS, _QUICK_TURNS, _TURN_S = 150, 50, 0.002
_DRAIN_WITHIN_S = 2.0  # after its processes are dead, pending output is still read


class ChildHandle:
    """A confined process that waits for one task.

    `folder`: its working directory; `outbox`: its large results; `egress_socket`: our end, if hosts
    are allowed; `layers`: its confinement, once it is ready; `group`: its control group, if there
    is one; `uid`: its user, if it has one; `folder_of`: whose folder it has asked for.
    """

    group: ChildGroup | None = None
    uid: int | None = None
    folder_of: FolderOwner | None = None
    earlier_folder: Callable[[str], Awaitable[bool]]
    """Put an earlier folder of the task's owner, from this notebook's folder, in place of its own.
    """

    def __init__(
        self, zygote: ZygoteClient, root: Path, files: WorkerEnds, max_body_bytes: int
    ) -> None:
        self.id = root.name
        self.root = root
        self.folder = root / "work"
        self.outbox = root / "outbox"
        self.egress_socket = files.egress
        self.fonts = zygote.info.fonts
        self.pid = 0
        self.layers = ChildReady()
        self._zygote = zygote
        self._files = files
        self._channel = AsyncChannel(files.channel, max_body_bytes, LARGE)
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(_QUEUED_FRAMES)
        self._begun = False
        self._printed = {name: PrintedText(self.folder) for name in ("stdout", "stderr")}
        self._large = asyncio.Semaphore(1)
        self._limit: LimitExceeded | None = None
        self._sent = 0
        self._pump: asyncio.Task[None] | None = None
        self.memory_bytes = 0  # when it was looked at last
        self._last_cpu: tuple[float, float] | None = None  # when, and how much it was

    async def wait_ready(self) -> None:
        """Until it is confined and warm. ChildFailed when it dies before."""
        frame = await self._channel.receive()
        if frame is None or frame.kind != ChildReady.tag:
            stderr = await read_all(self._files.stderr)
            raise ChildFailed(f"a child died before it was ready: {stderr}")
        self.layers = read(ChildReady, frame.header)

    @property
    def zygote_pid(self) -> int:
        return self._zygote.process.pid

    @property
    def alive(self) -> bool:
        return not self._zygote.dead.is_set() and not self._zygote.has_exited(self.id)

    async def send(self, message: Message, body: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        """Send it a message. Ignored if it is dead: `frames` then ends with its exit."""
        await self.send_frame(frame_of(message, body, fds))

    async def send_frame(self, frame: Frame) -> None:
        self._sent += 1
        try:
            await self._channel.send_frame(frame)
        except (BrokenPipeError, ConnectionResetError):
            self._channel.unread = True

    @property
    def never_began(self) -> bool:
        """It died before it had read its task: another child may have the task."""
        return self._channel.unread and self._sent == 1

    async def receive(self) -> Frame | None:
        """The next frame of the child alone, without output and limits (for the probe)."""
        return await self._channel.receive()

    async def frames(self) -> AsyncIterator[Frame]:
        """Everything it sends until its end, and what the worker adds: output of its descriptors,
        usage, invalid frames, the limit that stopped it, and its exit last.
        """
        if self._pump is None:
            self._pump = asyncio.create_task(self._run_pump())
        while True:
            frame = await self._frames.get()
            yield frame
            if frame.size_bytes > _LARGE_BYTES:
                self._large.release()
            if frame.kind == ExitStatus.tag:
                return

    def printed(self) -> list[Frame]:
        """Output of native code and subprocesses that `frames` has not yielded yet. Ends
        `frames`.
        """
        if self._pump is not None:
            self._pump.cancel()
        left = [self._frames.get_nowait() for _ in range(self._frames.qsize())]
        for fd, name in ((self._files.stdout, "stdout"), (self._files.stderr, "stderr")):
            with contextlib.suppress(BlockingIOError):
                for _ in range(_PRINTED_CHUNKS):  # a process it left behind may print on and on
                    if not (chunk := os.read(fd, CHUNK_BYTES)):
                        break
                    left.append(_output(name, self._printed[name].read(chunk)))
        left += self._waiting()
        return [frame for frame in left if frame.kind == OutputMessage.tag]

    async def interrupt(self) -> None:
        """Sends SIGINT to the child itself, as Ctrl-C does."""
        await self._zygote.send_signal(self.id, signal.SIGINT)

    async def terminate(self) -> None:
        """SIGTERM to the child itself, for code that does not react to the interrupt."""
        await self._zygote.send_signal(self.id, signal.SIGTERM)

    async def locate(self) -> None:
        """Let it record the current line, if it can."""
        await self._zygote.send_signal(self.id, crash_line.ASK)

    async def kill(self) -> ExitStatus:
        """When this returns, the child and its processes are dead and reaped."""
        return await self._zygote.kill(self.id)

    def observe(self, usage: Usage, now: float, *, report: bool) -> None:
        """A look of the limits. Reported when there is room: a reader that is behind misses a
        usage, not a frame.
        """
        self.memory_bytes = usage.memory_bytes
        if report and not self._frames.full():
            message = UsageMessage(
                usage.cpu_s,
                usage.memory_bytes,
                usage.processes,
                usage.disk_bytes,
                self._cpu_percent(usage, now),
            )
            self._frames.put_nowait(frame_of(message))
        if report or self._last_cpu is None:
            self._last_cpu = (now, usage.cpu_s)

    def _cpu_percent(self, usage: Usage, now: float) -> float | None:
        then, cpu_s = self._last_cpu or (now, usage.cpu_s)
        if now <= then:
            return None
        return round(100 * max(0.0, usage.cpu_s - cpu_s) / (now - then), 1)

    async def stop(self, kind: str, used: int, allowed: int) -> None:
        """End it for a limit; `frames` reports the limit before the exit."""
        self._limit = self._limit or LimitExceeded(kind, used, allowed)
        if kind == "processes":  # kill a fork bomb directly, because it leaves the zygote no time
            self._zygote.kill_group(self.id, self.pid)
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
        self._files.close_output()
        self._zygote.forget(self.id)

    async def _run_pump(self) -> None:
        readers = [
            asyncio.create_task(reader)
            for reader in (
                self._read_frames(),
                self._read_output(self._files.stdout, "stdout"),
                self._read_output(self._files.stderr, "stderr"),
            )
        ]
        try:
            exit_status = await self._zygote.wait(self.id)
            await self._drain(readers)
            if self._limit is None and self.group is not None and self.group.over():
                most = self.group.limit_bytes
                self._limit = LimitExceeded("memory", most, most)
            if self._limit:
                await self._frames.put(frame_of(self._limit))
            await self._frames.put(frame_of(exit_status))
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _drain(self, readers: list[asyncio.Task[None]]) -> None:
        """Let the readers reach the end. Cuts off only a pipe that does not close, and never a slow
        consumer of `frames`.
        """
        while (await asyncio.wait(readers, timeout=_DRAIN_WITHIN_S))[1]:
            if not self._frames.full() and not self._large.locked():
                return

    async def _read_frames(self) -> None:
        try:
            while (frame := await self._channel.receive()) is not None:
                if frame.kind not in FROM_CHILD:
                    raise FrameError(f"a child may not send {frame.kind[:40]!r}")
                if frame.kind == HomeMessage.tag:
                    self._lead_home(read(HomeMessage, frame.header))
                    continue
                for waiting in self._waiting():
                    await self._frames.put(waiting)
                if frame.size_bytes > _LARGE_BYTES:
                    await self._large.acquire()
                await self._frames.put(frame)
        except FrameError as error:
            await self._frames.put(frame_of(InvalidFrame(str(error))))
            await self.kill()

    async def _read_output(self, fd: int, name: str) -> None:
        """What native code and subprocesses write to the descriptor itself."""
        printed = self._printed[name]
        while chunk := await read_chunk(fd, self._earlier_frames):
            if text := printed.read(chunk):
                await self._frames.put(_output(name, text))
        if text := printed.rest():
            await self._frames.put(_output(name, text))

    async def _earlier_frames(self) -> None:
        """Frames that wait were sent before what a descriptor has now: the child sends no more
        until that is read (`child/output`).
        """
        turn = 0
        while self._channel.waits() and turn < _FRAME_TURNS:
            full = self._frames.full()  # who reads them is behind: what is read here would wait too
            turn += not full
            await asyncio.sleep(_TURN_S if full or turn > _QUICK_TURNS else 0)
        await asyncio.sleep(0)

    def _lead_home(self, message: HomeMessage) -> None:
        """Sent once, before the cell begins."""
        if self._begun:
            raise FrameError("a child may say only once that its cell begins")
        self._begun = True
        for printed in self._printed.values():
            printed.lead_home(message)

    def _waiting(self) -> list[Frame]:
        """The beginnings of paths that have not gone on."""
        texts = [(name, printed.rest()) for name, printed in self._printed.items()]
        return [_output(name, text) for name, text in texts if text]


def _output(name: str, text: str) -> Frame:
    return frame_of(OutputMessage(name), text.encode(errors="backslashreplace"))


class ChildFailed(RuntimeError):
    """A child could not be made ready."""
