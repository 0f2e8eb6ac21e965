"""A way between two processes that a test can cut, hold, or turn into a black hole. Knows no
protocol; `stack` puts them in place.

Every proxy counts what its fault did (`hit`), so that a test can say that the fault really
happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Address = Path | tuple[str, int]
"""A socket in the file system, or host and port."""
Mode = Literal["pass", "cut", "hole", "deaf"]

_CHUNK_BYTES = 64 * 1024


class Loop:
    """An event loop in a thread, for everything in these tests that is asynchronous."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="faults", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], within_s: float = 240.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within_s)

    def close(self) -> None:
        self.run(self._settle())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _settle(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_default_executor()


class Proxy:
    """From one address to another.

    `pass`: bytes go through. `cut`: connections are closed and new ones refused after they were
    made, as by a process that died. `hole`: nothing comes through in either direction and nobody is
    told, as by a cable that was pulled; what came waits and goes on when it passes again. `deaf`:
    the same for the answers alone; what is asked still arrives.
    """

    def __init__(
        self,
        loop: Loop,
        target: Address | Callable[[], Address],
        listen: Path | socket.socket | None = None,
    ) -> None:
        """`target` may be asked for anew for each connection: then this is a balancer."""
        self.hit = 0
        self._loop, self._target, self._listen = loop, target, listen
        self._mode: Mode = "pass"
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()
        self._delay_s = 0.0
        self._ends: set[asyncio.StreamWriter] = set()
        self._server = loop.run(self._start())

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def mode(self, mode: Mode, delay_s: float = 0.0) -> None:
        self._loop.run(self._turn(mode, delay_s))

    def close(self) -> None:
        self._loop.run(self._stop())

    async def _start(self) -> asyncio.Server:
        if isinstance(self._listen, socket.socket):
            return await asyncio.start_server(self._serve, sock=self._listen)
        if self._listen is not None:
            return await asyncio.start_unix_server(self._serve, self._listen)
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _turn(self, mode: Mode, delay_s: float) -> None:
        self._mode, self._delay_s = mode, delay_s
        for event, closed in (
            (self._there, mode == "hole"),
            (self._back, mode in ("hole", "deaf")),
        ):
            event.clear() if closed else event.set()
        if mode == "cut":
            self._drop()

    def _drop(self) -> None:
        for end in tuple(self._ends):
            self.hit += 1
            end.transport.abort()

    async def _stop(self) -> None:
        self._server.close()
        self._drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            if self._mode == "cut":
                self.hit += 1
                return
            await self._passes(self._there)
            target = self._target() if callable(self._target) else self._target
            there, back = await (
                asyncio.open_unix_connection(target)
                if isinstance(target, Path)
                else asyncio.open_connection(*target)
            )
            self._ends.add(back)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, back, self._there))
                    group.create_task(self._carry(there, writer, self._back))
            finally:
                self._ends.discard(back)
                back.transport.abort()
        except (OSError, ExceptionGroup):
            pass
        finally:
            self._ends.discard(writer)
            with contextlib.suppress(OSError):
                writer.transport.abort()

    async def _passes(self, way: asyncio.Event) -> None:
        if not way.is_set():
            self.hit += 1
            await way.wait()
        if self._delay_s:
            self.hit += 1
            await asyncio.sleep(self._delay_s)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: asyncio.Event
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._passes(way)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        raise ConnectionResetError  # one side has closed: so does the other
