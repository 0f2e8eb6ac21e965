"""The pictures of docs/gallery.md, taken anew into test-output/gallery: what the block looks like,
in a real JupyterLab.

Events are scripted, so that every machine takes the same pictures; what draws them is what a user
has.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from .test_live_block import PLAY

if TYPE_CHECKING:
    from .conftest import Notebook, OpenNotebook

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
             name=name, after_s=0.0, expected_s=220.0, hold_s=hold_s)
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
