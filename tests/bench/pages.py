"""What 200 open pages cost a gateway, beside 200 followed tasks, in turns; and whether a page that
is open for long leaves anything behind. Part of `make bench`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from mecapy_backend.migrations import upgrade
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_jupyter import wire

from ..backend.speak import Worker

OPEN, TASKS, FOR_S, ROUNDS = 200, 5, 20.0, 3
SETTLE_S = 15.0  # a page asks more when it is opened
_TOKEN = "bench-" + "x" * 32
_STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A process of its own, on a PostgreSQL and a Redis of its own."""

    url: str
    token: str
    settings: Settings
    process: psutil.Process


@contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    with Postgres.start(folder / "pg") as db, Valkey.start(folder / "redis") as redis:
        upgrade(db.url)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        given = {
            "DATABASE_URL": db.url,
            "REDIS_URL": redis.url,
            "BLOB_URL": f"file://{folder}/blobs",
            "TOKEN": _TOKEN,
            "MAX_OWNER_STREAMS": "1000",
            "REQUESTS_PER_S": "100000",
        }
        os.environ |= {f"MECAPY_{name}": value for name, value in given.items()} | {
            "PORT": str(port)
        }
        process = subprocess.Popen([sys.executable, "-m", "mecapy_jupyter.cli", "gateway"])
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                with suppress(httpx.HTTPError):
                    if httpx.get(f"{url}/readyz").status_code == 200:
                        break
                time.sleep(0.2)
            yield Gateway(url, _TOKEN, Settings(), psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(30)


async def prints(worker: Worker, tasks: list[str]) -> None:
    """As a worker: each task prints a line and says what it uses, every second."""
    second = 0
    while True:
        second += 1
        for task in tasks:
            await worker.says(task, wire.StdoutEvent(f"residual {second}\n"))
            await worker.says(task, wire.UsageEvent(50.0 + second % 50, 10**8 + 10**6 * second))
        await asyncio.sleep(1)


async def looks(browser: httpx.AsyncClient, path: str) -> None:
    """One open page, as `live.js` keeps it fresh: a stream from what the page shows on, and the
    part again when it is told to, and every minute.
    """
    mark, asked_s = "first", time.monotonic()
    shown = re.search('data-at="([^"]*)"', (await browser.get(path)).text)
    changes = f"{path}/changes?after={shown[1]}" if shown else "/page/changes"
    async with browser.stream("GET", changes, headers=_STREAM, timeout=None) as stream:
        async for line in stream.aiter_lines():
            news = json.loads(line[6:]) if line.startswith("data: ") else {}
            if news.get("redraw"):
                await browser.get(f"{path}/output")
            if news.get("changed") or time.monotonic() - asked_s > 60:
                await asyncio.sleep(random.uniform(0, 2))  # each page has its own clock
                asked_s = time.monotonic()
                answer = await browser.get(path, headers={"X-Live": mark})
                mark = answer.headers.get("X-Mark", mark)


async def follows(browser: httpx.AsyncClient, path: str) -> None:
    async with browser.stream("GET", path, timeout=None) as stream:
        async for _ in stream.aiter_lines():
            pass


async def measured(
    what: str, process: psutil.Process, one: Callable[[int], Awaitable[None]]
) -> float:
    """Processor seconds of the gateway for each second, while so many are open."""
    async with asyncio.TaskGroup() as group:
        opened = list[asyncio.Task[None]]()
        for number in range(OPEN):
            opened.append(group.create_task(one(number % TASKS)))
            await asyncio.sleep(0.02)
        await asyncio.sleep(SETTLE_S)
        times, began = process.cpu_times(), time.monotonic()
        await asyncio.sleep(FOR_S)
        ended, took = process.cpu_times(), time.monotonic() - began
        about = (
            f"{process.memory_info().rss / 1e6:.0f} MB, {len(process.net_connections())} sockets"
        )
        for task in opened:
            task.cancel()
    share = (ended.user + ended.system - times.user - times.system) / took
    print(f"{OPEN} {what:<24} {100 * share:5.1f} % of a core   {about}", flush=True)
    return share


async def run(gateway: Gateway) -> None:
    bearer, own = {"Authorization": f"Bearer {gateway.token}"}, {"Origin": gateway.url}
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=120, limits=limits) as browser,
        httpx.AsyncClient(base_url=gateway.url, headers=bearer, timeout=120, limits=limits) as api,
        Worker(gateway) as worker,
        asyncio.TaskGroup() as group,
    ):
        tasks = list[str]()
        for _ in range(TASKS):
            while (made := await api.post("/tasks", json={"code": "1"})).status_code != 201:
                print(made.text)
                await asyncio.sleep(1)
            tasks.append(made.json()["task_id"])
            await worker.start(tasks[-1])
        printing = group.create_task(prints(worker, tasks))
        await browser.post("/page/login", data={"token": gateway.token}, headers=own)
        kinds: dict[str, Callable[[int], Awaitable[None]]] = {
            "followed tasks": lambda one: follows(api, f"/tasks/{tasks[one]}/events"),
            "open lists of tasks": lambda one: looks(browser, "/"),
            "open pages of a task": lambda one: looks(browser, f"/page/tasks/{tasks[one]}"),
        }
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, one in kinds.items():
                found[kind].append(await measured(kind, gateway.process, one))
        followed, *pages = (statistics.median(shares) for shares in found.values())
        print(f"pages cost {max(pages) / followed:.2f} times as much   (target 1.0)")
        before = gateway.process.memory_info().rss
        for _ in range(3000):
            await browser.get("/", headers={"X-Live": "first"})
        grown = (gateway.process.memory_info().rss - before) / 1e6
        print(f"3,000 refreshes: the gateway grew by {grown:.1f} MB")
        printing.cancel()


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        gateway(Path(folder)) as running,
    ):
        asyncio.run(run(running))


if __name__ == "__main__":
    main()
