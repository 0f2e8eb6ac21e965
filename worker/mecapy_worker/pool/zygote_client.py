"""The worker's end of the zygote: starts it, asks it for children, hears of their ends, and cleans
up when it dies.

The worker itself never forks: it has threads and secrets. `pool` owns one of these at a time; the
other end is `zygote`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from mecapy_worker.shared import libc
from mecapy_worker.shared.frames import AsyncChannel, Frame, FrameError

log = logging.getLogger(__name__)

# By -c: a spawned helper of the task then imports no main module. -I takes no PYTHONPATH, so that
# is given by hand. The namespaces' helper is forked before anything else is imported, for it is to
# be small.
_START = """import sys; sys.path += sys.argv[2:]
from mecapy_worker.sandbox.pid_namespaces import PidNamespaces
namespaces = PidNamespaces()
from mecapy_worker.zygote.zygote import main
main(namespaces)"""
_PASSED_ON = (
    "TZ",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
)
_START_WITHIN_S = 60.0
_ANSWER_WITHIN_S = (
    30.0  # most take a millisecond; the end of a child that held very much memory takes seconds
)

Ending = dict[str, Any]
"""How a child ended: {"code": n} or {"signal": n}, and "lost": True when it was not its own doing
but the zygote's death.
"""


class ZygoteFailed(RuntimeError):
    """The zygote could not start, or died while it was needed."""


class ZygoteClient:
    """One zygote process. Make it with `start`; `dead` is set once it is gone and so is every child
    it had.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: AsyncChannel) -> None:
        self.process = process
        self.about: dict[str, Any] = {}
        self.dead = asyncio.Event()
        self._channel = channel
        self._forked: dict[str, asyncio.Future[int]] = {}
        self._endings: dict[str, asyncio.Future[Ending]] = {}
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, start: dict[str, Any], enclose: Callable[[int], None]) -> ZygoteClient:
        """`enclose`: gets the zygote's pid before it has forked anything, to put it where all its
        children shall be.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = (
                sys.executable,
                "-I",
                "-c",
                _START,
                str(theirs.fileno()),
                *start["python_path"],
            )
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment(Path(start["shared"])),
                cwd=start["shared"],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        zygote = cls(process, AsyncChannel(ours))
        try:
            enclose(process.pid)
            async with asyncio.timeout(_START_WITHIN_S):
                await zygote._greet(start)
        except BaseException:
            await zygote.close()
            raise
        zygote._listener = asyncio.create_task(zygote._listen())
        return zygote

    async def _greet(self, start: dict[str, Any]) -> None:
        await self._channel.send("start", start)
        answer = await self._channel.receive()
        if answer is None or answer.kind != "up":
            raise ZygoteFailed(
                "the zygote did not start: "
                + (answer.header.get("error", "") if answer else "it ended without a word")
            )
        self.about = answer.header

    async def fork(
        self, name: str, module: str, root: Path, uid: int | None, fds: tuple[int, ...]
    ) -> int:
        """Ask for a child; its pid. `fds`: its channel, stdout and stderr. ZygoteFailed: there is
        none, this time or any more (`dead`).
        """
        loop = asyncio.get_running_loop()
        if self.dead.is_set():
            raise ZygoteFailed("the zygote is gone")
        forked = self._forked[name] = loop.create_future()
        self._endings[name] = loop.create_future()
        async with self._answer_due():
            await self._tell(
                "fork", {"id": name, "module": module, "root": str(root), "uid": uid}, fds
            )
            return await forked
        raise ZygoteFailed("the zygote did not answer")

    async def ended(self, name: str) -> Ending:
        """Wait until a child and all it started are dead and reaped."""
        return await asyncio.shield(self._endings[name])

    def has_ended(self, name: str) -> bool:
        return name not in self._endings or self._endings[name].done()

    def forget(self, name: str) -> None:
        self._endings.pop(name, None)

    async def kill(self, name: str) -> Ending:
        """End a child and everything it started."""
        if name not in self._endings:
            return {}  # never born
        async with self._answer_due():
            if not self._endings[name].done():
                await self._tell("kill", {"id": name})
            return await self.ended(name)
        return await self.ended(name)

    def kill_now(self, name: str, group: int) -> None:
        """The same from here, where it does not wait for a zygote among a thousand processes that
        want its processor.
        """
        if not self.dead.is_set() and not self.has_ended(name):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)

    async def signal(self, name: str, number: int) -> None:
        await self._tell("signal", {"id": name, "number": number})

    @contextlib.asynccontextmanager
    async def _answer_due(self) -> AsyncGenerator[None]:
        """A zygote that does not answer, stopped for instance, is ended: nobody shall wait for it
        for ever.
        """
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                yield
        except TimeoutError:
            log.error("the zygote has not answered within %d s; ending it", _ANSWER_WITHIN_S)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def _tell(self, kind: str, header: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it is dead; the listener answers everybody who waits
            await self._channel.send(kind, header, fds=fds)

    async def _listen(self) -> None:
        try:
            while (frame := await self._channel.receive()) is not None:
                self._hear(frame)
        except FrameError:
            pass
        finally:
            await asyncio.shield(self._on_zygote_exit())

    def _hear(self, frame: Frame) -> None:
        name = frame.header["id"]
        if (
            frame.kind == "forked"
            and (forked := self._forked.pop(name, None))
            and not forked.done()
        ):
            forked.set_result(frame.header["pid"])
        elif frame.kind == "fork_failed" and (forked := self._forked.pop(name, None)):
            if (ending := self._endings.pop(name, None)) and not ending.done():
                ending.set_result({})  # for who gave up on its birth and waits for its end
            if not forked.done():
                forked.set_exception(
                    ZygoteFailed(f"no child could be forked: {frame.header['error']}")
                )
        elif frame.kind == "exit" and (ending := self._endings.get(name)) and not ending.done():
            ending.set_result(
                {key: frame.header[key] for key in ("code", "signal") if key in frame.header}
            )

    async def _on_zygote_exit(self) -> None:
        """The zygote is gone. Its children's first processes died with it; end what those had
        started, then tell who waits.
        """
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.to_thread(end_session, self.process.pid)
        await self.process.wait()
        self.dead.set()
        for forked in self._forked.values():
            if not forked.done():
                forked.set_exception(ZygoteFailed("the zygote died"))
        for ending in self._endings.values():
            if not ending.done():
                ending.set_result({"signal": int(signal.SIGKILL), "lost": True})

    async def close(self) -> None:
        """End the zygote and all its children."""
        with contextlib.suppress(OSError):
            self._channel.sock.shutdown(
                socket.SHUT_WR
            )  # it ends its children and itself, and the listener hears the end
        if self._listener is None:
            await self._on_zygote_exit()
        else:
            await asyncio.wait({self._listener}, timeout=5)
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        self._channel.close()


def environment(home: Path) -> dict[str, str]:
    """All a zygote gets: nothing of the worker's environment but what concerns time zone, language
    and threads.
    """
    chosen = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "LANG": "C.UTF-8",
        **chosen,
        "PATH": os.pathsep.join(
            (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")
        ),
        "HOME": str(home),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MALLOC_ARENA_MAX": "2",  # or threads eat the address space
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # macOS
    }


def end_session(session: int, within_s: float = 2.0) -> None:
    """Kill every process of a session until none is left. Children cannot leave the zygote's:
    seccomp pretends `setsid`.
    """
    for _ in range(int(within_s / 0.005)):
        left = [
            pid
            for pid, (_group, its_session, state) in processes().items()
            if its_session == session and state != "Z"
        ]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def processes() -> dict[int, tuple[int, int, str]]:
    """Process group, session and state of every process, by pid; empty where there is no /proc."""
    found: dict[int, tuple[int, int, str]] = {}
    for pid in libc.pids():
        with contextlib.suppress(OSError):
            state, _parent, group, session, *_ = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
            found[pid] = (int(group), int(session), state)
    return found
