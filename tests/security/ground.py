"""What hostile code is let loose on: a real gateway, a real worker in strict mode with two slots,
and a neighbour's task in one of them.

The worker is a process of its own, run by root or by a user who may nothing; PostgreSQL and Redis
are reached over TCP ports, as they are in a deployment, and the worker's settings hold canaries.
The attacker's tasks come one after the other through the API.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

import mecapy_worker
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import driver_url
from mecapy_jupyter.client.http import Gateway

from ..conftest import TOKEN, served
from ..faults.proxy import Loop, Proxy

T = TypeVar("T")
# Before anything of the worker's own is imported: whoever opens a pickle in it ends with an error.
# The zygote is another program.
FORBID = """
import pickle, _pickle
def refuse(*_, **__): raise AssertionError('a pickle was opened in the worker')
pickle.load = pickle.loads = pickle.Unpickler = refuse
_pickle.load = _pickle.loads = _pickle.Unpickler = refuse
print('pickles cannot be opened here', flush=True)
from mecapy_jupyter.cli import main; main()
"""
NOBODY = 65534
CANARY = "canary-7d1f0a"  # begins every secret of the worker but the password of the database
LIMIT_S = 240.0
REPOSITORY = Path(mecapy_worker.__file__).parents[2]

# Runs until a file `stop` appears in its folder, and says at its end whether anything of its own
# was touched.
NEIGHBOUR = """
import os, signal, time
heard = []
for number in set(signal.Signals) - {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGUSR1}:
    signal.signal(number, lambda number, frame: heard.append(number))
open('mine', 'w').write('of the neighbour')
open('/dev/shm/mine', 'w').write('of the neighbour')
print('pid', os.getpid())
ticks = 0
while not os.path.exists('stop'):
    ticks += 1
    open('ticks', 'w').write(str(ticks))
    time.sleep(0.05)
niceness, nofile = os.getpriority(os.PRIO_PROCESS, 0), __import__('resource').getrlimit(7)[0] > 100
[heard, open('mine').read(), open('/dev/shm/mine').read(), sorted(os.listdir('.')), niceness,
 nofile]
"""


def until(look: Callable[[], T], within_s: float = LIMIT_S) -> T:
    """What `look` says once it says anything true."""
    end = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {within_s} s: {seen!r}"
        time.sleep(0.02)
    return seen


@dataclass
class Ground:
    """One worker and all around it. `ports`: PostgreSQL's and Redis's."""

    gateway: Gateway
    worker: psutil.Process
    ports: tuple[int, int]
    folder: Path
    passwords: tuple[str, ...]
    neighbour: str = ""

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        """The task, once it is final."""
        task_id = self.submit(code, **more)
        return until(lambda: self.final(task_id))

    def submit(self, code: str, **more: Any) -> str:
        return self.gateway.post("/tasks", {"code": code} | more, key=os.urandom(8).hex())[
            "task_id"
        ]

    def final(self, task_id: str) -> dict[str, Any] | None:
        task = self.gateway.get(f"/tasks/{task_id}")
        return task if task["status"] in ("completed", "failed", "cancelled") else None

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    @property
    def zygote(self) -> psutil.Process:
        """The worker's first child that leads a session; a later one may have imported ahead for
        somebody. What removes a folder nobody may read is its child for a moment, too.
        """
        leaders = [child for child in self.worker.children() if os.getsid(child.pid) == child.pid]
        zygote = min(leaders, key=lambda leader: leader.create_time())
        return zygote

    def move_in(self) -> None:
        """The neighbour's task begins, and runs while everything else happens."""
        self.neighbour = self.submit(NEIGHBOUR, timeout=3000)
        until(self._neighbour)

    def _neighbour(self) -> psutil.Process | None:
        for child in self.zygote.children():
            with suppress(OSError):  # another one that ends just now
                if (self.folder_of(child.pid) / "ticks").exists():
                    return child
        return None

    @staticmethod
    def folder_of(pid: int) -> Path:
        return Path(f"/proc/{pid}/cwd").readlink()

    def neighbour_pid(self) -> int:
        found = self._neighbour()
        assert found, "the neighbour is gone"
        return found.pid

    def unharmed(self) -> None:
        """The next task is served by the same worker, and the neighbour's task runs on."""
        ticks = self.folder_of(self.neighbour_pid()) / "ticks"
        before = ticks.stat().st_mtime_ns
        assert self.run("6 * 7")["result"] == 42
        until(lambda: ticks.stat().st_mtime_ns > before)
        assert (
            self.worker.is_running()
            and self.gateway.get(f"/tasks/{self.neighbour}")["attempts"] == 1
        )

    def move_out(self) -> None:
        """The neighbour ends, and says that nothing of its own was touched."""
        (self.folder_of(self.neighbour_pid()) / "stop").touch()
        task = until(lambda: self.final(self.neighbour))
        assert task["status"] == "completed", task
        assert task["result"] == [
            [],
            "of the neighbour",
            "of the neighbour",
            ["mine", "stop", "ticks"],
            os.getpriority(os.PRIO_PROCESS, 0),  # the worker's, which is ours
            True,
        ]


