"""The live block over the whole line: a real stack runs the cells of a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mecapy_jupyter.http import Gateway

if TYPE_CHECKING:
    from .conftest import Lab, OpenNotebook

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONNECT = """import os
os.environ["MECAPY_URL"] = {url!r}
os.environ["MECAPY_TOKEN"] = {token!r}
"""
SLOW = """%%mecapy --progress-after 0.3
import time
print("begun")
time.sleep(3)
answer = bytes(2_000_000)
"""
ENDLESS = """%%mecapy --progress-after 0.3
import time
while True:
    time.sleep(0.1)
"""


async def test_a_cell_runs_and_is_cancelled(running_stack: Any, lab: Lab, open_notebook: OpenNotebook) -> None:
    """The block shows the worker and what came back of one cell; its Cancel ends the next one, in the notebook and on the worker."""
    (lab.root / "connect.py").write_text(CONNECT.format(url=running_stack.url, token=running_stack.token))
    book = await open_notebook("real-cell", ["%run connect.py\n%load_ext mecapy_jupyter", SLOW, ENDLESS])
    await book.run(0)
    await book.run(1)
    await book.cell(1).locator(".mecapy-block[data-phase=running]").get_by_text("running on").wait_for()
    await book.ended(1)
    await book.outputs(1).get_by_text("answer (2 MB)").wait_for()
    assert sorted(text[:1] for text in await book.outputs(1).all_inner_texts()) == ["b", "✔"]
    await book.run(2)
    await book.cell(2).locator(".mecapy-block[data-phase=running]").wait_for()
    await book.cell(2).get_by_role("button", name="Cancel this task").click()
    await book.outputs(2).get_by_text("TaskCancelled").first.wait_for()
    assert (await book.outputs(2).first.inner_text()).startswith("■")
    gateway = Gateway(running_stack.url, running_stack.token)
    assert [task["status"] for task in gateway.get("/tasks", limit=2)["tasks"]] == ["cancelled", "completed"]
