"""The pictures of README.md and docs/gallery.md, taken anew into test-output/gallery, in a real
JupyterLab.

The block's events are scripted, so that every machine takes the same pictures; what draws them is
what a user has. README's first minute is a real cell on a real stack.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .block_cells import PLAY
from .test_real_cell import CONNECT

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from .conftest import Lab, Notebook, OpenNotebook

pytestmark = pytest.mark.asyncio(loop_scope="session")

OUT = Path(__file__).parents[2] / "test-output" / "gallery"

SCRIPT = (
    PLAY
    + '''
from IPython.core.magic import register_cell_magic
from mecapy_jupyter.errors import TaskDetached
from mecapy_jupyter.hooks.ipython import show_as

LiveBlock._age_s = lambda block, event: 42.0 if event.type == "started" else 0.0

STARTED = event("started", worker="w2", memory_limit_bytes=8e9)
USED = [event("usage", cpu_percent=780.0, memory_bytes=used * 1e9)
        for used in (0.4, 1.1, 1.9, 2.2, 2.1, 3.8, 4.1, 4.0, 5.1)]
SCENES = {
    "queued": ([event("queued", position=3, of=7, eta_s=25)], 60),
    "running": ([STARTED, *USED,
                 event("progress", fraction=0.62, text="loads 31/50 · 1 min left")], 60),
    "done": ([STARTED, *USED], 0.6),
    "failed": ([STARTED, *USED], 0.6),
    "cancelled": ([STARTED, *USED], 60),
    "detached": ([STARTED, *USED], 60),
}
ENDS = {"done": ["T (12 MB)", "residuals changed"], "failed": ["T"], "cancelled": ["T"]}

@register_cell_magic
def mecapy(line, body):
    """Plays the scene that the cell's name says."""
    name = line.rpartition(" ")[2]
    events, hold_s = SCENES[name]
    try:
        play([(0.0, one) for one in events], outcome_of(name), ENDS.get(name, ()),
             name=name, after_s=0.0, expected_s=220.0, hold=hold_s)
    except (TaskCancelled, TaskDetached) as error:
        raise show_as(error, [type(error).__name__]) from None
    if name == "failed":
        shown_error(f"%%mecapy {line}\\n{body}")

def outcome_of(name):
    error = None
    if name == "failed":
        error = wire.ErrorInfo("cell", "ZeroDivisionError", "float division by zero", 5)
    return wire.Outcome("failed" if error else "completed", error=error, seconds=218.0)

def shown_error(text):
    shell = get_ipython()
    code = shell.compile.cache(text, shell.execution_count - 1)
    try:
        exec(compile(text.replace("%%mecapy", "#"), code, "exec"), shell.user_ns)
    except ZeroDivisionError as error:
        raise show_as(error, shell.InteractiveTB.structured_traceback(
            type(error), error, error.__traceback__.tb_next)) from None

