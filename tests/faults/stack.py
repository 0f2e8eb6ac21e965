"""The real stack as processes, with a way to harm each of them: PostgreSQL, Valkey, gateways,
workers, and a proxy on every way between.

Nothing in it is made for tests: the programs, settings and addresses are an operator's. Faults come
from outside: signals, proxies, restarts, rows locked by somebody else (`row_locks`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
import psutil
import redis

from mecapy_jupyter import wire
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.task import resumed_events

from ..outside import leader_in
from ..ports import free_port
from . import history
from .database import Database
from .processes import WITHIN_S, Process, answers
from .proxy import Loop, Proxy
from .services import Services
from .task import Task, comes_again

T = TypeVar("T")
TOKEN = "token-of-the-faults"
LEASE_S = 4.0
"""Eight heartbeats: a busy machine alone makes no worker miss them."""


class Stack:
    """Open it with `with`. `folder` must be a short path: sockets lie in it. `cluster`: as of
    `Services`.
    """

    def __init__(self, folder: Path, cluster: Path | None = None, **settings: str) -> None:
        self.folder, self.loop = folder, Loop()
        self.settings = {
            "LEASE_S": str(LEASE_S),
            "HEARTBEAT_S": "0.5",
            "GRACE_S": "0.3",
            "WORKER_SLOTS": "2",
            "PRELOAD": "",
        } | settings
        self.environment: dict[str, str] = {}
        """Of every process from now on, beside its settings."""
        self.processes: list[Process] = []
        self._numbers = itertools.count()
        self.tasks: list[Task] = []
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.scratch.chmod(0o711)
        self.blobs = folder / "blobs"
        self.services = Services(folder, cluster)
        self._database = Database(self.services.sql_url)
        self.sql(history.TRIGGER)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                offspring = list[psutil.Process]()
                with contextlib.suppress(psutil.Error):
                    offspring = process.offspring()
                process.popen.send_signal(signal.SIGCONT)
                process.popen.kill()
                process.popen.wait()
                psutil.wait_procs(offspring, timeout=60)
            process.postgres.close()
            process.redis.close()
        self.loop.run(self._database.hang_up())
        self.loop.close()
        self.services.stop()

    # Processes

    def gateway(
        self, port: int = 0, *, environment: Mapping[str, str] | None = None, **settings: str
    ) -> Process:
        port = port or free_port()
        cli = (sys.executable, "-m", "mecapy_jupyter.cli")
        arguments = (*cli, "gateway", "--host", "127.0.0.1", "--port", str(port))
        process = self._process(
            "gateway",
            arguments,
            {"MECAPY_TOKEN": TOKEN, "MECAPY_DRAIN_S": "0", **(environment or {})},
            settings,
            port,
        )
        self.until(
            lambda: process.popen.poll() is not None or answers(process.url), "the gateway answers"
        )
        assert process.popen.poll() is None, process.said()
        return process

    def worker(self, *, environment: Mapping[str, str] | None = None, **settings: str) -> Process:
        """A worker that takes tasks when this returns."""
        more = {"TMPDIR": str(self.scratch), **(environment or {})}
        process = self._process(
            "worker", (sys.executable, "-m", "mecapy_worker.main"), more, settings
        )
        alive = f"SELECT count(*) FROM workers WHERE id LIKE '%-{process.pid}-%'"
        self.until(
            lambda: process.popen.poll() is not None or self.sql(alive)[0][0], "the worker is known"
        )
        assert process.popen.poll() is None, process.said()
        return process

    def _process(
        self,
        name: str,
        arguments: tuple[str, ...],
        more: dict[str, str],
        settings: dict[str, str],
        port: int = 0,
    ) -> Process:
        folder = self.folder / f"{name[0]}{next(self._numbers)}"
        folder.mkdir()
        sql, cache = self.services.postgres, self.services.valkey
        assert sql.socket and cache.socket
        known = {
            "DATABASE_URL": self.services.sql_url.replace(
                quote(str(sql.socket.parent)), quote(str(folder))
            ),
            "REDIS_URL": cache.url.replace(
                quote(str(cache.socket)), quote(str(folder / "vk.sock"))
            ),
            "BLOB_URL": f"file://{self.blobs}",
            "SANDBOX": "best-effort",
        }
        ours = {f"MECAPY_{key}": value for key, value in (known | self.settings | settings).items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MECAPY_")}
        process = Process(
            name,
            arguments,
            kept | ours | self.environment | more,
            folder / "log",
            Proxy(self.loop, sql.socket, folder / ".s.PGSQL.5432"),
            Proxy(self.loop, cache.socket, folder / "vk.sock"),
            port,
        )
        self.processes.append(process)
        return process.start()

    def end(self, process: Process) -> None:
        """In order, with all it has."""
        if process.popen.poll() is None:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGTERM)
            process.ended()
        process.postgres.close()
        process.redis.close()
        self.processes.remove(process)

    @contextmanager
    def redis(self) -> Generator[Any]:
        """Past all proxies."""
        with cast(Any, redis.Redis).from_url(self.services.valkey.url) as connection:
            yield connection

    # What an operator sees

    def sql(self, statement: str, *arguments: object) -> list[Any]:
        """Past all proxies. Without arguments there may be several statements."""
        return self.loop.run(self._database.execute(statement, arguments))

    # What a client does

    def http(self, gateway: Process | None = None) -> httpx.Client:
        return httpx.Client(
            base_url=(gateway or self._usual()).url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
            verify=False,  # takes 40 ms to prepare, and nothing here is HTTPS
        )

    def _usual(self) -> Process:
        return self.of("gateway")[0]

    def client(self, url: str = "") -> Client:
        """What a script or notebook has in its hands; close it with `shutdown`."""
        return Client(url or self._usual().url, TOKEN)

    def of(self, name: str) -> list[Process]:
        return [one for one in self.processes if one.name == name and one.popen.poll() is None]

    def submit(
        self,
        code: str,
        result: object = None,
        state: str = "completed",
        *,
        key: str = "",
        to: Process | None = None,
        **more: Any,
    ) -> Task:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        with self.http(to) as http:
            answer = comes_again(
                lambda: http.post("/tasks", json={"code": code} | more, headers=headers)
            )
        assert answer.status_code == 201, answer.text
        return self.owed(Task(answer.json()["task_id"], result, state))

    def submit_again(self, task_id: str) -> Task:
        """What was submitted once, as anybody may who has the task's id."""
        with self.http() as http:
            body = comes_again(lambda: http.get(f"/tasks/{task_id}/request")).json()
            answer = comes_again(lambda: http.post("/tasks", json=body))
            assert answer.status_code == 201, answer.text
            first = comes_again(lambda: http.get(f"/tasks/{task_id}")).json()
        return self.owed(Task(answer.json()["task_id"], first["result"]))

    def owed(self, task: Task) -> Task:
        """From now on `check` asks for it."""
        self.tasks.append(task)
        return task

    def events(self, task: Task, url: str = "") -> Generator[wire.Event]:
        """As a notebook reads them: from the start to the final one, over as many connections as it
        takes.
        """
        gateway = Gateway(url or self._usual().url, TOKEN)
        try:
            yield from resumed_events(gateway, task.id)
        finally:
            gateway.close()

    def row(self, task: Task) -> Any:
        return self.sql("SELECT * FROM tasks WHERE id = $1", task.id)[0]

    def worker_of(self, task: Task) -> Process:
        pid = int(str(self.row(task)["worker"]).split("-")[-2])
        return next(one for one in self.of("worker") if one.pid == pid)

    def until_running(self, task: Task, saying: str = "") -> Process:
        """Until its code runs, which prints something; the worker it is on."""
        with contextlib.closing(self.events(task)) as told:
            text = ""  # an event may end in the middle of a line
            next(
                event
                for event in told
                if event.type == wire.STDOUT and saying in (text := text + str(event.data["text"]))
            )
        return self.worker_of(task)

    def pid_of(self, task: Task) -> int:
        """The process of a running task, which prints `pid`; its folder, too."""
        with contextlib.closing(self.events(task)) as told:
            text = ""
            for event in told:
                text += str(event.data["text"]) if event.type == wire.STDOUT else ""
                if found := re.findall(r"pid (.+)\n", text):
                    return leader_in(found[-1])
        raise AssertionError("it ended without a word")

    def until(self, true: Callable[[], T], what: str, within_s: float = WITHIN_S) -> T:
        """Ask until the answer is yes. The time is a guard against hanging, not a measure."""
        until = time.monotonic() + within_s
        while not (answer := true()):
            assert time.monotonic() < until, f"not within {within_s:.0f} s: {what}\n{self.logs()}"
            time.sleep(0.02)
        return answer

    def final(self, task: Task) -> Any:
        """Its row, once it is at its end."""
        return self.until(
            lambda: row if (row := self.row(task))["state"] in history.FINAL else None,
            f"the end of {task.id}",
        )

    def logs(self) -> str:
        return "\n".join(
            f"--- {one.name} {one.pid}\n{one.said()[-1500:]}" for one in self.processes
        )