@contextmanager
def ground(database_url: str, valkey: Any, uid: int, **more: str) -> Iterator[Ground]:
    """A worker of that user, with the neighbour in it."""
    with ExitStack() as stack:
        folder = Path(
            "/tmp", f"mecapy-ground-{os.getpid()}-{uid}"
        )  # others may pass through, as they may not through pytest's
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        blobs = folder / "blobs"
        blobs.mkdir(parents=True)
        loop = Loop()
        stack.callback(loop.close)
        store, redis = (
            Proxy(loop, place) for place in (_socket_of(database_url), Path(valkey.socket))
        )
        stack.callback(store.close)
        stack.callback(redis.close)
        name, password = (lambda url: (url.database, url.password))(driver_url(database_url))
        redis_url = (
            f"redis://{urlsplit(valkey.url).netloc}127.0.0.1:{redis.port}/{11 if uid else 12}"
        )
        environment = {
            "MECAPY_DATABASE_URL": f"postgresql://postgres:{password}@127.0.0.1:{store.port}/{name}",
            "MECAPY_REDIS_URL": redis_url,
            "MECAPY_BLOB_URL": f"file://{blobs}",
            "MECAPY_TOKEN": f"{CANARY}-token",
            "AWS_SECRET_ACCESS_KEY": f"{CANARY}-store",
            "MECAPY_SANDBOX": "strict",
            "MECAPY_WORKER_SLOTS": "2",
            "MECAPY_PRELOAD": "",
            "MECAPY_GRACE_S": "1",
            "MECAPY_MAX_MEMORY_BYTES": str(400_000_000),
            "MECAPY_MAX_DISK_BYTES": str(50_000_000),
            "MECAPY_MAX_OUTPUT_BYTES": str(5_000_000),
        } | more
        settings = Settings(  # pyright: ignore[reportCallIssue]
            database_url=database_url,
            redis_url=redis_url,
            blob_url=f"file://{blobs}",
            token=SecretStr(TOKEN),
        )
        gateway = stack.enter_context(served(settings))
        os.chown(folder, uid, uid)
        os.chown(blobs, uid, uid)
        process = stack.enter_context(worker(folder, uid, environment))
        client = Gateway(gateway.url, gateway.token)
        stack.callback(client.close)
        until(lambda: process.poll() is not None or client.get("/workers"))
        assert process.poll() is None, (folder / "worker.log").read_text()
        here = Ground(
            client,
            psutil.Process(process.pid),
            (store.port, redis.port),
            folder,
            (str(password), str(urlsplit(valkey.url).password)),
        )
        here.move_in()
        yield here
        here.move_out()


@contextmanager
def worker(
    folder: Path, uid: int, environment: dict[str, str], *launcher: str, by: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`mecapy worker` as that user runs it; what it says goes to `worker.log` in the folder. `by`:
    whom the launcher is started by, where it then becomes that user itself.
    """
    python, more = (sys.executable, {}) if uid == 0 else public_python(folder)
    tmp = folder / "tmp"
    tmp.mkdir(exist_ok=True)
    tmp.chmod(0o1777)
    env = (
        {"PATH": os.defpath, "TMPDIR": str(tmp), "PYTHONDONTWRITEBYTECODE": "1"}
        | more
        | environment
    )
    command = [*launcher, python, "-c", FORBID, "worker"]
    with (folder / "worker.log").open("wb") as log:
        user = uid if by is None else by
        started = subprocess.Popen(
            command,
            env=env,
            stdout=log,
            stderr=log,
            cwd="/",
            user=user,
            group=user,
            extra_groups=[],
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(120)
        finally:
            started.kill()


def public_python(folder: Path) -> tuple[str, dict[str, str]]:
    """A Python of our version that any user may run, and what makes it find our packages: a copy
    where ours lies in root's own folder.
    """
    home = folder / "python"
    without = shutil.ignore_patterns(
        "__pycache__",
        "site-packages",
        "test",
        "tests",
        "idlelib",
        "ensurepip",
        "*.a",
        "share",
        "include",
    )
    shutil.copytree(sys.base_prefix, home, ignore=without, symlinks=True)
    packages = [
        path
        for path in map(Path, sys.path)
        if path.is_dir() and not path.is_relative_to(sys.base_prefix)
    ]
    search = [*packages, REPOSITORY, REPOSITORY / "backend", REPOSITORY / "worker"]
    return str(home / "bin" / f"python3.{sys.version_info.minor}"), {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, search))),
        "LD_LIBRARY_PATH": str(home / "lib"),
    }


def _socket_of(database_url: str) -> Path:
    return Path(str(driver_url(database_url).query["host"]), ".s.PGSQL.5432")
