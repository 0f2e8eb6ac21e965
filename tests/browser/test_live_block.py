"""The live block in a real JupyterLab: events are synthetic, everything else is what a user has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from .block_cells import CELLS, EVIL, NUMBER

if TYPE_CHECKING:
    from .conftest import Lab, Notebook, OpenNotebook

pytestmark = pytest.mark.asyncio(loop_scope="session")

KERNEL = "jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def book(open_notebook: OpenNotebook) -> Notebook:
    """One notebook for all tests of this file, each with a cell of its own."""
    book = await open_notebook("live-block", list(CELLS.values()))
    await book.run(NUMBER["play"])
    await book.ended(NUMBER["play"])
    return book


async def test_a_short_cell_shows_only_its_own_output(book: Notebook) -> None:
    """A cell that ends before `after_s` leaves nothing to see of a block: its place is empty."""
    number = NUMBER["short"]
    await book.run(number)
    await book.ended(number)
    texts = await book.outputs(number).all_inner_texts()
    assert [text for text in texts if text] == ["forty-two\n"]


async def test_from_queued_to_done_in_one_place(book: Notebook) -> None:
    """The block is queued, runs with a clock that ticks in the browser, and is saved as HTML and
    text that need no widget.
    """
    number = NUMBER["whole"]
    await book.run(number)
    block = book.cell(number).locator(".mecapy-block")
    await block.and_(book.page.locator("[data-phase=queued]")).get_by_text("3rd of 7").wait_for()
    book.go("queued seen")
    await block.and_(book.page.locator("[data-phase=running]")).get_by_text("780 % cpu").wait_for()
    await block.locator(".mecapy-clock", has_text=re.compile(r"\d:\d[1-9]")).wait_for()
    book.go("clock seen")
    await book.ended(number)
    await book.outputs(number).get_by_text("3:38").wait_for()
    assert await block.count() == 0
    saved: dict[str, Any] = await book.save()
    [output] = saved["cells"][number]["outputs"]
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "".join(output["data"]["text/plain"]) == "✔ 3:38 · T (12 MB), residuals changed"
    assert "<script" not in json.dumps(output)
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(template_name="basic").from_filename(str(book.path))
    assert page.count("T (12 MB), residuals changed") == 1 and "mecapy-block" not in page


async def test_cancel_interrupts_the_blocked_kernel(book: Notebook) -> None:
    """The Cancel button, pressed by keyboard while the cell blocks the kernel, ends the cell as an
    interrupt does.
    """
    number = NUMBER["endless"]
    await book.run(number)
    await book.cell(number).get_by_role("button", name="Cancel this task").focus()
    async with book.page.expect_response("**/api/kernels/*/interrupt") as answer:
        await book.page.keyboard.press("Enter")
    assert (await answer.value).status == 204
    await book.outputs(number).get_by_text("TaskCancelled").first.wait_for()
    assert re.search(r"cancelled · \d+:", await book.outputs(number).first.inner_text())


async def test_detach_frees_the_blocked_kernel(book: Notebook) -> None:
    """The Detach button, reached with Tab and pressed while the cell blocks the kernel, ends the
    wait and says how to come back.
    """
    number = NUMBER["left"]
    await book.run(number)
    await book.cell(number).get_by_role("button", name="Cancel this task").focus()
    await book.page.keyboard.press("Tab")
    await book.page.keyboard.press("Enter")
    await book.outputs(number).get_by_text("TaskDetached").first.wait_for()
    assert "%mecapy attach 1a2b3c4d" in await book.outputs(number).first.inner_text()


async def test_detach_where_the_page_has_no_control_channel(book: Notebook) -> None:
    """As in VS Code or Colab, where nothing reaches a busy kernel: the button says what to do
    instead. Cancel still works.
    """
    number = NUMBER["left alone"]
    await book.page.evaluate(f"{KERNEL}.sendControlMessage = null")
    await book.run(number)
    await book.cell(number).get_by_role("button", name="Detach").click()
    await (
        book.cell(number).get_by_text("Restart the kernel, then %mecapy attach 1a2b3c4d").wait_for()
    )
    await book.page.evaluate(f"delete {KERNEL}.sendControlMessage")
    await book.cell(number).get_by_role("button", name="Cancel this task").click()
    await book.outputs(number).get_by_text("TaskCancelled").first.wait_for()


async def test_the_bar_follows_the_progress(book: Notebook) -> None:
    """A bar with what the task says of it, read aloud as a progress bar; without a fraction it
    promises none.
    """
    number = NUMBER["bar"]
    await book.run(number)
    cell, told = book.cell(number), "62 %, loads 31/50 · 1 min left"
    bar = f'[role="progressbar"][aria-valuenow="62"][aria-valuetext="{told}"]'
    await cell.locator(bar).wait_for()
    book.go("bar seen")
    await cell.locator(".mecapy-note").filter(has_text="31 loads").wait_for()
    assert await cell.get_by_role("progressbar").get_attribute("aria-valuenow") is None
    book.go("loads seen")
    await book.ended(number)


async def test_a_local_loop_has_the_same_bar(book: Notebook) -> None:
    """`track` in a cell that runs here: the block while it runs, and one line that stays."""
    number = NUMBER["local"]
    await book.run(number)
    await book.cell(number).locator(".mecapy-note", has_text="loads 2/4").wait_for()
    book.go("two seen")
    await book.ended(number)
    await book.outputs(number).get_by_text("loads 4/4").wait_for()
    assert [text.split()[0] for text in await book.outputs(number).all_inner_texts()] == ["✔\ufe0e"]


async def test_hostile_text_stays_text(book: Notebook) -> None:
    """Names, notes and worker ids that are HTML are shown as the text they are, live and
    afterwards; the bar follows the fraction.
    """
    number = NUMBER["hostile"]
    await book.run(number)
    bar = book.cell(number).get_by_role("progressbar")
    await bar.wait_for()
    assert await bar.get_attribute("aria-valuenow") == "25"
    assert await book.cell(number).locator(".mecapy-note").inner_text() == f"25 % · {EVIL}"
    assert "running on <img src=x" in await book.cell(number).locator(".mecapy-line").inner_text()
    book.go("hostile read")
    await book.ended(number)
    await book.outputs(number).get_by_text("line 7").wait_for()
    assert EVIL in await book.outputs(number).inner_text()
    assert await book.cell(number).locator("img").count() == 0
    assert await book.page.evaluate("window.broken ?? null") is None


async def test_clear_output_brings_the_block_back(book: Notebook) -> None:
    """A cell that clears its output (an animation) does not lose its block, and keeps its last
    frame.
    """
    number = NUMBER["clearing"]
    await book.run(number)
    await book.ended(number)
    await book.outputs(number).get_by_text("3:38").wait_for()
    assert [text.split() for text in await book.outputs(number).all_inner_texts()] == [
        ["✔\ufe0e", "3:38"],
        ["frame", "4"],
    ]


async def test_it_fits_narrow_windows_in_both_themes(book: Notebook) -> None:
    """In a window of 420 px nothing of the block is cut off, and in both themes its text stands out
    from the ground.
    """
    number = NUMBER["narrow"]
    await book.page.set_viewport_size({"width": 420, "height": 700})
    await book.run(number)
    block = book.cell(number).locator(".mecapy-block[data-phase=running]")
    await block.get_by_text("5.1 of 8 GB").wait_for()
    assert await block.evaluate("block => block.scrollWidth <= block.clientWidth")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        await book.theme(theme)
        assert await block.evaluate(CONTRAST) > 4.5
    book.go("narrow seen")
    await book.ended(number)


async def test_nothing_is_asked_of_other_hosts(book: Notebook, lab: Lab) -> None:
    """In all these tests the page has spoken to its own Jupyter server only."""
    hosts = {
        urlsplit(address).netloc for address in book.asked if address.startswith(("http", "ws"))
    }
    assert hosts == {urlsplit(lab.url).netloc}


async def test_motion_is_left_out_where_it_is_not_wanted(book: Notebook) -> None:
    """With `prefers-reduced-motion` neither the ring turns nor a bar without an end wanders."""
    number = NUMBER["still"]
    await book.page.emulate_media(reduced_motion="reduce")
    await book.run(number)
    block = book.cell(number).locator(".mecapy-block[data-phase=running]")
    await block.locator(".mecapy-note", has_text="31 loads").wait_for()
    for part in (".mecapy-icon", ".mecapy-fill"):
        assert (
            await block.locator(part).evaluate("part => getComputedStyle(part).animationName")
            == "none"
        )
    book.go("still seen")
    await book.ended(number)


CONTRAST = """block => {
  const luminance = css => {
    const [r, g, b] = css.match(/[\\d.]+/g).map(Number).map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let ground = block;
  while (getComputedStyle(ground).backgroundColor.replace(/\\s/g, "").endsWith(",0)"))
    ground = ground.parentElement;
  const pair = [
    getComputedStyle(block.querySelector(".mecapy-phase")).color,
    getComputedStyle(ground).backgroundColor,
  ].map(luminance);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
