"""PostgreSQL restarted, away, full, out of reach, or choosing a victim: submissions hear of it, and
nothing that ran is lost.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import httpx
import pytest

from mecapy_worker.upkeep import reconciler

from ..gate import Gate
from .asking import held
from .database import connected
from .processes import gone
from .row_locks import asked_to_start, locked, submit_held, waiting_for_rows
from .stack import LEASE_S, Stack
from .task import Task

_END_OTHERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = "
    "'client backend' AND pid <> ALL($1)"
)


def running(stack: Stack, gate: Gate, count: int = 3) -> list[Task]:
    """So many tasks that run until the gate is opened."""
    tasks = [stack.submit(held(gate, n), n) for n in range(count)]
    for task in tasks:
        stack.until_running(task)
    return tasks


def refused(stack: Stack) -> httpx.Response:
    """A submission now: a clear 503 with Retry-After, within two seconds (a minute is allowed,
    for a busy machine).
    """
    with stack.http() as http:
        since = time.monotonic()
        answer = http.post("/tasks", json={"code": "1"})
        took_s = time.monotonic() - since
    assert answer.status_code == 503, answer.text
    assert answer.headers["Retry-After"] and "try again" in answer.json()["detail"] and took_s < 60
    return answer


def renewed(stack: Stack, task: Task) -> datetime:
    """When its lease was renewed last, by PostgreSQL's clock."""
    return stack.row(task)["lease_until"] - timedelta(seconds=LEASE_S)


def once(stack: Stack, *tasks: Task) -> None:
    assert {stack.final(task)["attempt"] for task in tasks} == {1}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "crash"])
def test_postgres_restarted(stack: Stack, how: signal.Signals, gate: Gate) -> None:
    """PostgreSQL restarts under running tasks, in order or by a crash: they end once, and workers
    and gateways live on.
    """
    alive, tasks = stack.of("worker") + stack.of("gateway"), running(stack, gate)
    stack.services.restart_postgres(how)
    gate.open()
    once(stack, *tasks)
    assert [one for one in alive if one.popen.poll() is not None] == []


@pytest.mark.long
def test_postgres_away_for_longer_than_a_lease(stack: Stack, gate: Gate) -> None:
    """Away for three leases: submissions get 503, tasks that ended meanwhile are recorded when it
    is back, and none runs twice.
    """
    tasks = running(stack, gate)
    stack.services.stop_postgres()
    gate.open()
    refused(stack)
    time.sleep(3 * LEASE_S)
    refused(stack)
    stack.services.start_postgres()
    once(stack, *tasks)


@pytest.mark.long
def test_postgres_does_not_answer(stack: Stack) -> None:
    """A black hole between gateway and PostgreSQL: 503 within two seconds (a minute is allowed,
    for a busy machine), for connections that are open and for new ones.
    """
    gateway = stack.gateway()
    with stack.http(gateway) as http:
        assert http.get("/tasks").status_code == 200
        gateway.postgres.mode("hole")
        for _ in range(3):
            since = time.monotonic()
            answer = http.post("/tasks", json={"code": "1"})
            assert (
                answer.status_code == 503
                and answer.headers["Retry-After"]
                and time.monotonic() - since < 60
            )
        assert gateway.postgres.hit
        gateway.postgres.mode("pass")
        stack.until(lambda: http.get("/tasks").status_code == 200, "it serves again")
    stack.end(gateway)


def test_connections_reset(stack: Stack, gate: Gate) -> None:
    """A failover that resets every connection, again and again for a while: tasks end once."""
    tasks = running(stack, gate)
    for _ in range(5):
        hits = {process: process.postgres.hit for process in stack.of("worker")}
        for process in stack.processes:
            process.postgres.mode("cut")
        stack.until(
            lambda hits=hits: all(process.postgres.hit > hit for process, hit in hits.items()),
            "each worker has lost a connection",
        )
        for process in stack.processes:
            process.postgres.mode("pass")
        passed = stack.sql("SELECT now()")[0][0]
        stack.until(
            lambda passed=passed: all(renewed(stack, task) > passed for task in tasks),
            "each lease is renewed: none may run out, however long these rounds take",
        )
    gate.open()
    once(stack, *tasks)


