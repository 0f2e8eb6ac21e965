"""The gateway's page in a real Chromium: it lives, stays within its policy, and can be read."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mecapy_jupyter import wire

from ..backend.speak import Worker, client
from .conftest import WAIT_MS

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCRIPT = "<table><tr><th>x</th><td>7</td></tr></table><script>document.title = 'ran'</script>"
DOT = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
        "gg=="
    )
).decode()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context(viewport={"width": 1200, "height": 800})
    opened.set_default_timeout(WAIT_MS)
    yield opened
    await opened.close()


async def logged_in(context: BrowserContext, gateway: Any, troubles: list[str]) -> Page:
    """At my tasks, by a link as `mecapy open` makes it."""
    page = await context.new_page()
    page.on("console", lambda one: troubles.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda one: troubles.append(str(one)))
    page.on("request", lambda one: _is_ours(one.url, gateway.url) or troubles.append(one.url))
    with client(gateway) as http:
        path = http.post("/login-links").json()["path"]
    await page.goto(gateway.url + path)
    assert page.url == f"{gateway.url}/"
    return page


def _is_ours(url: str, gateway_url: str) -> bool:
    return url.startswith((f"{gateway_url}/", "data:", "about:"))


async def test_a_task_from_its_line_to_its_end(
    gateway: Any, context: BrowserContext, tmp_path: Path
) -> None:
    """The table and an open task follow what happens without a reload; a display's script does not
    run; the browser asks no other host and reports no break of the policy.
    """
    troubles = list[str]()
    with client(gateway) as http:
        bodies = [
            {"name": "heat equation", "code": "# a comment\nT = solve(mesh, steps=400)\nplot(T)"},
            {"name": "waits", "code": "residuals = [step(i) for i in range(10)]"},
        ]
        task, waits = (http.post("/tasks", json=body).json()["task_id"] for body in bodies)
    page = await logged_in(context, gateway, troubles)
    line = page.locator("tr", has_text="heat equation")
    await line.get_by_text("queued").wait_for()
    await line.get_by_text("T = solve(mesh, steps=400)").wait_for()
    async with Worker(gateway) as worker:
        await worker.start(task)
        await worker.says(task, wire.ProgressEvent(0.4, "step 160 of 400"))
        await worker.says(task, wire.UsageEvent(97.0, 420_000_000))
        await line.get_by_text("40 % step 160 of 400").wait_for()
        await line.get_by_text("420 MB").wait_for()
        await page.screenshot(path=tmp_path / "tasks.png")
        await line.get_by_role("link").click()
        await page.get_by_text("Nothing yet.").wait_for()
        await worker.says(task, wire.StdoutEvent("residual 1.2e-3\nresidual 4.0e-5\n"))
        await page.get_by_text("residual 4.0e-5").wait_for()
        await worker.says(task, wire.DisplayEvent(data={"text/html": SCRIPT}))
        await worker.says(task, wire.DisplayEvent(data={"image/png": DOT}))
        frame = page.frame_locator("iframe")
        await frame.get_by_role("cell", name="7").wait_for()
        await page.get_by_alt_text("Picture that the task displayed").wait_for()
        error = wire.ErrorInfo("cell", "ValueError", "mesh too coarse", 2, ("line 2", "ValueError"))
        await worker.finish(task, wire.Outcome(wire.FAILED, error=error, seconds=2.0))
        await page.get_by_text("mesh too coarse").wait_for()
        await page.locator("details.ask").wait_for(state="detached")
    await page.screenshot(path=tmp_path / "task.png", full_page=True)
    assert await page.title() == "heat equation · MecaPy"
    await page.goto(f"{gateway.url}/page/tasks/{waits}")
    await page.get_by_text("Cancel…").click()
    await page.get_by_role("button", name="Cancel this task").click()
    await page.locator("p.state.cancelled").wait_for()
    assert {one.partition(" in ")[0] for one in troubles} == {"Blocked script execution"}


async def test_dark_and_narrow(gateway: Any, context: BrowserContext, tmp_path: Path) -> None:
    """Every page can be read in the dark and on a telephone, has one heading, and names each field
    and button.
    """
    page = await logged_in(context, gateway, [])
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 400, "height": 800})
    for path in ("/", "/page/pool", "/page/account", "/page/users", "/page/audit", "/page/health"):
        await page.goto(gateway.url + path)
        assert await page.locator("h1").count() == 1, path
        assert await page.evaluate(WIDTH) <= 400, path
        assert await page.evaluate(NAMELESS) == [], path
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(21, 24, 28)"
        )
        await page.screenshot(path=tmp_path / f"narrow{path.replace('/', '-')}.png")


WIDTH = "document.documentElement.scrollWidth"
NAMELESS = """Array.from(document.querySelectorAll("input:not([type=hidden]), select, button, a"))
  .filter(one => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))
  .map(one => one.outerHTML)"""