loads, areas = [1.0], [2.0, 0.0]
'''
)

SOLVE = """%%mecapy --name {name}
from tqdm import tqdm
T = []
for load in tqdm(loads, desc="loads"):
    T.append(solve(mesh, load))"""
FAILING = """%%mecapy --name failed
T = []
for area in areas:
    T.append(area)
    stress = loads[0] / area"""
CELLS = {"script": SCRIPT} | {
    name: SOLVE.format(name=name) for name in ("queued", "running", "done", "cancelled", "detached")
}
CELLS |= {"failed": FAILING}
PLAIN = """.jp-Notebook .jp-Cell:first-child, .jp-cell-toolbar { display: none !important; }
.jp-Collapser { visibility: hidden; } .jp-Cell { border-color: transparent !important; }"""
NUMBER = {name: number for number, name in enumerate(CELLS)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def book(open_notebook: OpenNotebook) -> Notebook:
    OUT.mkdir(parents=True, exist_ok=True)
    book = await open_notebook("gallery", list(CELLS.values()), width=860, height=1000, scale=2)
    await book.run(0)
    await book.ended(0)
    await book.page.add_style_tag(content=PLAIN)
    return book


async def shot(book: Notebook, cell: str, picture: str) -> None:
    """The cell with its output, with the pointer away and every transition over."""
    await book.page.mouse.move(5, 5)
    await asyncio.sleep(0.3)  # the bar grows for 0.2 s
    await book.cell(NUMBER[cell]).screenshot(path=OUT / f"{picture}.png")


@pytest.mark.long
async def test_pictures(book: Notebook) -> None:
    """Queued, running with its bar, dark, narrow, done, failed, cancelled, detached, and reopened:
    each is what it is named.
    """
    for name, phase in (
        ("queued", "queued"),
        ("running", "running"),
        ("cancelled", "running"),
        ("detached", "running"),
    ):
        number = NUMBER[name]
        await book.run(number)
        block = book.cell(number).locator(f".mecapy-block[data-phase={phase}]")
        await block.wait_for()
        if phase == "running":
            await block.get_by_text("5.1 of 8 GB").wait_for()
        if name == "running":
            await block.get_by_text("31/50").wait_for()
            await shot(book, name, name)
            await book.theme("JupyterLab Dark")
            await shot(book, name, "dark")
            await book.theme("JupyterLab Light")
            await book.page.set_viewport_size({"width": 420, "height": 1000})
            await shot(book, name, "narrow")
            assert await block.evaluate("block => block.scrollWidth <= block.clientWidth")
            await book.page.set_viewport_size({"width": 860, "height": 1000})
        elif name == "queued":
            await shot(book, name, name)
        await (
            book.cell(number)
            .get_by_role("button", name="Detach" if name == "detached" else "Cancel this task")
            .click()
        )
        await book.ended(number)
        await (
            book.outputs(number)
            .get_by_text("TaskDetached" if name == "detached" else "TaskCancelled")
            .first.wait_for()
        )
        if name in ("cancelled", "detached"):
            await shot(book, name, name)
    for name, text in (("done", "3:38"), ("failed", "line 5")):
        await book.run(NUMBER[name])
        await book.ended(NUMBER[name])
        await book.outputs(NUMBER[name]).get_by_text(text).first.wait_for()
        await shot(book, name, name)
    await book.save()
    await book.page.reload()
    await book.cell(NUMBER["done"]).get_by_text("3:38").wait_for()
    await book.page.add_style_tag(content=PLAIN)
    assert await book.page.locator(".mecapy-block").count() == 0
    await shot(book, "done", "reopened")


HEAT = """%%mecapy
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

T = np.zeros((120, 300))
T[0] = 100  # one edge of the plate is hot
for step in tqdm(range(80_000), "heat", leave=False):
    T[1:-1, 1:-1] = (T[:-2, 1:-1] + T[2:, 1:-1] +
                     T[1:-1, :-2] + T[1:-1, 2:]) / 4

plt.figure(figsize=(6, 2.2))
plt.imshow(T, cmap="inferno")
plt.colorbar(label="°C");"""
# The stack is an embedded one, though reached by its address: its only host is not named.
ALONE = "from mecapy_jupyter.client.http import Gateway\nGateway.embedded = True"
HOME = "T.shape, round(float(T[60].mean()), 1)"
MINUTE = """<style>
body { margin: 0; width: 820px; background: #fff; font: 17px/1.4 system-ui, sans-serif; }
section { padding: 14px 20px; color: #1f2328; } section + section { border-top: 1px solid #d0d7de; }
h2 { font-size: 17px; font-weight: 600; margin: 0 0 8px; }
pre { margin: 0; padding: 12px 16px; border-radius: 6px; background: #1f2328; color: #f0f3f6;
  font: 15px/1.5 monospace; }
img { display: block; width: 780px; }
</style>
<section><h2>1 · Install it and open a notebook</h2>
<pre>$ pip install 'mecapy-jupyter[local]' jupyterlab
$ jupyter lab</pre></section>
<section><h2>2 · Write %%mecapy above a heavy cell, and run it: a worker computes</h2>
<img src="data:image/png;base64,{running}"></section>
<section><h2>3 · Plot and variables come home</h2>
<img src="data:image/png;base64,{home}"></section>"""


@pytest.mark.long
async def test_the_first_minute(
    running_stack: Any, lab: Lab, open_notebook: OpenNotebook, browser: Browser
) -> None:
    """README's picture: the cell runs with its bar; then its plot, and its variable in the next
    cell.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    cells = [f"%run connect.py\n{ALONE}", "%load_ext mecapy_jupyter", HEAT, HOME]
    book = await open_notebook("first-minute", cells, width=840, height=1400, scale=1.5)
    for number in (0, 1):
        await book.run(number)
        await book.ended(number)
    await book.page.add_style_tag(content=PLAIN)
    await book.run(2)
    await book.run(3)
    bar = book.cell(2).locator(".mecapy-bar[aria-valuenow]")
    await bar.wait_for()
    await book.page.wait_for_function(
        "bar => bar.ariaValueNow >= 40", arg=await bar.element_handle()
    )
    running = await seen(book, 1, 2)
    await book.ended(3)
    await book.outputs(2).locator("img").wait_for()
    await book.outputs(3).get_by_text("(120, 300)").wait_for()
    home = await seen(book, 2, 3, below_code=True)
    page = await browser.new_page(viewport={"width": 820, "height": 600}, device_scale_factor=1.5)
    await page.set_content(MINUTE.replace("{running}", running).replace("{home}", home))
    await page.screenshot(path=OUT / "first-minute.png", full_page=True)
    assert (OUT / "first-minute.png").stat().st_size < 400_000


async def seen(book: Notebook, first: int, last: int, below_code: bool = False) -> str:
    """A picture of these cells with their outputs, for a page."""
    await book.page.mouse.move(5, 5)
    await asyncio.sleep(0.3)  # the bar grows for 0.2 s
    begin = book.cell(first)
    top = await (begin.locator(".jp-Cell-outputWrapper") if below_code else begin).bounding_box()
    end = await book.cell(last).bounding_box()
    assert top and end
    end["height"] += end["y"] - top["y"]
    end["y"] = top["y"]
    return base64.b64encode(await book.page.screenshot(clip=end)).decode()
