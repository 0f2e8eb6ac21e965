"""A real JupyterLab and a real Chromium, for tests that look at the page as a user does.

`lab` is one server for the whole run, alone in its own home; `browser` one Chromium;
`open_notebook` writes a notebook, opens it in a new page and waits until its kernel is idle (some
seconds: share one page among tests where they do not disturb each other). All of it lives in the
session's event loop: mark the tests with `pytest.mark.asyncio(loop_scope="session")`. Without
JupyterLab, playwright or a Chromium the tests are skipped with that reason.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

TOKEN = "browser-tests"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
WAIT_MS = 240_000
OpenNotebook = Callable[..., Awaitable["Notebook"]]


def chromium() -> str:
    """The system's Chromium, or a skip that says what is missing."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no chromium on this machine (.ci/run installs it)")


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab."""

    url: str
    root: Path
    home: Path

    def settings(self, extension: str, plugin: str, values: dict[str, object]) -> None:
        path = self.home / "settings" / extension / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook open in a page. Cells are counted from 0. `asked`: every address the page has made
    a request to.
    """

    page: Page
    path: Path
    asked: list[str]

    def cell(self, number: int = 0) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def outputs(self, number: int = 0) -> Locator:
        return self.cell(number).locator(".jp-OutputArea-output")

    async def run(self, number: int = 0) -> None:
        """Start a cell; does not wait for it."""
        await self.cell(number).locator(".cm-content").click()
        await self.page.keyboard.press("Shift+Enter")

    async def ended(self, number: int = 0) -> None:
        """Wait until the cell has run: it has its number."""
        await (
            self.cell(number)
            .locator(".jp-InputArea-prompt", has_text="]:")
            .filter(has_not_text="*")
            .filter(has_not_text="[ ]")
            .wait_for()
        )

    def go(self, on: str) -> None:
        """Lets a cell go on that waits for this file."""
        (self.path.parent / on).touch()

    async def theme(self, name: str) -> None:
        """Show the page in "JupyterLab Light" or "JupyterLab Dark"."""
        await self.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", name
        )
        await self.page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")

    async def save(self) -> dict[str, object]:
        """Save, and give back what the file holds."""
        async with self.page.expect_response(
            lambda one: one.request.method == "PUT" and "/api/contents/" in one.url, timeout=WAIT_MS
        ):
            await self.page.keyboard.press("Control+s")
        return json.loads(self.path.read_text())


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip(
        "jupyterlab", reason="JupyterLab is not installed (pip install mecapy-jupyter[lab])"
    )
    chromium()
    home = tmp_path_factory.mktemp("lab")
    (home / "root").mkdir()
    own = {
        f"JUPYTER_{name}": str(home / folder)
        for name, folder in {
            "RUNTIME_DIR": "run",
            "CONFIG_DIR": "config",
            "DATA_DIR": "data",
        }.items()
    }
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "spaces"),
        "HOME": str(home),
    }
    own |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONWARNINGS": "default"}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        "--port=0",
        "--ServerApp.port_retries=0",
        "--allow-root",
    ]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += [
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={home / 'root'}",
        "--LabApp.news_url=",
    ]
    log = home / "lab.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=os.environ | own, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        url = _url(home / "run" / f"jpserver-{server.pid}.json", server, log)
        running = Lab(url, home / "root", home)
        running.settings(
            "@jupyterlab/apputils-extension",
            "notification",
            {"fetchNews": "false", "checkForUpdates": False},
        )
        running.settings(
            "@jupyterlab/notebook-extension", "tracker", {"windowingMode": "none"}
        )  # every cell is in the page
        yield running
    finally:
        _stop(server)


def _url(info: Path, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and server.poll() is None:
        try:
            url = json.loads(info.read_text())["url"]
            with urllib.request.urlopen(f"{url}api/status?token={TOKEN}", timeout=120):
                return url
        except (OSError, ValueError, urllib.error.URLError):
            time.sleep(
                0.05
            )  # nothing to wait on: the server says only in this file and on its port that it is up
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM stops the kernels too."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(120)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.async_api",
        reason="playwright is not installed (pip install mecapy-jupyter[dev])",
    )
    async with playwright.async_playwright() as engine:
        chrome = await engine.chromium.launch(executable_path=chromium(), args=FLAGS.split())
        yield chrome
        await chrome.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_notebook(lab: Lab, browser: Browser) -> OpenNotebook:
    """`await open_notebook(name, cells, width=…)` → Notebook in a page of its own, its side bar
    closed and its kernel idle.
    """

    async def opened(
        name: str, cells: Sequence[str], width: int = 1000, height: int = 700, scale: float = 1
    ) -> Notebook:
        import nbformat

        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells]
        )
        book.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(book, lab.root / f"{name}.ipynb")
        page = await browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        page.set_default_timeout(WAIT_MS)
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        page.on("websocket", lambda one: asked.append(one.url))
        await page.goto(f"{lab.url}lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}&reset")
        await page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        await page.evaluate(SETTLED)
        await page.locator(
            ".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status=idle]"
        ).wait_for()
        return Notebook(page, lab.root / f"{name}.ipynb", asked)

    return opened


# A cell that is run before the kernel has answered for the first time is lost without a word.
SETTLED = """async () => {
  await jupyterapp.restored;
  jupyterapp.shell.collapseLeft();
  const context = jupyterapp.shell.currentWidget.context.sessionContext;
  await context.ready;
  await context.session.kernel.info;
}"""
