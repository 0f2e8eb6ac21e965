"""Cancel means dead: from the page, while the cell blocks the kernel, behind a base URL, in
JupyterLab and Notebook 7, and when the kernel that started the task is gone. A real stack, a real
Jupyter server, a real browser.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mecapy_jupyter.client.http import Gateway
from tests.extension.server import PASSWORD, Server, running

from .conftest import WAIT_MS, chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page, Response

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOAD = "%load_ext mecapy_jupyter"
ENDLESS = (
    "%%mecapy --progress-after 0.3\nimport time\nkept = 6 * 7\nprint('bound', flush=True)\n"
    "while True: time.sleep(0.05)"
)
IN_BACKGROUND = ENDLESS.replace("--progress-after 0.3", "--bg --as job")
BLOCKING = "print('blocking')\nimport time\ntime.sleep(600)"
CELLS = [LOAD, ENDLESS, "print('kept is', kept)"]
PAGES = {"lab": "lab/tree/{name}.ipynb?reset", "notebook": "notebooks/{name}.ipynb"}

# A cell that is run before the kernel has answered for the first time is lost without a word.
SETTLED = """async () => {
  await jupyterapp.restored;
  const context = jupyterapp.shell.currentWidget.context.sessionContext;
  await context.ready;
  await context.session.kernel.info;
}"""

RESTARTED = """async () => {
  const kernel = jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
  await kernel.restart();
  await kernel.info;
}"""


@pytest.fixture(scope="module")
def server(running_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Jupyter server as a hub starts it; its user's configuration names the stack, for the
    kernels and for the extension.
    """
    pytest.importorskip(
        "notebook", reason="Notebook 7 is not installed (pip install mecapy-jupyter[dev])"
    )
    chromium()
    exposed = [
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    with running(
        tmp_path_factory.mktemp("hub"), sys.executable, "-m", "jupyter_server", *exposed
    ) as started:
        started.says_configured(running_stack.url, running_stack.token)
        yield started


class Book:
    """A notebook in a page of its own, in either front end. Cells are counted from 0."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[Response] = []
        page.on(
            "response",
            lambda answer: self.asked.append(answer) if "/mecapy/tasks/" in answer.url else None,
        )

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def outputs(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-OutputArea-output")

    async def run(self, number: int) -> None:
        await self.cell(number).locator(".cm-content").click()
        await self.page.keyboard.press("Shift+Enter")

    async def block(self, number: int) -> Locator:
        """Its block, once the task runs."""
        block = self.cell(number).locator(".mecapy-block")
        await block.and_(self.page.locator("[data-phase=running]")).wait_for()
        return block

    async def bound(self, number: int) -> Locator:
        """The same of ENDLESS, once it has bound what the test asks for."""
        block = await self.block(number)
        await self.said(number, "bound")
        return block

    async def cancel(self, number: int) -> None:
        await self.cell(number).get_by_role("button", name="Cancel this task").click()

    async def said(self, number: int, text: str) -> str:
        """The output with that text, once it is there."""
        found = self.outputs(number).filter(has_text=text).first
        await found.wait_for()
        return await found.inner_text()


class Opener:
    def __init__(self, server: Server, browser: Browser) -> None:
        self.server, self.browser = server, browser
        self.pages: list[Page] = []

    async def __call__(self, name: str, cells: list[str], where: str = "lab") -> Book:
        import nbformat

        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells]
        )
        book.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(book, self.server.home / f"{name}.ipynb")
        page = await self.browser.new_page(viewport={"width": 1000, "height": 800})
        self.pages.append(page)
        page.set_default_timeout(WAIT_MS)
        path = PAGES[where].format(name=name)
        await page.goto(f"{self.server.url}{path}{'&' if '?' in path else '?'}token={PASSWORD}")
        await page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        opened = Book(page)
        await page.evaluate(SETTLED)
        await opened.run(0)
        await opened.cell(0).locator(".jp-InputArea-prompt", has_text="[1]:").wait_for()
        return opened


@pytest_asyncio.fixture(loop_scope="session")
async def open_book(server: Server, browser: Browser) -> AsyncIterator[Opener]:
    opener = Opener(server, browser)
    yield opener
    for page in opener.pages:
        await page.close()


def last_task(stack: Any) -> dict[str, Any]:
    return Gateway(stack.url, stack.token).get("/tasks", limit=1)["tasks"][0]


@pytest.mark.parametrize("where", PAGES)
async def test_cancel_while_the_cell_blocks_the_kernel(
    open_book: Opener, running_stack: Any, where: str
) -> None:
    """The button ends the task through the extension, behind the base URL; the notebook says how
    soon, and what was bound is there. The page never sees the token.
    """
    book = await open_book(f"cancel-{where}", CELLS, where)
    await book.run(1)
    await book.bound(1)
    await book.cancel(1)
    line = await book.said(1, "cancelled")
    assert re.search(r"cancelled · \d+:\d\d · stopped after \d+\.\d s · .*kept came back", line), (
        line
    )
    assert await book.said(1, "TaskCancelled") == "TaskCancelled"
    await book.run(2)
    await book.said(2, "kept is 42")
    task = last_task(running_stack)
    assert task["status"] == "cancelled"
    [asked] = book.asked
    assert (asked.status, asked.request.method) == (200, "POST")
    assert asked.url == f"{open_book.server.url}mecapy/tasks/{task['task_id']}/cancel"
    assert (
        running_stack.token
        not in await asked.text() + str(await asked.all_headers()) + await book.page.content()
    )


@pytest.mark.long
async def test_more_time_while_the_cell_blocks_the_kernel(
    open_book: Opener, running_stack: Any
) -> None:
    """`+10 min` moves the limit in the block, and the task outlives the one it was given."""
    lasting = "import time\nfor _ in range(60): time.sleep(0.5)\nlived = 'past 24 s'"
    cells = [LOAD, f"%%mecapy --progress-after 0.3 --timeout 24\n{lasting}"]
    book = await open_book("more-time", cells)
    await book.run(1)
    block = await book.block(1)
    await block.get_by_text("of 0:24").wait_for()
    await block.get_by_role("button", name="Let this task run ten minutes longer").click()
    await block.get_by_text("of 10:24").wait_for()
    await book.said(1, "lived")
    assert last_task(running_stack)["status"] == "completed"


async def test_interrupt_of_the_kernel(open_book: Opener, running_stack: Any) -> None:
    """The notebook's own interrupt ends the task on its worker, and what was bound is there."""
    book = await open_book("interrupt", CELLS)
    await book.run(1)
    await book.bound(1)
    await book.page.locator(
        "button[data-command='notebook:interrupt-kernel'], [data-jp-item-name=interrupt] *"
    ).first.click()
    await book.said(1, "stopped after")
    await book.run(2)
    await book.said(2, "kept is 42")
    assert last_task(running_stack)["status"] == "cancelled"


@pytest.mark.long
async def test_cancel_in_the_background_while_another_cell_runs(
    open_book: Opener, running_stack: Any
) -> None:
    """A `--bg` task is cancelled while the kernel is busy with something else, which goes on."""
    book = await open_book("background", [LOAD, IN_BACKGROUND, BLOCKING])
    await book.run(1)
    await book.block(1)
    await book.run(2)
    await book.said(2, "blocking")
    await book.cancel(1)
    await book.said(1, "stopped after")
    assert last_task(running_stack)["status"] == "cancelled"
    assert (
        await book.outputs(2).count() == 1
        and "[*]" in await book.cell(2).locator(".jp-InputArea-prompt").inner_text()
    )


@pytest.mark.long
async def test_a_restart_of_the_kernel_cancels_nothing(
    open_book: Opener, running_stack: Any
) -> None:
    """Jupyter interrupts a kernel before it restarts it. The task goes on all the same, and the new
    kernel takes it up.
    """
    book = await open_book("restarted", [LOAD, ENDLESS, f"{LOAD}\n%mecapy attach last"])
    await book.run(1)
    await book.bound(1)
    await book.page.evaluate(RESTARTED)
    await book.said(1, "%mecapy attach")
    await book.run(2)
    await book.bound(2)
    assert last_task(running_stack)["status"] == "running"
    await book.cancel(2)
    assert "kept came back" in await book.said(2, "stopped after")


async def test_cancel_when_the_kernel_is_gone(open_book: Opener, running_stack: Any) -> None:
    """A block whose kernel died says how its task is and how to bring it here. Its button still
    ends the task: never the new kernel, which works on something else.
    """
    book = await open_book(
        "killed", [f"{LOAD}\nimport os\nprint('pid', os.getpid())", ENDLESS, BLOCKING]
    )
    pid = int((await book.said(0, "pid")).split()[1])
    await book.run(1)
    block = await book.block(1)
    task = last_task(running_stack)
    os.kill(pid, signal.SIGKILL)
    await book.page.locator(".jp-Dialog button.jp-mod-accept").click()
    await block.get_by_text(f"%mecapy attach {task['task_id'][:8]}").wait_for()
    await book.page.evaluate(SETTLED)
    await book.run(2)
    await book.said(2, "blocking")
    await book.cancel(1)
    await block.and_(book.page.locator("[data-phase=cancelled]")).wait_for()
    assert last_task(running_stack)["status"] == "cancelled"
    assert await book.outputs(2).count() == 1


@pytest.mark.long
async def test_cancel_without_the_extension_knowing_the_task(
    open_book: Opener, running_stack: Any
) -> None:
    """Where the server's user has another gateway than the notebook,
    Cancel interrupts the kernel.
    """
    server = open_book.server
    book = await open_book("elsewhere", CELLS)
    await book.run(1)
    await book.block(1)
    server.says_configured("http://127.0.0.1:9", "none")
    try:
        async with book.page.expect_response("**/api/kernels/*/interrupt") as answer:
            await book.cancel(1)
        assert (await answer.value).status == 204
        await book.said(1, "stopped after")
    finally:
        server.says_configured(running_stack.url, running_stack.token)
