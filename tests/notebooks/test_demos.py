"""The six demo notebooks: saved with outputs that are true, run for real, nothing of one machine
in them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from notebooks import run_demo

FOLDER = Path(run_demo.__file__).parent
DEMOS = sorted(FOLDER.glob("0*.ipynb"))
FIRST = FOLDER / "01_first_cell.ipynb"
LEFT = FOLDER / "03_left_and_reattached.ipynb"


class Ran(NamedTuple):
    notebook: Any
    tasks: list[dict[str, Any]]


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def printed(cell: Any) -> str:
    return "".join(
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


@pytest.fixture(scope="module")
def run_again(running_stack: run_demo.Stack) -> Callable[[Path], Ran]:
    """Runs a notebook as `make demo` does; once, however many tests look at what came of it."""

    @cache
    def run(path: Path) -> Ran:
        known = {task["task_id"] for task in run_demo.tasks(running_stack)}
        notebook, _ = run_demo.execute(path, running_stack)
        return Ran(
            notebook,
            [task for task in run_demo.tasks(running_stack) if task["task_id"] not in known],
        )

    return run


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_is_saved_as_its_readers_see_it(path: Path) -> None:
    """Every notebook has a remote part, pictures, a last cell that checks the physics, and is small
    enough for a repository.
    """
    cells = code(nbformat.read(path, as_version=4))
    assert 5 <= len(cells) <= 16
    assert any("%%mecapy" in cell.source or "sweep(" in cell.source for cell in cells)
    assert sum(map(pictures, cells)) >= 1
    assert "assert " in cells[-1].source and printed(cells[-1])
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert path.stat().st_size < 2_500_000
    # in a window of 1000 px nothing scrolls sideways
    assert max(len(line) for cell in cells for line in cell.source.splitlines()) <= 100


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path == FIRST else pytest.mark.long)
        for path in DEMOS
        if path != LEFT
    ],
)
def test_gives_what_it_was_saved_with(path: Path, run_again: Callable[[Path], Ran]) -> None:
    """Run again, it draws as many pictures in the same cells, and its last cell comes to the same
    result, digit by digit.
    """
    saved = code(nbformat.read(path, as_version=4))
    again = code(run_again(path).notebook)
    assert [pictures(cell) for cell in again] == [pictures(cell) for cell in saved]
    assert printed(again[-1]) == printed(saved[-1])


def test_the_first_one_shows_what_came_back(
    run_again: Callable[[Path], Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one a newcomer meets: its heavy cell runs on a worker as one completed task, the check
    against the handbook holds, and both pictures are saved.
    """
    notebook, ran = run_again(FIRST)
    assert [task["status"] for task in ran] == ["completed"]
    run_demo.show(notebook, ran, tmp_path)
    said = capsys.readouterr().out
    assert "104,922 unknowns" in said
    assert "difference from the handbook" in said
    assert [path.read_bytes()[:4] for path in sorted(tmp_path.iterdir())] == [b"\x89PNG"] * 2


@pytest.mark.long
async def test_survives_a_real_restart(kernel_environment: dict[str, str]) -> None:
    """Where the third notebook says so the kernel is really restarted, and all cells after it still
    hold.
    """
    notebook = nbformat.read(LEFT, as_version=4)
    saved = printed(code(notebook)[-1])
    client = NotebookClient(
        notebook,
        timeout=run_demo.CELL_S,
        startup_timeout=240,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
    )
    async with client.async_setup_kernel(env=kernel_environment):
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code" and cell.source == "%reset -f":
                assert client.km is not None and client.kc is not None
                await client.km._async_restart_kernel(now=True)
                await client.kc._async_wait_for_ready(timeout=240)
            elif cell.cell_type == "code":
                await client.async_execute_cell(cell, number)
    attached = next(cell for cell in code(notebook) if cell.source == "%mecapy attach")
    assert "0 min: centre  850" in printed(attached) and "60 min: centre" in printed(attached)
    assert printed(code(notebook)[-1]) == saved
