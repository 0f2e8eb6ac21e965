"""Redis emptied, gone, replaced, full, read-only, slow, out of reach: it is a wake-up, and
everything it had is made good.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis import exceptions

from mecapy_backend.stack import programs
from mecapy_backend.stack.services import Valkey

from ..gate import Gate
from .asking import UP, held, many
from .processes import WITHIN_S, Process
from .stack import Stack
from .task import Task


def every(stack: Stack) -> list[Process]:
    return [*stack.of("gateway"), *stack.of("worker")]


def running(stack: Stack, gate: Gate, count: int = 4) -> list[Task]:
    """So many tasks that are known to run until the gate is opened."""
    tasks = [stack.submit(held(gate, n), n) for n in range(count)]
    for task in tasks:
        stack.until_running(task)
    return tasks


def once(stack: Stack, *tasks: Task) -> None:
    """Each of them was started once."""
    assert {stack.final(task)["attempt"] for task in tasks} == {1}


@pytest.mark.long
def test_redis_flushed(stack: Stack, gate: Gate) -> None:
    """FLUSHALL with 60 tasks queued and 4 running: all end, none was started twice."""
    busy, waiting = running(stack, gate), many(stack, 60)
    with stack.redis() as connection:
        assert connection.zcard("mecapy:queue") + connection.hlen("mecapy:queue:waiting") == 60
        emptied = connection.pipeline()  # at once: what is missing is made good
        emptied.flushall()
        emptied.hlen("mecapy:queue:waiting")
        assert emptied.execute()[-1] == 0
    gate.open()
    once(stack, *busy, *waiting)


def test_redis_replaced_by_an_empty_one(stack: Stack, gate: Gate) -> None:
    """kill -9 of Redis, and another in its place that knows nothing: no worker exits, what waited
    starts, what ran is recorded.
    """
    workers = stack.of("worker")
    busy, waiting = running(stack, gate), many(stack, 10)
    stack.services.restart_valkey()
    with stack.redis() as connection:
        assert not connection.exists(f"mecapy:events:{busy[0].id}")
    gate.open()
    once(stack, *busy, *waiting)
    assert stack.of("worker") == workers


def test_redis_away(stack: Stack, gate: Gate) -> None:
    """Redis away for longer than a lease: tasks are taken, running ones end, no lease is lost, and
    all starts when it is back.
    """
    workers, busy = stack.of("worker"), running(stack, gate)
    stack.services.stop_valkey()
    waiting = [stack.submit(str(n), n) for n in range(5)]
    gate.open()
    once(stack, *busy)
    assert {stack.row(task)["state"] for task in waiting} == {"queued"}
    stack.services.start_valkey()
    once(stack, *waiting)
    assert stack.of("worker") == workers


def held_up(stack: Stack, gate: Gate, busy: list[Task], why: str) -> list[Task]:
    """Tasks that are taken now and wait, while those that run end; the gateway says what is wrong
    with Redis.
    """
    waiting = [stack.submit(str(n), n) for n in range(3)]
    gate.open()
    once(stack, *busy)
    with stack.http() as http:
        stack.until(
            lambda: http.get("/readyz?verbose").json()["parts"]["redis"] == why, f"Redis is {why}"
        )
        assert http.get("/readyz").status_code == 200
    assert {stack.row(task)["state"] for task in waiting} == {"queued"}
    return waiting


def test_redis_full(stack: Stack, gate: Gate) -> None:
    """`maxmemory` reached: tasks are taken and wait, running ones end with their log kept, and with
    room again all go on.
    """
    busy = running(stack, gate)
    with stack.redis() as connection:
        connection.config_set("maxmemory", "1")
        try:
            waiting = held_up(stack, gate, busy, "full")
        finally:
            connection.config_set("maxmemory", "0")
    once(stack, *waiting)
    for task in busy:  # what Redis did not take is in the row's log
        (said,) = [
            event["data"]["text"]
            for event in json.loads(stack.row(task)["log"])
            if event["type"] == "stdout"
        ]
        assert said.startswith("pid ")


def test_redis_read_only(stack: Stack, gate: Gate) -> None:
    """The address leads to a replica (a failover that went wrong): tasks are taken and wait until
    there is a primary.
    """
    busy = running(stack, gate)
    with stack.redis() as connection:
        connection.replicaof("127.0.0.1", "1")
        try:
            waiting = held_up(stack, gate, busy, "read-only")
        finally:
            connection.replicaof("NO", "ONE")
    once(stack, *waiting)


def test_redis_loads(stack: Stack, gate: Gate) -> None:
    """Redis answers LOADING while it reads its data: nobody exits,
    and when it is done all goes on.
    """
    workers, busy = stack.of("worker"), running(stack, gate)
    stack.services.stop_valkey()
    stack.services.valkey = loading(stack.folder / "vk")
    waiting = [stack.submit(str(n), n) for n in range(3)]
    with stack.redis() as connection:
        stack.until(lambda: _loads(connection), "Redis says LOADING")
        gate.open()
        once(stack, *busy)
        connection.config_set("key-load-delay", "0")
        stack.until(lambda: not _loads(connection), "Redis has loaded")
    once(stack, *waiting)
    assert stack.of("worker") == workers


def loading(directory: Path) -> Valkey:
    """A Valkey that reads its data for minutes, as a large one does, until `key-load-delay` is set
    to 0. Returns at once.
    """
    program = programs.valkey(directory, programs.sockets(directory)[0])
    assert program.socket
    folder = f"dir {directory}\n".encode()
    with (
        _started(program, folder + b"enable-debug-command yes\n") as full,
        cast(Any, redis.Redis).from_url(program.url) as connection,
    ):
        while not _answers(connection):
            time.sleep(0.01)
        connection.execute_command("DEBUG", "POPULATE", "10000", "filler")
        connection.save()
        full.kill()
    return Valkey(
        program,
        _started(
            program, folder + b"key-load-delay 10000\nloading-process-events-interval-bytes 1024\n"
        ),
        None,
    )


def _started(program: programs.Program, more: bytes) -> subprocess.Popen[bytes]:
    argv = program.launched(with_parent=False)
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
    )
    assert process.stdin
    process.stdin.write(program.text + more)
    process.stdin.close()
    return process


def _answers(connection: Any) -> bool:
    try:
        return bool(connection.ping())
    except exceptions.ConnectionError:
        return False


def _loads(connection: Any) -> bool:
    try:
        connection.get("anything")
    except exceptions.BusyLoadingError:
        return True
    except exceptions.ConnectionError:
        return False
    return False


@pytest.mark.long
def test_redis_slow(stack: Stack) -> None:
    """200 ms for every command: slower, nothing else."""
    for process in every(stack):
        process.redis.mode("pass", delay_s=0.2)
    tasks = [stack.submit(UP.format(0.1, n), n) for n in range(6)]
    once(stack, *tasks)
    assert all(process.redis.hit for process in every(stack))
    for process in every(stack):
        process.redis.mode("pass")


@pytest.mark.long
def test_workers_cannot_reach_redis(stack: Stack, gate: Gate) -> None:
    """A black hole between workers and Redis for longer than any timeout of ours: seconds after it
    ends tasks start again.
    """
    workers, busy = stack.of("worker"), running(stack, gate)
    for worker in workers:
        worker.redis.mode("hole")
    waiting = [stack.submit(str(n), n) for n in range(4)]
    stack.until(lambda: all(worker.redis.hit for worker in workers), "the hole swallows")
    gate.open()
    once(stack, *busy)
    time.sleep(9)  # longer than `queue.SOCKET_TIMEOUT_S`: the connections are known to be dead
    for worker in workers:
        worker.redis.mode("pass")
    since = time.monotonic()
    once(stack, *waiting)
    assert time.monotonic() - since < WITHIN_S
    assert stack.of("worker") == workers
