"""The worker's end of the zygote: starts it, requests children, receives their ends, and cleans up
when it dies. The worker itself never forks, because it has threads and secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mecapy_worker.pool import zygote_process
from mecapy_worker.shared.channel import AsyncChannel
from mecapy_worker.shared.frames import FrameError
from mecapy_worker.shared.message_codec import message_of, read
from mecapy_worker.shared.messages import ExitStatus, Message
from mecapy_worker.shared.zygote_messages import (
    ChildExited,
    ChildForked,
    ForkChild,
    ForkFailed,
    KillChild,
    SignalChild,
    StartZygote,
    ZygoteBroken,
    ZygoteReady,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

# With -c, so that a helper process of the task imports no main module. -I ignores PYTHONPATH, so
# the path is an argument. The namespaces' helper is forked before other imports, to be small.
_START = """import sys; sys.path += sys.argv[2:]
from mecapy_worker.sandbox.pid_namespaces import PidNamespaces
namespaces = PidNamespaces()
from mecapy_worker.zygote.zygote import main
main(namespaces)"""
START_WITHIN_S = 120.0
# most take a millisecond; the end of a child that held very much memory takes seconds
_ANSWER_WITHIN_S = 30.0
_REPLIES: dict[str, type[Message]] = {
    one.tag: one for one in (ChildForked, ForkFailed, ChildExited)
}


class ZygoteFailed(RuntimeError):
    """The zygote could not start, or died while it was needed."""


class ZygoteClient:
    """One zygote process, created with `start`. `dead` is set once it and all its children are
    gone.
    """

    info: ZygoteReady

    def __init__(self, process: asyncio.subprocess.Process, channel: AsyncChannel) -> None:
        self.process = process
        self.dead = asyncio.Event()
        self._channel = channel
        self._forks: dict[str, asyncio.Future[int]] = {}
        self._exits: dict[str, asyncio.Future[ExitStatus]] = {}
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, start: StartZygote, on_process_started: Callable[[int], bool]
    ) -> ZygoteClient:
        """`on_process_started` gets the zygote's pid before its first fork, to place it in a
        control group; it returns whether each child's memory is counted there.
        """
        worker_end, zygote_end = socket.socketpair()
        with zygote_end:
            command = (
                sys.executable,
                "-I",
                "-c",
                _START,
                str(zygote_end.fileno()),
                *start.python_path,
            )
            process = await asyncio.create_subprocess_exec(
                *command,
                env=zygote_process.environment(Path(start.shared)),
                cwd=start.shared,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(zygote_end.fileno(),),
                start_new_session=True,
            )
        client = cls(process, AsyncChannel(worker_end))
        try:
            counted = on_process_started(process.pid)
            try:
                async with asyncio.timeout(START_WITHIN_S):
                    client.info = await client._handshake(replace(start, memory_counted=counted))
            except TimeoutError:
                raise TimeoutError(
                    f"the zygote did not start within {START_WITHIN_S:.0f} s; see whether this "
                    "machine is overloaded"
                ) from None
        except BaseException:
            await client.close()
            raise
        client._listener = asyncio.create_task(client._listen())
        return client

    async def _handshake(self, start: StartZygote) -> ZygoteReady:
        await self._channel.send(start)
        answer = await self._channel.receive()
        if answer is None:
            raise ZygoteFailed("the zygote did not start: it ended without an error message")
        if answer.kind == ZygoteBroken.tag:
            error = read(ZygoteBroken, answer.header).error
            reason = error.strip().rpartition("\n")[2]  # first: a terminal shows the beginning
            raise ZygoteFailed(f"the zygote did not start: {reason}\n{error}")
        return read(ZygoteReady, answer.header)

    async def fork(self, request: ForkChild, fds: tuple[int, ...]) -> int:
        """Request a child; returns its pid. `fds`: its channel, stdout and stderr. ZygoteFailed:
        impossible this time, or for good (`dead`).
        """
        loop = asyncio.get_running_loop()
        if self.dead.is_set():
            raise ZygoteFailed("the zygote is gone")
        forked = self._forks[request.id] = loop.create_future()
        self._exits[request.id] = loop.create_future()
        async with self._answer_due():
            await self._send(request, fds)
            return await forked
        raise ZygoteFailed("the zygote did not answer")

    async def wait(self, id: str) -> ExitStatus:
        """Wait until a child and all it started are dead and reaped."""
        return await asyncio.shield(self._exits[id])

    def has_exited(self, id: str) -> bool:
        return id not in self._exits or self._exits[id].done()

    def forget(self, id: str) -> None:
        self._exits.pop(id, None)

    async def kill(self, id: str) -> ExitStatus:
        """End a child and everything it started."""
        if id not in self._exits:
            return ExitStatus()  # never forked
        async with self._answer_due():
            if not self._exits[id].done():
                await self._send(KillChild(id))
            return await self.wait(id)
        return await self.wait(id)

    def kill_group(self, id: str, group: int) -> None:
        """Kill from here, because a zygote among a thousand busy processes would be slow."""
        if not self.dead.is_set() and not self.has_exited(id):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)

    async def send_signal(self, id: str, number: int) -> None:
        await self._send(SignalChild(id, int(number)))

    @contextlib.asynccontextmanager
    async def _answer_due(self) -> AsyncGenerator[None]:
        """End a zygote that does not answer, for instance because it was stopped."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                yield
        except TimeoutError:
            log.error("the zygote has not answered within %d s; ending it", _ANSWER_WITHIN_S)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def _send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        # if it is dead, the listener answers everybody who waits
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._channel.send(message, fds=fds)

    async def _listen(self) -> None:
        try:
            while (frame := await self._channel.receive()) is not None:
                self._on_reply(message_of(frame, _REPLIES))
        except FrameError:
            pass
        finally:
            await asyncio.shield(self._on_zygote_exit())

    def _on_reply(self, message: Message) -> None:
        match message:
            case ChildForked(id, pid):
                _resolve(self._forks.pop(id, None), pid)
            case ForkFailed(id, error):
                # for a caller that gave up on the fork and waits for its end
                _resolve(self._exits.pop(id, None), ExitStatus())
                _fail(self._forks.pop(id, None), f"no child could be forked: {error}")
            case ChildExited(id, code, number):
                _resolve(self._exits.get(id), ExitStatus(code, number))
            case _:
                pass

    async def _on_zygote_exit(self) -> None:
        """Its children's first processes died with it: end their offspring, then notify waiting
        callers.
        """
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.to_thread(zygote_process.end_session, self.process.pid)
        await self.process.wait()
        self.dead.set()
        for forked in self._forks.values():
            _fail(forked, "the zygote died")
        for exited in self._exits.values():
            _resolve(exited, ExitStatus(signal=int(signal.SIGKILL), lost=True))

    async def close(self) -> None:
        """End the zygote and all its children."""
        with contextlib.suppress(OSError):
            # it ends its children and itself, and the listener gets the end
            self._channel.sock.shutdown(socket.SHUT_WR)
        if self._listener is None:
            await self._on_zygote_exit()
        else:
            await asyncio.wait({self._listener}, timeout=5)
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        self._channel.close()


def _resolve(future: asyncio.Future[T] | None, value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[int] | None, why: str) -> None:
    if future is not None and not future.done():
        future.set_exception(ZygoteFailed(why))
