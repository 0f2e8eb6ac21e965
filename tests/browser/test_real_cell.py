"""The live block over the whole line: a real stack runs the cells of a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mecapy_jupyter.client.http import Gateway

if TYPE_CHECKING:
    from ..gate import Gate
    from .conftest import Lab, OpenNotebook

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONNECT = """import os
os.environ["MECAPY_URL"] = {url!r}
os.environ["MECAPY_TOKEN"] = {token!r}
"""
SLOW = """%%mecapy --progress-after 0.3
print("begun")
{}answer = bytes(2_000_000)
"""
LOOP = """%%mecapy --progress-after 0.3
from tqdm import tqdm
import time
total = 0
for load in tqdm(range(40), desc="loads"):
    time.sleep(0.25)
    total += load
print("total is", total)
"""
SLIDER = """%%mecapy --quiet
import ipywidgets as widgets
seen = []
load = widgets.IntSlider(value=3, max=20, description="load")
load.observe(lambda change: seen.append(change["new"]), names="value")
load
"""
MOVED = """import ipywidgets as widgets, time
load = widgets.IntSlider(value=3, max=20, description="load")
stop, said, stopped = widgets.Button(description="Stop"), widgets.Label(), []
stop.on_click(lambda _: stopped.append(True))
display(load, stop, said)
while not stopped:
    at = load.value
    said.value = f"the loop sees {at}"
    time.sleep(0.05)
"""
ENDLESS = """%%mecapy --progress-after 0.3
import time
while True:
    time.sleep(0.1)
"""
FLOOD = """%%mecapy --progress-after 0.3
line = "x" * 99 + "\\n"
for _ in range(1000):
    print(line * 1000, end="")
