"""Rows that somebody else holds, so that whoever wants to change a task waits, as long as a test
wants it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from .database import connected
from .stack import Stack
from .task import Task


@contextmanager
def locked(stack: Stack, task: Task) -> Generator[None]:
    """The task's row is held by somebody else: whoever wants to change it waits."""
    holding = _holding(stack.services.sql_url, task.id)
    stack.loop.run(holding.__aenter__())
    try:
        yield
    finally:
        stack.loop.run(holding.__aexit__(None, None, None))


@asynccontextmanager
async def _holding(url: str, task_id: str) -> AsyncGenerator[None]:
    connection = await connected(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE", task_id)
    yield
    await transaction.rollback()
    await connection.close()


def waiting_for_rows(stack: Stack, like: str = "") -> int:
    """How many statements wait for a row that is locked; of those that say `like`."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query "
        "LIKE '%UPDATE tasks%' || $1 || '%'"
    )
    return int(stack.sql(waiting, like)[0][0])


def submit_held(stack: Stack, code: str, result: object = None, state: str = "completed") -> Task:
    """A task that no worker asks for before `asked_to_start`."""
    for worker in stack.of("worker"):
        worker.signal(signal.SIGSTOP)
    return stack.submit(code, result, state)


@contextmanager
def asked_to_start(stack: Stack, task: Task) -> Generator[None]:
    """A worker has taken the task out of the queue, and its `start` waits for the row as long
    as the block lasts.
    """
    with locked(stack, task):
        for worker in stack.of("worker"):
            worker.signal(signal.SIGCONT)
        stack.until(lambda: waiting_for_rows(stack), "a worker asks to start it")
        yield


def forget_waiting(stack: Stack) -> None:
    """Statements that wait for a row never ran: PostgreSQL would run those of a dead client."""
    waiting = "pg_stat_activity WHERE wait_event_type = 'Lock'"
    stack.sql(f"SELECT pg_terminate_backend(pid) FROM {waiting}")
