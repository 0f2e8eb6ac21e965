"""One component of a stack: a process that is restarted when it ends, with regular health checks.
Knows nothing of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mecapy_backend.stack import state
from mecapy_backend.stack.programs import Program
from mecapy_jupyter.shared.data_dir import log_tail
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.processes import process_id
from mecapy_jupyter.wire.stack import ComponentState, ProcessId

_QUICK_S = 10.0  # a process that ends sooner is in a crash loop
_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_HOPELESS = 4  # how many ends in a row without an answer
_LOOK_S, _LOOK_AGAIN_S = 0.03, 2.0
_LOG_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run one component. `build` may block; `answers` is given the pid."""

    name: str
    build: Callable[[], Program]
    answers: Callable[[int], Awaitable[bool]]
    address: str
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    sockets: tuple[int, ...] = ()
    stop_s: float = 15.0


class Component:
    """Keeps one process running from `run` until `stop`. `changed` is called when its pid or health
    changes.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.plan = plan
        self.process = ProcessId()
        self._say, self._changed = say, changed
        self._answers, self._stopping = asyncio.Event(), asyncio.Event()
        self._given_up = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._program: Program | None = None
        self._ends, self._why = 0, ""

    @property
    def healthy(self) -> bool:
        return self._answers.is_set()

    def described(self) -> ComponentState:
        return ComponentState(self.plan.name, self.process, self.plan.address, self.healthy)

    async def ready(self, within_s: float) -> None:
        """Returns when it answers. Raises `StackError` with the end of its log if it does not, or
        stops at every start.
        """
        answers = asyncio.create_task(self._answers.wait())
        given_up = asyncio.create_task(self._given_up.wait())
        try:
            await asyncio.wait(
                {answers, given_up}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            answers.cancel()
            given_up.cancel()
        if not self._answers.is_set():
            what = (
                f"ends at every start ({self._why})"
                if self._given_up.is_set()
                else f"does not answer within {within_s:.0f} s"
            )
            raise StackError(f"{self.plan.name} {what}. {log_tail(self.plan.log)}")

    async def run(self) -> None:
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                how = await self._once()
            except (OSError, StackError, subprocess.SubprocessError) as broken:
                how = str(broken)
            self._why = how
            self._forget()
            if self._stopping.is_set():
                return
            lasted = asyncio.get_running_loop().time() - began > _QUICK_S
            self._ends = 1 if lasted else self._ends + 1
            if self._ends >= _HOPELESS:
                self._given_up.set()
            pause_s = _BACKOFF_S[min(self._ends - 1, len(_BACKOFF_S) - 1)]
            self._say(
                f"{self.plan.name} {how}; starting it again"
                + (f" in {pause_s:g} s (log: {self.plan.log})" if pause_s >= 1 else "")
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def stop(self) -> None:
        """Stops it gracefully, or kills it; its session is gone when this returns."""
        self._stopping.set()
        process = self._process
        if process and self._program and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self._program.stop)
            try:
                await asyncio.wait_for(process.wait(), self.plan.stop_s)
            except TimeoutError:
                self._say(f"{self.plan.name} does not end; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self.process.pid:
            await asyncio.to_thread(state.end_session, self.process)

    def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def _once(self) -> str:
        """One life of the process; says how it ended."""
        self._program = await asyncio.to_thread(self.plan.build)
        if self._stopping.is_set():
            return "was not needed"
        state.bounded(self.plan.log, _LOG_BYTES)
        with self.plan.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._program.launched(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self.plan.environment),
                cwd="/",
                # ctrl-C in the terminal is for the supervisor, which stops them in order
                start_new_session=True,
                pass_fds=self.plan.sockets,
            )
        self._process, self.process = process, process_id(process.pid)
        self._changed()
        await self._feed(process, self._program.text)
        watch = asyncio.create_task(self._watch(process.pid))
        try:
            code = await process.wait()
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        if not self._stopping.is_set():
            await asyncio.to_thread(state.end_session, self.process)
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

    async def _feed(self, process: asyncio.subprocess.Process, text: bytes) -> None:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(text)
            await process.stdin.drain()
        process.stdin.close()

    async def _watch(self, pid: int) -> None:
        while True:
            answers = await self.plan.answers(pid)
            if answers != self._answers.is_set():
                if answers:
                    self._answers.set()
                else:
                    self._answers.clear()
                self._changed()
            state.bounded(self.plan.log, _LOG_BYTES)
            await asyncio.sleep(_LOOK_AGAIN_S if answers else _LOOK_S)

    def _forget(self) -> None:
        self._process = None
        self._answers.clear()
        self._changed()
