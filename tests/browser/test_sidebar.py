"""The sidebar, in JupyterLab and Notebook 7, and a live block in a page that was reloaded while its
cell ran: a real stack, a real Jupyter server, a real browser.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mecapy_jupyter.client.http import Gateway

from .test_cancel import PAGES, Book, Opener, open_book, server

if TYPE_CHECKING:
    from playwright.async_api import Locator

__all__ = ["open_book", "server"]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

LOAD = "%load_ext mecapy_jupyter"
HELD = "%%mecapy --progress-after 0 --name held --timeout 300\nprint('begun')\n"
SETUP = "%mecapy packages meshio\nget_ipython().run_cell_magic('mecapy', '--setup', 'g = 9.81')"
TOKENS = "Object.values({...localStorage, ...sessionStorage}).join() + document.cookie"
OUT = Path(__file__).parents[2] / "test-output" / "sidebar"


async def sidebar(book: Book) -> Locator:
    """Opened, as the palette opens it."""
    await book.page.evaluate("jupyterapp.commands.execute('mecapy:tasks')")
    found = book.page.locator(".mecapy-sidebar")
    await found.wait_for()
    return found


async def picture(book: Book, name: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    await book.page.screenshot(path=OUT / f"{name}.png")


@pytest.mark.parametrize("where", PAGES)
async def test_my_tasks_beside_the_notebook(
    open_book: Opener, running_stack: Any, where: str
) -> None:
    """A running task stands there with a badge; its name leads to its cell, and Cancel, pressed
    twice, ends it. The page never sees the token.
    """
    endless = "%%mecapy --name beside --timeout 300\nimport time\nwhile True: time.sleep(0.05)"
    book = await open_book(f"sidebar-{where}", [LOAD, endless, "2 + 2"], where)
    await book.run(1)
    beside = await sidebar(book)
    task = beside.locator(".mecapy-task", has_text="beside").first
    await task.get_by_text("running").wait_for()
    if where == "lab":  # Notebook has no tabs beside it
        await book.page.locator("[data-mecapy]").first.wait_for()
    await picture(book, f"sidebar-{where}")
    await book.cell(2).locator(".cm-content").click()
    await task.locator(".mecapy-name").click()
    await book.cell(1).and_(book.page.locator(".jp-mod-active")).wait_for()
    await task.get_by_role("button", name="Cancel").click()
    await task.get_by_text("Cancel it?").click()
    await task.get_by_text("cancelled").wait_for()
    assert running_stack.token not in await book.page.content()
    assert running_stack.token not in await book.page.evaluate(TOKENS)
    for answer in book.asked:
        assert running_stack.token not in await answer.text()


@pytest.mark.parametrize("where", PAGES)
async def test_palette_launcher_and_this_notebook(open_book: Opener, where: str) -> None:
    """The palette puts the magic above a cell, the sidebar says what is set up for this notebook,
    and the launcher's card opens a notebook with a first cell.
    """
    book = await open_book(f"palette-{where}", [LOAD, SETUP, "2 + 2"], where)
    await book.run(1)
    beside = await sidebar(book)
    for line in ("packages: meshio", "class of machines: as each cell asks", "1 setup cell"):
        await beside.get_by_text(line, exact=True).wait_for()
    await picture(book, f"setup-{where}")
    await book.cell(2).locator(".cm-content").click()
    await entry(book, "Run This Cell on the Pool")
    await book.cell(2).get_by_text("%%mecapy").wait_for()
    if where == "lab":  # Notebook has no launcher; its palette has the same entry
        await book.page.evaluate("jupyterapp.commands.execute('launcher:create')")
        await picture(book, "launcher")
        await book.page.locator(".jp-LauncherCard", has_text="MecaPy: first cell").click()
        page = book.page
    else:
        async with book.page.context.expect_page() as opened:
            await entry(book, "MecaPy: first cell")
        page = await opened.value
    await page.get_by_text("A first cell on the pool").last.wait_for()
    await picture(Book(page), f"first-cell-{where}")


async def entry(book: Book, name: str) -> None:
    """Chosen in the palette, as a user does."""
    await book.page.keyboard.press("Control+Shift+C")
    await book.page.keyboard.type(name)
    found = book.page.locator(".lm-CommandPalette-item", has_text=name).first
    await found.wait_for()
    await picture(book, f"palette-{name[:3]}")
    await found.click()


async def test_a_reload_while_a_cell_runs(open_book: Opener, gate: Any, running_stack: Any) -> None:
    """The line lives on in the new page and shows the end, which the saved notebook has too."""
    book = await open_book("reloaded", [LOAD, HELD + gate.wait + "kept = 42"])
    await book.run(1)
    await book.block(1)
    await book.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    await book.page.wait_for_timeout(1000)
    await book.page.reload()
    line = book.cell(1).locator(".mecapy-block[data-phase=running]")
    await line.wait_for()
    await picture(book, "reloaded-running")
    gate.open()
    said = await book.said(1, "completed")
    assert re.match(r"✔ completed · \d+:", said), said
    await picture(book, "reloaded-completed")
    await book.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    await book.page.reload()
    assert re.match(r"✔ completed · \d+:", await book.said(1, "completed"))
    saved = json.loads((book_file(open_book, "reloaded")).read_text())
    assert "Loading widget" not in json.dumps(saved)
    assert Gateway(running_stack.url, running_stack.token).get("/tasks", limit=1)


def book_file(opener: Opener, name: str) -> Path:
    return opener.server.home / f"{name}.ipynb"
