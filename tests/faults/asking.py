"""What a client does while something breaks: it asks in a thread of its own, and the test looks at
what came of it.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from .proxy import Proxy
from .stack import TOKEN, Process, Stack, Task

UP = "print('up', flush=True)\nimport time\ntime.sleep({})\n{!r}"
"""Code of a task that says that it runs, goes on for a while, and has a result."""


def asked(url: str, code: str, key: str) -> Future[httpx.Response | None]:
    """A submission that is under way. Its answer; None: the connection broke."""
    future: Future[httpx.Response | None] = Future()

    def ask() -> None:
        with (
            suppress(httpx.TransportError),
            httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20) as http,
        ):
            return future.set_result(
                http.post(f"{url}/tasks", json={"code": code}, headers={"Idempotency-Key": key})
            )
        future.set_result(None)

    threading.Thread(target=ask, daemon=True).start()
    return future


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
        made = at_once(
            count, lambda n: http.post("/tasks", json={"code": code.format(n)}).json()["task_id"]
        )
    return [stack.owed(Task(task_id, n)) for n, task_id in enumerate(made)]


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
