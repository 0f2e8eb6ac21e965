"""A page that stays open in a real Chromium: what a task prints is added to it, and a night leaves
nothing behind.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mecapy_backend.api import changes
from mecapy_jupyter import wire

from ..backend.speak import Worker, client
from .conftest import WAIT_MS
from .test_page import logged_in

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]
# What an open page does by its clock, without waiting: the part is new each time; a line is printed
# and a sample taken, which is added and then replaced by the gateway's own; now and then the stream
# is opened anew.
NIGHT = """async (times) => {
  const opened = () => new Promise((done) => { listen(); source.onopen = done; });
  for (let n = 0; n < times; n++) {
    await (work = work.then(async () => {
      part.dataset.mark = "first";
      await freshen();
      if (output) {
        await hear({ output: [[`${Date.now() + n}-0`, "stdout", `step ${n}\\n`]] });
        await refill(output);
        await refill(curves);
      }
    }));
    if (n % 10 === 0) { leave(); await opened(); }
  }
}"""
WARM, TIMES = 20, 60
OURS = ("mecapy_", "starlette.", "uvicorn.", "fastapi.")


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
        await page.locator("#curves polyline").nth(1).wait_for(state="attached")
        await page.evaluate("leave()")
        await worker.says(task, wire.StderrEvent(" now"))
        await page.get_by_text("careful now").wait_for()
        assert await page.locator("#output pre").count() == 2
    assert not troubles


async def test_a_night_leaves_nothing(gateway: Any, context: BrowserContext) -> None:
    """After sixty refreshes the browser holds no more elements, listeners and documents for a
    page, and the gateway no more objects and streams, than before.
    """
    troubles = list[str]()
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        async with Worker(gateway) as worker:
            await worker.start(task)
            await worker.says(task, wire.StdoutEvent("begin\n"))
            await worker.says(task, wire.UsageEvent(50.0, 10**8))
            for path in ("/", f"/page/tasks/{task}"):
                page = await logged_in(context, gateway, troubles)
                async with page.expect_request(lambda one: "/changes" in one.url):
                    await page.goto(gateway.url + path)
                await page.evaluate(NIGHT, WARM)
                before, there = await in_browser(page), in_gateway()
                await page.evaluate(NIGHT, TIMES)
                await one_stream(http)
                after = await in_browser(page)
                grown = {what: after[what] - before[what] for what in after}
                assert grown["nodes"] < TIMES / 2 and grown["documents"] < 2, (path, grown)
                assert grown["jsEventListeners"] < TIMES / 10, (path, grown)
                assert grown["usedSize"] < 3e6, (path, grown)
                assert sum((in_gateway() - there).values()) < TIMES / 2, in_gateway() - there
                await page.close()
    assert not troubles


async def in_browser(page: Page) -> dict[str, float]:
    """What it holds for this page, after its garbage is gone."""
    session = await page.context.new_cdp_session(page)
    for _ in range(3):  # what a destructor frees goes with the next
        await session.send("HeapProfiler.collectGarbage")
    found = await session.send("Memory.getDOMCounters")
    used = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return found | {"usedSize": used["usedSize"]}


def in_gateway() -> Counter[str]:
    """The objects of its code and of what serves it, by type: it runs in this process."""
    gc.collect()
    types = (type(one) for one in gc.get_objects())
    return Counter(it.__qualname__ for it in types if str(it.__module__).startswith(OURS))


async def one_stream(http: Any) -> None:
    """Waits until the gateway has seen that the earlier streams of the page are closed."""
    async with asyncio.timeout(WAIT_MS / 1000):
        line = "mecapy_event_streams 1.0"
        while line not in http.get("/metrics").text:  # noqa: ASYNC110  (a gateway tells nobody)
            await asyncio.sleep(0.05)
