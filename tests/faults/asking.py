"""What a client does while something breaks: it asks in a thread of its own, and the test looks at
what came of it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from ..gate import Gate
from .processes import Process
from .proxy import Proxy
from .stack import TOKEN, Stack
from .task import Task, comes_again

UP = "print('up', flush=True)\nimport time\ntime.sleep({})\n{!r}"
"""Code of a task that says that it runs, goes on for a while, and has a result."""


def held(gate: Gate, result: object) -> str:
    """Code of a task that says that it runs and where, goes on until the gate is opened, and has a
    result.
    """
    return f"import os\nprint('pid', os.getcwd(), flush=True)\n{gate.wait}{result!r}"


def asked(url: str, code: str, key: str) -> Future[httpx.Response | None]:
    """A submission that is under way. Its answer; None: the connection broke."""
    future: Future[httpx.Response | None] = Future()
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}

    def ask() -> None:
        with suppress(httpx.TransportError), httpx.Client(headers=headers, timeout=120) as http:
            return future.set_result(
                comes_again(lambda: http.post(f"{url}/tasks", json={"code": code}))
            )
        future.set_result(None)

    threading.Thread(target=ask, daemon=True).start()
    return future


def committed(stack: Stack, url: str, code: str, key: str) -> tuple[str, Future[Any]]:
    """A submission whose row is committed, and that has no answer yet: the task, and its answer.
    Where the way back is closed nobody hears that a busy gateway refused it: it is said again.
    """
    while True:
        answer, until = asked(url, code, key), time.monotonic() + 10
        while time.monotonic() < until:
            if found := rows_of(stack, key):
                return found[0], answer
            time.sleep(0.02)


def rows_of(stack: Stack, key: str) -> list[str]:
    """The tasks that came of submissions with this key."""
    return [
        str(row["id"]) for row in stack.sql("SELECT id FROM tasks WHERE idempotency_key = $1", key)
    ]


def at_once(count: int, call: Any) -> list[Any]:
    """`call(n)`, twenty at a time."""
    with ThreadPoolExecutor(20) as threads:
        return list(threads.map(call, range(count)))


def many(stack: Stack, count: int, code: str = "{}") -> list[Task]:
    """So many tasks; `code` with a number in it, which is the result."""
    with stack.http() as http:

        def submit(n: int) -> str:
            body, key = {"code": code.format(n)}, {"Idempotency-Key": uuid.uuid4().hex}
            made = comes_again(lambda: http.post("/tasks", json=body, headers=key))
            return made.json()["task_id"]

        ids = at_once(count, submit)
    return [stack.owed(Task(task_id, n)) for n, task_id in enumerate(ids)]


@contextmanager
def front(stack: Stack, gateway: Process) -> Generator[Proxy]:
    """A way from clients to a gateway."""
    with balanced(stack, [gateway]) as proxy:
        yield proxy


@contextmanager
def balanced(stack: Stack, gateways: Sequence[Process]) -> Generator[Proxy]:
    """A way from clients to the first of these gateways that lives; they may be exchanged."""

    def alive() -> tuple[str, int]:
        return "127.0.0.1", next((one.port for one in gateways if one.popen.poll() is None), 9)

    proxy = Proxy(stack.loop, alive)
    try:
        yield proxy
    finally:
        proxy.close()
