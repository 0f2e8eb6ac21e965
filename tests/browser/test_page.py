"""The gateway's page in a real Chromium: it lives, stays within its policy, and can be read."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mecapy_jupyter import wire

from ..backend.speak import Worker, client
from . import axe
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


async def lived_in(gateway: Any) -> dict[str, str]:
    """A gateway with something on each page: a failed task with output and curves, a workflow, a
    sweep. The pages by name.
    """
    points = [f"{number:032x}" for number in range(120)]
    graph = {
        "mesh": {"code": "1", "name": "mesh"},
        "solve": {"code": "x", "name": "solve", "needs": {"x": "node:mesh:"}},
        "post": {"code": "x", "name": "post", "needs": {"x": "node:solve:"}},
    }
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "T = solve(mesh)", "name": "heat"}).json()
        made = http.post("/workflows", json={"name": "nightly", "tasks": graph}).json()
        http.post("/sweeps", json={"name": "study", "points": points})
        for at in (0, 40):
            body = {"code": "f(x)", "sweep": "study", "points": points[at : at + 40]}
            part = http.post("/tasks", json=body).json()["task_id"]
        http.post("/tokens", json={"name": "ci"})
    async with Worker(gateway) as worker:
        await worker.start(part)
        await worker.start(task["task_id"])
        for second in range(4):
            await worker.says(task["task_id"], wire.UsageEvent(90.0, (1 + second) * 10**8))
            await worker.says(task["task_id"], wire.StdoutEvent(f"residual 1e-{second}\n"))
        error = wire.ErrorInfo("cell", "ValueError", "mesh too coarse", 1, ("line 1",))
        failed = wire.Outcome(wire.FAILED, error=error, seconds=2.0)
        await worker.finish(task["task_id"], failed, tell=True)
    return {
        "tasks": "/",
        "task": f"/page/tasks/{task['task_id']}",
        "sweeps": "/page/sweeps",
        "sweep": "/page/sweeps/study",
        "workflows": "/page/workflows",
        "workflow": f"/page/workflows/{made['workflow_id']}",
        **{
            name: f"/page/{name}"
            for name in ("pool", "costs", "account", "users", "organisations", "audit", "health")
        },
    }


@pytest.mark.skipif(bool(axe.why_not()), reason=axe.why_not())
async def test_nothing_stands_in_anybodys_way(
    gateway: Any, context: BrowserContext, tmp_path: Path
) -> None:
    """axe-core finds nothing serious on any page: light, dark, wide and narrow."""
    pages = await lived_in(gateway)
    page = await logged_in(context, gateway, [])
    found = dict[str, list[str]]()
    for name, path in pages.items():
        await page.goto(gateway.url + path)
        for scheme, width in (("light", 1200), ("dark", 400)):
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": width, "height": 800})
            found[f"{name}, {scheme}"] = await axe.serious(page)
            await page.screenshot(path=tmp_path / f"{name}-{scheme}.png", full_page=True)
    await page.get_by_role("button", name="Log out").click()
    found["login"] = await axe.serious(page)
    assert not any(found.values()), found


async def test_by_keyboard(gateway: Any, context: BrowserContext) -> None:
    """Without a mouse: the first Tab leads to the content, and a task is opened and cancelled."""
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "1", "name": "by keyboard"}).json()["task_id"]
    page = await logged_in(context, gateway, [])
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**#content")
    await _tabs_to(page, "by keyboard")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/page/tasks/{task}")
    for name in ("Cancel…", "Cancel this task"):
        await _tabs_to(page, name)
        await page.keyboard.press("Enter")
    await page.locator("p.state.cancelled").wait_for()


async def _tabs_to(page: Page, text: str) -> None:
    """As somebody does who sees where the focus is."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"no way to {text!r} by Tab")


async def test_a_display_reaches_nobody_else(gateway: Any, context: BrowserContext) -> None:
    """HTML that a task displays makes the browser connect to no other host and go nowhere."""
    with client(gateway) as http:
        task = http.post("/tasks", json={"code": "1"}).json()["task_id"]
    called = asyncio.Event()
    async with Worker(gateway) as worker:
        other = await asyncio.start_server(lambda *_: called.set(), "127.0.0.1", 0)
        there = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        html = (
            f'<p id="end">shown</p><link rel="preconnect" href="{there}"><LINK rel=preconnect '
            f'href="{there}"><link/rel="prefetch" href="{there}/a"><meta http-equiv="refresh" '
            f'content="0; url={there}"><base href="{there}"><img src="{there}/b"><iframe '
            f'src="{there}/c"></iframe><object data="{there}/d"></object><style>@import '
            f'"{there}/e"; p {{ background: url({there}/f) }}</style><video src="{there}/g">'
        )
        await worker.start(task)
        await worker.says(task, wire.DisplayEvent(data={"text/html": html}))
        page = await logged_in(context, gateway, [])
        await page.goto(f"{gateway.url}/page/tasks/{task}")
        await page.frame_locator("iframe").locator("#end").wait_for()
        await page.wait_for_load_state("networkidle")
        other.close()
    assert not called.is_set()


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
