"""A real stack, run as a user runs it: `mecapy up` as a process, met through its output and `mecapy
status --json`.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_jupyter.stack import embedded
from mecapy_jupyter.wire import FINAL, Json, JsonObject, TaskPage, TaskStatus
from mecapy_jupyter.wire.json_fields import as_object
from mecapy_jupyter.wire.stack import ComponentState, StackStatus

UP_S = 240.0
T = TypeVar("T")


def until(look: Callable[[], T | None], within_s: float = 240.0) -> T:
    """What `look` says once it says anything true; the last answer fails the test."""
    end = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"not within {within_s} s: {seen!r}"
        time.sleep(0.02)


def environment(**more: str) -> dict[str, str]:
    """Nothing preloaded: these tests are about processes, not about numpy."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MECAPY_")}
    return mine | {"MECAPY_PRELOAD": "", "PYTHONWARNINGS": "default"} | more


@dataclass
class Stack:
    data: Path
    process: subprocess.Popen[bytes]
    url: str = ""
    token: str = ""

    @classmethod
    def up(cls, data: Path, *options: str, launcher: tuple[str, ...] = (), **environ: str) -> Stack:
        """Started, and serving."""
        stack = cls(data, start(data, *options, launcher=launcher, **environ))
        try:
            stack.url, stack.token = stack.line("URL"), stack.line("token")
        except BaseException:
            stack.process.kill()
            raise
        return stack

    def line(self, word: str, within_s: float = UP_S) -> str:
        """The rest of the next line that starts with `word`."""
        assert self.process.stdout
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            end = time.monotonic() + within_s
            while ready.select(max(0.0, end - time.monotonic())):
                line = self.process.stdout.readline().decode()
                if line.startswith(word):
                    return line.removeprefix(word).strip()
                if not line:
                    assert self.process.stderr
                    raise AssertionError(f"the stack ended: {self.process.stderr.read().decode()}")
        raise AssertionError(f"no line {word!r} within {within_s} s")

    def status(self) -> StackStatus:
        return embedded.status(self.data)

    def part(self, name: str) -> ComponentState:
        return next(part for part in self.status().components if part.name == name)

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to the stack, the supervisor included."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def settings(self) -> dict[str, str]:
        """What an operator would give to another gateway or worker of this stack."""
        mine = psutil.Process(self.part("gateway").process.pid).environ()
        return {name: value for name, value in mine.items() if name.startswith("MECAPY_")}

    def gateway(self) -> Gateway:
        return Gateway(self.url, self.token)

    def runs_a_task(self, code: str = "6 * 7") -> Json:
        """The result of a task sent now."""
        task_id = self.submit(code)
        return until(lambda: self.final(task_id), 240).result

    def submit(self, code: str, **more: Json) -> str:
        """Its id."""
        body: JsonObject = {"code": code} | more
        answer = self.gateway().post("/tasks", body, key=os.urandom(8).hex())
        return str(as_object(answer)["task_id"])

    def task(self, task_id: str) -> TaskStatus:
        return TaskStatus.from_json(as_object(self.gateway().get(f"/tasks/{task_id}")))

    def tasks(self) -> tuple[TaskStatus, ...]:
        """The newest first."""
        return TaskPage.from_json(as_object(self.gateway().get("/tasks"))).tasks

    def final(self, task_id: str) -> TaskStatus | None:
        """None while it is not at its end."""
        return task if (task := self.task(task_id)).status in FINAL else None

    def down(self) -> None:
        embedded.down(self.data)
        self.close()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        finally:
            self.process.kill()
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe:
                    pipe.close()


def start(
    data: Path, *options: str, launcher: tuple[str, ...] = (), **environ: str
) -> subprocess.Popen[bytes]:
    argv = (*launcher, *mecapy_command("up", "--data", str(data), *options))
    return subprocess.Popen(
        argv,
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**{"MECAPY_WORKERS": "1"} | environ),
        cwd="/",
    )