@pytest.mark.long
def test_no_connection_left(stack: Stack, gate: Gate) -> None:
    """All of PostgreSQL's connections are somebody else's: submissions get 503, what ran is
    recorded when there is one again.
    """
    tasks = running(stack, gate)
    with all_connections(stack):
        refused(stack)
        for worker in stack.of("worker"):
            stack.until(
                lambda worker=worker: (
                    "too many clients" in worker.said() or "TooManyConnections" in worker.said()
                ),
                "it is told",
            )
        gate.open()
    once(stack, *tasks)


@contextmanager
def all_connections(stack: Stack) -> Generator[None]:
    """Take what is free, end the others, and take what that frees."""
    taken = list[Any]()

    async def take() -> None:
        ours = await connected(stack.services.sql_url)
        taken.append(ours)
        for _ in range(300):
            try:
                taken.append(await connected(stack.services.sql_url))
            except asyncpg.TooManyConnectionsError:
                if not await ours.fetchval(_END_OTHERS, [one.get_server_pid() for one in taken]):
                    return
                await asyncio.sleep(0.02)

    async def leave() -> None:
        for one in taken:
            one.terminate()

    stack.loop.run(take())
    try:
        yield
    finally:
        stack.loop.run(leave())


def test_a_statement_that_postgres_ends(stack: Stack, gate: Gate) -> None:
    """PostgreSQL ends a worker's `finish`, as it does to break a deadlock: the worker says it
    again.
    """
    task = stack.submit(held(gate, 13), 13)
    worker = stack.until_running(task)
    with locked(stack, task):
        gate.open()
        stack.until(lambda: waiting_for_rows(stack, "outcome="), "the worker waits to record")
        stack.sql(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND query LIKE 'UPDATE tasks%'"
        )
        stack.until(
            lambda: "waiting" in worker.said() and "finish" in worker.said(), "it was refused"
        )
    once(stack, task)


def test_worker_cut_off_from_postgres(stack: Stack, gate: Gate) -> None:
    """A black hole around one worker for longer than its lease: another worker finishes its task,
    and it can record nothing after.
    """
    task = stack.submit(held(gate, 12), 12)
    pid, cut_off = stack.pid_of(task), stack.worker_of(task)
    cut_off.postgres.mode("hole")
    stack.until(lambda: stack.row(task)["attempt"] == 2, "another worker has it")
    cut_off.postgres.mode("pass")
    assert cut_off.postgres.hit and gone(pid)
    gate.open()
    assert stack.final(task)["attempt"] == 2 and str(cut_off.pid) not in stack.row(task)["worker"]
    stack.until(lambda: "lost" in cut_off.said() or "too late" in cut_off.said(), "it has noticed")


def test_answers_lost_on_the_way(stack: Stack, gate: Gate) -> None:
    """One-way loss: what a worker says arrives, what it is answered does not. Whatever it then
    repeats, the task ends once.
    """
    task = stack.submit(held(gate, "heard"), "heard")
    worker = stack.until_running(task)
    worker.postgres.mode("deaf")
    stack.until(lambda: worker.postgres.hit, "answers are lost")
    gate.open()
    row = stack.final(task)
    worker.postgres.mode("pass")
    assert row["attempt"] in (1, 2, 3)
    stack.submit("'after'", "after")


def test_start_that_was_never_answered(stack: Stack) -> None:
    """The answer to `start` is lost with its connection: the task is not forgotten in `running`, it
    runs after all.
    """
    workers = stack.of("worker")
    task = submit_held(stack, "'after all'", "after all")
    with asked_to_start(stack, task):
        for worker in workers:
            worker.postgres.mode("deaf")
    stack.until(lambda: stack.row(task)["state"] == "running", "it is started, and no worker knows")
    for worker in workers:
        worker.postgres.mode("cut")
        worker.postgres.mode("pass")
    assert stack.final(task)["attempt"] in (2, 3) and all(worker.postgres.hit for worker in workers)


def test_a_lock_that_stays(stack: Stack, gate: Gate) -> None:
    """Somebody holds the reconcilers' locks and does not move: what a killed worker had is taken
    back all the same.
    """
    task = stack.submit(held(gate, 1), 1)
    victim = stack.until_running(task)
    stack.sql(
        "SELECT pg_advisory_lock($1), pg_advisory_lock($2), pg_advisory_lock($3)",
        reconciler.QUEUE_LOCK,
        reconciler.SWEEP_LOCK,
        reconciler.CAPS_LOCK,
    )
    try:
        victim.kill()
        gate.open()
        assert stack.final(task)["attempt"] == 2
    finally:
        stack.sql("SELECT pg_advisory_unlock_all()")
