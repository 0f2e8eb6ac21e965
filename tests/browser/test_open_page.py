"""Pages that stay open in a real Chromium: what a task prints is added to its page, and a night
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mecapy_backend.api import changes
from mecapy_backend.page import answers
from mecapy_jupyter import wire

from ..backend.speak import Worker, client
from ..conftest import served
from .conftest import WAIT_MS
from .test_page import logged_in

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Response, Route

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]
HASTE = {
    "TICK_MS = 1000": "TICK_MS = 20",
    "const every = 1000 *": "const every = 1 + 0 *",
    "ask(location.href, part.dataset.mark)": "ask(location.href)",
    "MOST_POINTS = 2400": "MOST_POINTS = 100",
    "MOST_CHARS = 400000": "MOST_CHARS = 4000",
}
"""A night in a minute: the part is asked for with each tick, and put in place also if it is as it
was."""
WARM, NIGHT = 150, 2000


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context(viewport={"width": 1200, "height": 800})
    opened.set_default_timeout(WAIT_MS)
    yield opened
    await opened.close()


async def test_output_is_added(
    gateway: Any, context: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task prints is added to the element that is there, as a terminal shows it; its facts
    follow; the stream is opened anew after the gateway ended it.
    """
    monkeypatch.setattr(changes, "LOOK_S", 0.05)
    troubles = list[str]()
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "1", "name": "heat"}).json()["task_id"]
    async with Worker(gateway) as worker:
        await worker.start(task)
        await worker.says(task, wire.StdoutEvent("begin\n"))
        page = await logged_in(context, gateway, troubles)
        async with page.expect_request(lambda one: "/changes" in one.url):
            await page.goto(f"{gateway.url}/page/tasks/{task}")
        first = page.locator("#output pre")
        await first.evaluate("pre => { pre.id = 'kept'; }")
        for text in ("10 %\r", "20 %\r", "done\nnext <b>"):
            await worker.says(task, wire.StdoutEvent(text))
            await worker.says(task, wire.UsageEvent(50.0, 10**8))
        await page.locator("#kept").get_by_text("next <b>").wait_for()
        assert await page.locator("#kept").text_content() == "begin\ndone\nnext <b>"
        await worker.says(task, wire.StderrEvent("careful"))
        await page.locator("#kept + pre.stderr").get_by_text("careful").wait_for()
        await page.locator("dd", has_text="100 MB").wait_for()
        await page.locator("#curves polyline").nth(1).wait_for()
        await page.evaluate("leave()")
        await worker.says(task, wire.StderrEvent(" now"))
        await page.get_by_text("careful now").wait_for()
        assert await page.locator("#output pre").count() == 2
    assert not troubles


async def test_a_night_leaves_nothing(
    gateway: Any, context: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand refreshes of a list and of a task that prints leave neither elements nor memory
    in the browser, and one stream each at the gateway.
    """
    monkeypatch.setattr(changes, "LOOK_S", 0.02)
    settings = gateway.settings.model_copy(update={"requests_per_s": 10**6})
    await context.route("**/live.js*", hasten)
    with served(settings) as quick, client(quick) as http:
        tasks = [http.post("/tasks", json={"code": "1"}).json()["task_id"] for _ in range(3)]
        async with Worker(quick) as worker:
            for task in tasks:
                await worker.start(task)
            for path in ("/", f"/page/tasks/{tasks[0]}"):
                page = await logged_in(context, quick, [])
                printing = asyncio.create_task(prints(worker, tasks[0]))
                await page.goto(quick.url + path)
                await refreshed(page, path, WARM)
                before = await left(page)
                await refreshed(page, path, NIGHT)
                after = await left(page)
                printing.cancel()
                await page.close()
                assert after["Nodes"] - before["Nodes"] < NIGHT / 4, (path, before, after)
                assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 3e6, (before, after)
                assert after["Documents"] <= before["Documents"] + 1
                streams = [
                    one for one in http.get("/metrics").text.splitlines() if "streams" in one
                ]
                assert any(one.rpartition(" ")[2] in ("0.0", "1.0") for one in streams), streams


async def hasten(route: Route) -> None:
    script = (answers.static_files())["live.js"].decode()
    for slow, quick in HASTE.items():
        assert slow in script
        script = script.replace(slow, quick)
    await route.fulfill(body=script, content_type="text/javascript")


async def prints(worker: Worker, task: str) -> None:
    while True:
        await worker.says(task, wire.StdoutEvent("residual 1.2e-3\n"))
        await worker.says(task, wire.UsageEvent(50.0, 10**8))
        await asyncio.sleep(0.02)


def _is_part(answer: Response, path: str) -> bool:
    return answer.url.endswith(path) and "x-live" in answer.request.headers


async def refreshed(page: Page, path: str, times: int) -> None:
    done, count = asyncio.Event(), 0

    def hear(answer: Response) -> None:
        nonlocal count
        count += _is_part(answer, path)
        if count >= times:
            done.set()

    page.on("response", hear)
    async with asyncio.timeout(900):
        await done.wait()
    page.remove_listener("response", hear)


async def left(page: Page) -> dict[str, float]:
    """What the browser holds for this page, after its garbage is gone."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("HeapProfiler.collectGarbage")
    found = await session.send("Performance.getMetrics")
    await session.detach()
    return {one["name"]: one["value"] for one in found["metrics"]}
