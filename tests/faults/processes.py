"""A gateway or a worker as a process of its own, with its ways to the services."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from .proxy import Proxy

WITHIN_S = 240.0


@dataclass(eq=False)
class Process:
    """One gateway or worker, with its own ways to PostgreSQL and Redis (and to the object store,
    where that is S3).
    """

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    postgres: Proxy
    redis: Proxy
    port: int = 0
    popen: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> Process:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.arguments,
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9. Returns when it is gone."""
        assert self.popen.poll() is None, (
            f"{self.name} had died before it was killed: {self.said()[-3000:]}"
        )
        self.popen.kill()
        self.popen.wait()

    def ended(self, within_s: float = WITHIN_S) -> int:
        return self.popen.wait(within_s)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def offspring(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def zygote(self) -> psutil.Process:
        return next(
            one
            for one in psutil.Process(self.pid).children()
            if any("zygote" in word for word in one.cmdline())
        )

    def children(self) -> list[psutil.Process]:
        """The zygote's: each leads a group. The helper that makes their PID namespaces does not."""
        return [one for one in self.zygote().children() if os.getpgid(one.pid) == one.pid]


def answers(url: str) -> bool:
    """Whether a gateway takes requests."""
    try:
        return httpx.get(f"{url}/healthz", timeout=20, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


def gone(pid: int, within_s: float = WITHIN_S) -> bool:
    """Whether a process ends within a time. Polls, for nobody tells the death of a stranger's
    child.
    """
    until = time.monotonic() + within_s
    while psutil.pid_exists(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