"""
FRAMES = """() => new Promise(done => {
  const began = performance.now();
  let longest = 0, last = began;
  const frame = now => {
    longest = Math.max(longest, now - last);
    last = now;
    now - began < 2000 ? requestAnimationFrame(frame) : done(longest);
  };
  requestAnimationFrame(frame);
})"""


async def test_a_cell_runs_and_is_cancelled(
    running_stack: Any, lab: Lab, open_notebook: OpenNotebook, gate: Gate
) -> None:
    """The block shows the worker and what came back of one cell; its Cancel ends the next one, in
    the notebook and on the worker.
    """
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    book = await open_notebook(
        "real-cell", ["%run connect.py\n%load_ext mecapy_jupyter", SLOW.format(gate.wait), ENDLESS]
    )
    await book.run(0)
    await book.run(1)
    await (
        book.cell(1)
        .locator(".mecapy-block[data-phase=running]")
        .get_by_text("running on")
        .wait_for()
    )
    gate.open()
    await book.ended(1)
    await book.outputs(1).get_by_text("answer (2 MB)").wait_for()
    assert sorted(text[:1] for text in await book.outputs(1).all_inner_texts()) == ["b", "✔"]
    await book.run(2)
    await book.cell(2).locator(".mecapy-block[data-phase=running]").wait_for()
    await book.cell(2).get_by_role("button", name="Cancel this task").click()
    await book.outputs(2).get_by_text("TaskCancelled").first.wait_for()
    assert (await book.outputs(2).first.inner_text()).startswith("■")
    gateway = Gateway(running_stack.url, running_stack.token)
    assert [task["status"] for task in gateway.get("/tasks", limit=2)["tasks"]] == [
        "cancelled",
        "completed",
    ]


@pytest.mark.long
async def test_a_loop_is_left_and_come_back_to(
    running_stack: Any, lab: Lab, open_notebook: OpenNotebook
) -> None:
    """The cell's own tqdm is the block's bar. Detached, the task goes on; attached to, its bar goes
    on and it all comes home.
    """
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    cells = [
        "%run connect.py\n%load_ext mecapy_jupyter",
        LOOP,
        "print('the kernel is free')",
        "%mecapy attach last",
        "print(total + 1)",
    ]
    book = await open_notebook("left-cell", cells)
    await book.run(0)
    await book.run(1)
    await book.cell(1).locator(".mecapy-note", has_text="loads").wait_for()
    await book.cell(1).get_by_role("button", name="Detach").click()
    await book.outputs(1).get_by_text("TaskDetached").first.wait_for()
    await book.run(2)
    await book.outputs(2).get_by_text("the kernel is free").wait_for()
    await book.run(3)
    await book.cell(3).locator(".mecapy-note", has_text="loads").wait_for()
    await book.ended(3)
    await book.outputs(3).get_by_text("total is 780").wait_for()
    shown = "".join(await book.outputs(3).all_inner_texts())
    assert shown.count("100%|") == 1 and "total (" not in shown
    await book.run(4)
    await book.outputs(4).get_by_text("781").wait_for()


@pytest.mark.long
async def test_a_flood_of_output(running_stack: Any, lab: Lab, open_notebook: OpenNotebook) -> None:
    """A cell prints 100 MB: the page gets the first 2 MiB and a line that says so, and stays
    usable: it draws, scrolls, and runs the next cell.
    """
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    book = await open_notebook(
        "flood",
        ["%run connect.py\n%load_ext mecapy_jupyter", FLOOD, "print('the page', 'is usable')"],
    )
    await book.run(0)
    await book.run(1)
    await book.ended(1)
    await book.outputs(1).get_by_text("log keeps all of it").wait_for()
    longest_ms = await book.page.evaluate(FRAMES)
    await book.run(2)
    await book.outputs(2).get_by_text("the page is usable").wait_for()
    shown = await book.outputs(1).evaluate_all(
        "outputs => outputs.reduce((sum, output) => sum + output.textContent.length, 0)"
    )
    assert 1_000_000 < shown < 6_000_000
    assert longest_ms < 5_000  # a busy machine draws seldom; a page that hangs does not draw at all


@pytest.mark.long
async def test_a_slider_made_in_a_cell_is_shown_and_live(
    running_stack: Any, lab: Lab, open_notebook: OpenNotebook
) -> None:
    """The page shows it where the worker left it, and moved there it calls what the cell had hung
    onto it, in the notebook's kernel.
    """
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    book = await open_notebook(
        "slider", ["%run connect.py\n%load_ext mecapy_jupyter", SLIDER, "print(load.value, seen)"]
    )
    await book.run(0)
    await book.run(1)
    await book.ended(1)
    slider = book.cell(1).locator(".widget-slider")
    await slider.get_by_text("load").wait_for()
    assert await slider.locator(".widget-readout").inner_text() == "3"
    await slider.locator(".noUi-handle").focus()
    await book.page.keyboard.press("ArrowRight")
    await slider.locator(".widget-readout", has_text="4").wait_for()
    await book.run(2)
    await book.outputs(2).get_by_text("4 [4]").wait_for()


@pytest.mark.long
@pytest.mark.parametrize("option", ["", "--bg --as job"])
async def test_a_running_loop_sees_its_slider_and_its_button(
    running_stack: Any, lab: Lab, open_notebook: OpenNotebook, option: str
) -> None:
    """A loop on the pool, which the kernel waits for or not: the slider that is moved in the page
    is moved in the loop, and the Stop button ends it.
    """
    (lab.root / "connect.py").write_text(
        CONNECT.format(url=running_stack.url, token=running_stack.token)
    )
    cells = [
        "%run connect.py\n%load_ext mecapy_jupyter",
        f"%%mecapy {option}\n{MOVED}",
        "job.result() if 'job' in globals() else None\nprint('at', at, load.value)",
    ]
    book = await open_notebook(f"moved{len(option)}", cells)
    await book.run(0)
    await book.run(1)
    slider = book.cell(1).locator(".widget-slider")
    await slider.locator(".noUi-handle").focus()
    for _ in range(3):
        await book.page.keyboard.press("ArrowRight")
    await book.cell(1).locator(".widget-label", has_text="the loop sees 6").wait_for()
    await slider.locator(".widget-readout", has_text="6").wait_for()
    await book.cell(1).get_by_role("button", name="Stop").click()
    await book.run(2)
    await book.outputs(2).get_by_text("at 6 6").wait_for()
