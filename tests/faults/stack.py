"""The real stack as processes, with a way to harm each of them: PostgreSQL, Valkey, gateways,
workers, and a proxy on every way between.

Nothing in it is made for tests: the programs, settings and addresses are an operator's. Faults come
from outside (signals, proxies, rows locked by somebody else, restarts). `check` says whether the
promises held for every task a test has submitted.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import httpx
import psutil
import redis

from mecapy_backend.migrations import upgrade
from mecapy_backend.queue import keys
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_jupyter import wire
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.task import resumed_events

from ..outside import leader_in
from ..ports import free_port
from . import history
from .proxy import Loop, Proxy

T = TypeVar("T")
TOKEN = "token-of-the-faults"
WITHIN_S = 120.0
LEASE_S = 4.0
"""Eight heartbeats: a busy machine alone makes no worker miss them."""


@dataclass(frozen=True, slots=True)
class Task:
    """A submitted task, and what must come of it."""

    id: str
    result: Any = None
    state: str = "completed"


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


class Stack:
    """Open it with `with`. `folder` must be a short path: sockets lie in it. `cluster`: files of a
    PostgreSQL that it begins with a copy of; new ones are made in seconds, for they are waited for
    until they are on the disk.
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
        if cluster:
            subprocess.run(["cp", "-a", str(cluster), str(folder / "pg")], check=True)
        self.postgres = Postgres.start(folder / "pg")
        self.valkey = Valkey.start(folder / "vk")
        self.sql_url = self.postgres.url
        upgrade(self.sql_url)
        self._sql: asyncpg.Connection[Any] | None = None
        self.sql(history.TRIGGER)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                with contextlib.suppress(psutil.Error):
                    offspring = process.offspring()
                process.popen.send_signal(signal.SIGCONT)
                process.popen.kill()
                process.popen.wait()
                psutil.wait_procs(offspring, timeout=60)
            process.postgres.close()
            process.redis.close()
        if self._sql is not None:
            self.loop.run(self._hang_up())
        self.loop.close()
        self.valkey.stop()
        self.postgres.stop()

    # Processes

    def gateway(
        self, port: int = 0, *, environment: Mapping[str, str] | None = None, **settings: str
    ) -> Process:
        port = port or free_port()
        arguments = (
            sys.executable,
            "-m",
            "mecapy_jupyter.cli",
            "gateway",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        )
        process = self._process(
            "gateway",
            arguments,
            {"MECAPY_TOKEN": TOKEN, "MECAPY_DRAIN_S": "0", **(environment or {})},
            settings,
            port,
        )
        self.until(
            lambda: process.popen.poll() is not None or _answers(process.url), "the gateway answers"
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
        assert self.postgres.socket and self.valkey.socket
        there = folder / ".s.PGSQL.5432"
        postgres = Proxy(self.loop, self.postgres.socket, there)
        cache = Proxy(self.loop, self.valkey.socket, folder / "vk.sock")
        known = {
            "DATABASE_URL": self.sql_url.replace(
                quote(str(self.postgres.socket.parent)), quote(str(folder))
            ),
            "REDIS_URL": self.valkey.url.replace(
                quote(str(self.valkey.socket)), quote(str(folder / "vk.sock"))
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
            postgres,
            cache,
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

    def restart_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop_postgres(how)
        self.start_postgres()

    def stop_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once but in order. SIGQUIT: as if it had crashed."""
        os.kill(self.postgres.pid, how)
        self.postgres.stop()

    def start_postgres(self) -> None:
        self.postgres = Postgres.start(self.folder / "pg")
        assert self.postgres.url == self.sql_url

    def restart_valkey(self) -> None:
        """It keeps nothing on disk: all it had is lost."""
        self.stop_valkey()
        self.start_valkey()

    def start_valkey(self) -> None:
        self.valkey = Valkey.start(self.folder / "vk")

    def stop_valkey(self) -> None:
        os.kill(self.valkey.pid, signal.SIGKILL)
        self.valkey.stop()

    @contextmanager
    def redis(self) -> Generator[Any]:
        """Past all proxies."""
        with redis.Redis.from_url(self.valkey.url) as connection:
            yield connection

    # What an operator sees

    def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Past all proxies. Without arguments there may be several statements."""
        return self.loop.run(self._execute(statement, arguments))

    async def _execute(self, statement: str, arguments: tuple[Any, ...]) -> list[Any]:
        for last in (False, True):
            try:
                if self._sql is None:
                    self._sql = await asyncpg.connect(self.sql_url)
                if ";" in statement:
                    await self._sql.execute(statement)
                    return []
                return await self._sql.fetch(statement, *arguments)
            except (
                OSError,
                asyncpg.InterfaceError,
                asyncpg.PostgresConnectionError,
                asyncpg.OperatorInterventionError,
            ):
                if self._sql is not None:
                    self._sql.terminate()
                self._sql = None
                if last:
                    raise
        raise AssertionError

    async def _hang_up(self) -> None:
        assert self._sql is not None
        self._sql.terminate()

    @contextmanager
    def locked(self, task: Task) -> Generator[None]:
        """The task's row is held by somebody else: whoever wants to change it waits."""
        holding = self._holding(task.id)
        self.loop.run(holding.__aenter__())
        try:
            yield
        finally:
            self.loop.run(holding.__aexit__(None, None, None))

    @asynccontextmanager
    async def _holding(self, task_id: str) -> AsyncGenerator[None]:
        connection = await asyncpg.connect(self.sql_url)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE", task_id)
        yield
        await transaction.rollback()
        await connection.close()

    def waiting_for_rows(self, like: str = "") -> int:
        """How many statements wait for a row that is locked; of those that say `like`."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query "
            "LIKE '%UPDATE tasks%' || $1 || '%'"
        )
        return int(self.sql(waiting, like)[0][0])

    def submit_held(self, code: str, result: Any = None, state: str = "completed") -> Task:
        """A task that no worker asks for before `asked_to_start`."""
        for worker in self.of("worker"):
            worker.signal(signal.SIGSTOP)
        return self.submit(code, result, state)

    @contextmanager
    def asked_to_start(self, task: Task) -> Generator[None]:
        """A worker has taken the task out of the queue, and its `start` waits for the row as long
        as the block lasts.
        """
        with self.locked(task):
            for worker in self.of("worker"):
                worker.signal(signal.SIGCONT)
            self.until(self.waiting_for_rows, "a worker asks to start it")
            yield

    def forget_waiting(self) -> None:
        """Statements that wait for a row never ran: PostgreSQL would run those of a dead client."""
        waiting = "pg_stat_activity WHERE wait_event_type = 'Lock'"
        self.sql(f"SELECT pg_terminate_backend(pid) FROM {waiting}")

    # What a client does

    def http(self, gateway: Process | None = None, **more: Any) -> httpx.Client:
        url = (gateway or self._usual()).url
        return httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, **({"timeout": 60} | more)
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
        result: Any = None,
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
                if event.type == wire.STDOUT and saying in (text := text + event.data["text"])
            )
        return self.worker_of(task)

    def pid_of(self, task: Task) -> int:
        """Of a running task that prints `pid`, and its folder."""
        with contextlib.closing(self.events(task)) as told:
            text = ""
            for event in told:
                text += event.data["text"] if event.type == wire.STDOUT else ""
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

    # What must be true

    def check(self) -> None:
        """Every task submitted until now: one end, the right result, a legal life, a stream that
        ends once; and no more is owed.
        """
        for task in self.tasks:
            row = self.final(task)
            assert row["state"] == task.state, (task, row["outcome"], self.logs())
            with self.http() as http:
                if task.state == "completed":
                    answer = comes_again(lambda at=f"/tasks/{task.id}/result": http.get(at))
                    assert answer.json()["result"] == task.result
                answer = comes_again(lambda at=f"/tasks/{task.id}": http.get(at))
                assert answer.json()["status"] == task.state
            seen = list(self.events(task))
            assert [event.type in wire.FINAL for event in seen] == [False] * (len(seen) - 1) + [
                True
            ], seen
        steps = (
            "SELECT was, now, was_attempt, attempt, changed_outcome FROM history WHERE task = "
            "$1 ORDER BY n"
        )
        for task in self.tasks:
            history.check([history.Step(*row) for row in self.sql(steps, task.id)])
        self.tasks.clear()
        self.until(lambda: not self.left_behind(), "nothing is left behind")

    def settle(self) -> None:
        """After a test: every way is open again, and what it has submitted is checked. A failure is
        this test's alone.
        """
        for process in self.processes:
            process.postgres.mode("pass")
            process.redis.mode("pass")
        try:
            self.check()
        finally:
            self.tasks.clear()

    def left_behind(self) -> list[str]:
        """What nobody needs any more once every task is at its end: processes, folders, keys, and
        what waits in the queue.
        """
        left = list[str]()
        workers = self.of("worker")
        for worker in workers:
            with contextlib.suppress(StopIteration, psutil.Error, ProcessLookupError):
                zygote = worker.zygote()
                idle = int(worker.environment["MECAPY_WORKER_SLOTS"]) + 1
                below = [
                    (one.pid, os.getpgid(one.pid) == zygote.pid)
                    for one in zygote.children(recursive=True)
                ]
                left += [f"process {pid}" for pid, _ in [one for one in below if not one[1]][idle:]]
                # The namespaces' helper, the init of each idle child, and the next one.
                left += [
                    f"process {pid}" for pid, _ in [one for one in below if one[1]][idle + 2 :]
                ]
        children = listed(self.scratch, "mecapy-worker-*/pool-*/child-*")
        most = sum(int(worker.environment["MECAPY_WORKER_SLOTS"]) + 1 for worker in workers)
        alive = [path for path in children if not _abandoned(path.parent)]
        left += [str(path) for path in alive[most:]]
        if workers:
            left += map(str, listed(self.scratch, "mecapy-worker-*/logs/*.log"))
        with self.redis() as connection:
            lanes: Any = connection.smembers(f"{keys.QUEUE}:lanes")
            for lane in map(bytes.decode, lanes):
                left += [f"queued {name!r}" for name, _ in connection.zscan_iter(lane)]
                left += [
                    f"in line {name!r}" for name, _ in connection.hscan_iter(f"{lane}:waiting")
                ]
            left += [
                f"for ever {key!r}"
                for key in connection.scan_iter("mecapy:events:*")
                if connection.ttl(key) == -1
            ]
        return left


def listed(folder: Path, pattern: str) -> list[Path]:
    """What there is of this pattern. `Path.glob` fails when a folder vanishes meanwhile."""
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    return [folder / name for name in found]


def _abandoned(folder: Path) -> bool:
    """Of a pool that is no more; the next one to start sweeps it."""
    import fcntl

    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return True


def comes_again(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """As clients do it: 503 says to come again. A machine that is too busy brings it about."""
    until = time.monotonic() + WITHIN_S
    while (answer := ask()).status_code == 503 and time.monotonic() < until:
        time.sleep(float(answer.headers["Retry-After"]) / 5)
    return answer


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=20).status_code == 200
    except httpx.HTTPError:
        return False


def gone(pid: int, within_s: float = 60.0) -> bool:
    """Whether a process ends within a time. Polls, for nobody tells the death of a stranger's
    child.
    """
    until = time.monotonic() + within_s
    while psutil.pid_exists(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
