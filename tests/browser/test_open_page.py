"""A page that stays open in a real Chromium: what a task prints is added to it."""

from __future__ import annotations

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
    from playwright.async_api import Browser, BrowserContext

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]


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
