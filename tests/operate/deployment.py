"""A deployment as an operator runs it, to replace its parts one after the other under load: two
gateways behind HAProxy, workers, a Redis of its own, PostgreSQL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Valkey

from ..conftest import TOKEN
from ..ports import free_port
from ..stack.running import until
from ..stack.test_doctor import process, said_by_environment
from .conftest import listens, program, running

MECAPY = (sys.executable, "-P", "-m", "mecapy_jupyter.cli")
NAMES = ("a", "b")
HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  option http-server-close
  option redispatch
  retries 5
  retry-on conn-failure
frontend figures
  bind 127.0.0.1:{figures}
  stats enable
  stats uri /
frontend all
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  option httpchk GET /readyz
  default-server check inter 200ms fall 2 rise 1
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""


@dataclass
class Load:
    """Requests without a pause, each on a connection of its own: three send tasks, one waits for
    the result of each. What failed, and the longest of a stage. As every client does it comes
    again where the answer is 503 with Retry-After: a machine that is too busy for its PostgreSQL
    brings that about, and no replacement may.
    """

    url: str
    failed: list[str] = field(default_factory=list[str])
    tasks: list[str] = field(default_factory=list[str])
    stage: str = ""
    results: int = 0
    again: int = 0
    request_s: float = 0.0
    result_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        done = threading.Event()
        asking = [*[self._submit] * 3, self._run]
        threads = [threading.Thread(target=self._repeat, args=(ask, done)) for ask in asking]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join(240)

    def _repeat(self, ask: Callable[[], None], done: threading.Event) -> None:
        while not done.wait(0.05):
            began = time.monotonic()
            try:
                ask()
            except httpx.HTTPError as failed:
                answer = getattr(getattr(failed, "response", None), "text", "")
                after_s = time.monotonic() - began
                self.failed.append(f"{self.stage}, {after_s:.2f} s: {failed!r} {answer}")

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": uuid.uuid4().hex}
        began = time.monotonic()
        try:
            while True:
                with httpx.Client(base_url=self.url, headers=headers, timeout=60) as http:
                    answer = http.request(method, path, **more)
                if answer.status_code != 503 or "Retry-After" not in answer.headers:
                    return answer.raise_for_status()
                self.again += 1
                time.sleep(float(answer.headers["Retry-After"]))
        finally:
            self.request_s = max(self.request_s, time.monotonic() - began)

    def _submit(self) -> str:
        made = self._request("POST", "/tasks", json={"code": "6 * 7"}).json()
        self.tasks.append(made["task_id"])
        self._request("GET", f"/tasks/{made['task_id']}")
        return str(made["task_id"])

    def _run(self) -> None:
        began = time.monotonic()
        path = f"/tasks/{self._submit()}"
        while (task := self._request("GET", path).json())["status"] in ("queued", "running"):
            time.sleep(0.05)
        if task["result"] != 42:
            self.failed.append(f"not the result: {task}")
        self.results += 1
        self.result_s = max(self.result_s, time.monotonic() - began)


@dataclass
class Deployment:
    """Open it with `with`; its parts end with it. `release`: what processes started from now on
    run; {}: this one.
    """

    settings: Settings
    folder: Path
    release: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self._ports = {name: free_port() for name in NAMES}
        self._port, self._figures = free_port(), free_port()
        self.load = Load(f"http://127.0.0.1:{self._port}")
        self.log = self.folder / "log"
        self._all = ExitStack()
        self._gateways = dict[str, ExitStack]()
        self._workers = list[tuple[ExitStack, int]]()

    def __enter__(self) -> Deployment:
        with self._all:
            self._redis = Valkey.start(self.folder / "v")
            self._all.callback(lambda: self._redis.stop())
            self.settings = self.settings.model_copy(update={"redis_url": self._redis.url})
            subprocess.run((*MECAPY, "migrate"), env=self.environment, check=True, cwd="/")
            for name in NAMES:
                self._start_gateway(name)
            (config := self.folder / "haproxy").write_text(
                HAPROXY.format(port=self._port, figures=self._figures, **self._ports)
            )
            self._all.enter_context(running(program("haproxy"), "-f", str(config), log=self.log))
            until(lambda: listens(self._port) and all(map(self.up, NAMES)), 240)
            for _ in range(2):
                self._start_worker()
            self._all = self._all.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    @property
    def environment(self) -> dict[str, str]:
        # Longer than two questions of the balancer take on a machine that is busy.
        drain = {"MECAPY_DRAIN_S": "10"}
        return said_by_environment(self.settings) | drain | self.release

    def up(self, name: str) -> bool:
        """Whether the balancer sends requests to this gateway."""
        said = httpx.get(f"http://127.0.0.1:{self._figures}/;csv", timeout=60).text
        lines = [line for line in said.splitlines() if line.startswith(f"gateways,{name},")]
        return any(",UP," in line for line in lines)

    def ready(self, name: str) -> bool:
        try:
            url = f"http://127.0.0.1:{self._ports[name]}/readyz"
            return httpx.get(url, timeout=60).status_code == 200
        except httpx.HTTPError:
            return False

    def _start_gateway(self, name: str) -> None:
        opened = self._all.enter_context(ExitStack())
        argv = (*MECAPY, "gateway", "--port", str(self._ports[name]))
        opened.enter_context(process(*argv, env=self.environment, log=self.log))
        until(lambda: self.ready(name), 240)
        self._gateways[name] = opened

    def _start_worker(self) -> None:
        opened = self._all.enter_context(ExitStack())
        argv = (*MECAPY, "worker")
        started = opened.enter_context(process(*argv, env=self.environment, log=self.log))
        self._workers.append((opened, started.pid))
        until(lambda: self._lives(started.pid), 240)

    def _lives(self, worker: int) -> bool:
        """As its heartbeat says."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        found = httpx.get(f"{self.load.url}/workers", headers=headers, timeout=60).json()
        return any(f"-{worker}-" in one["id"] for one in found)

    # What happens to it

    def replace_gateways(self) -> None:
        """One after the other, each when the balancer has the one before."""
        for name in NAMES:
            self._gateways[name].close()
            self._start_gateway(name)
            until(lambda name=name: self.up(name), 240)

    def replace_workers(self) -> None:
        """The next is there before one goes."""
        for opened, _ in list(self._workers):
            self._start_worker()
            opened.close()
        del self._workers[:2]

    def kill_a_worker(self) -> None:
        """With what it runs; another comes."""
        opened, pid = self._workers.pop(0)
        os.kill(pid, signal.SIGKILL)
        opened.close()
        self._start_worker()

    def restart_redis(self) -> None:
        """Without an order to end, and away for seconds; what it had is lost."""
        os.kill(self._redis.pid, signal.SIGKILL)
        self._redis.stop()
        time.sleep(3)
        self._redis = Valkey.start(self.folder / "v")

    def empty_redis(self) -> None:
        with redis.Redis.from_url(self._redis.url) as connection:
            connection.flushall()
