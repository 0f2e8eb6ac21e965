"""What 200 open pages cost a gateway, beside 200 followed tasks; and whether a page that is open
for long leaves anything behind. Part of `make bench`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import psutil

from mecapy_jupyter.stack import embedded

from .trip import stack

OPEN, FOR_S, EVERY_S = 200, 30.0, 2.0
_CODE = "import time\nfor second in range(600):\n    print('residual', second)\n    time.sleep(1)"


def gateway(data: Path) -> psutil.Process:
    components = embedded.status(data).as_json()["components"]
    (pid,) = [one["pid"] for one in components if one["name"] == "gateway"]
    return psutil.Process(pid)


async def looks(browser: httpx.AsyncClient, path: str, number: int) -> None:
    """One open page, as `live.js` keeps it fresh."""
    mark, shown = "first", ""
    await asyncio.sleep(EVERY_S * number / OPEN)
    while True:
        answer = await browser.get(path, headers={"X-Live": mark})
        mark = answer.headers.get("X-Mark", mark)
        if answer.status_code == 200 and path != "/":
            version = answer.text.partition('data-output="')[2].partition('"')[0]
            if version != shown:
                await browser.get(f"{path}/output")
            shown = version
        await asyncio.sleep(EVERY_S)


async def follows(browser: httpx.AsyncClient, path: str, number: int) -> None:
    await asyncio.sleep(EVERY_S * number / OPEN)
    async with browser.stream("GET", path, timeout=None) as stream:
        async for _ in stream.aiter_lines():
            pass


async def measured(
    what: str, process: psutil.Process, one: Callable[[int], Awaitable[None]]
) -> float:
    """Processor seconds of the gateway for each second, while so many are open."""
    async with asyncio.TaskGroup() as group:
        opened = [group.create_task(one(number)) for number in range(OPEN)]
        await asyncio.sleep(2 * EVERY_S)
        times, began = process.cpu_times(), time.monotonic()
        await asyncio.sleep(FOR_S)
        ended, took = process.cpu_times(), time.monotonic() - began
        about = (
            f"{process.memory_info().rss / 1e6:.0f} MB, {len(process.net_connections())} sockets"
        )
        for task in opened:
            task.cancel()
    share = (ended.user + ended.system - times.user - times.system) / took
    print(f"{OPEN} {what:<24} {100 * share:5.1f} % of a core   {about}")
    return share


async def run(url: str, token: str, data: Path) -> None:
    process = gateway(data)
    bearer, own = {"Authorization": f"Bearer {token}"}, {"Origin": url}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as browser:
        made = await browser.post("/tasks", json={"code": _CODE, "timeout": 900}, headers=bearer)
        task = made.json()["task_id"]
        await browser.post("/page/login", data={"token": token}, headers=own)
        page, events = f"/page/tasks/{task}", f"/tasks/{task}/events"
        api = httpx.AsyncClient(base_url=url, headers=bearer, timeout=120, limits=limits)
        async with api:
            followed = await measured("followed tasks", process, lambda n: follows(api, events, n))
        lists = await measured("open lists of tasks", process, lambda n: looks(browser, "/", n))
        pages = await measured("open pages of a task", process, lambda n: looks(browser, page, n))
        print(f"pages cost {max(lists, pages) / followed:.1f} times as much   (target 1.0)")
        before = process.memory_info().rss
        for _ in range(3000):
            await browser.get("/", headers={"X-Live": "first"})
        grown = (process.memory_info().rss - before) / 1e6
        print(f"3,000 refreshes: the gateway grew by {grown:.1f} MB")
        await browser.post(f"/tasks/{task}/cancel", headers=bearer)


def main() -> None:
    os.environ |= {"MECAPY_MAX_OWNER_STREAMS": "1000", "MECAPY_REQUESTS_PER_S": "100000"}
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as environment,
    ):
        where = environment["MECAPY_URL"], environment["MECAPY_TOKEN"]
        asyncio.run(run(*where, Path(folder)))


if __name__ == "__main__":
    main()
