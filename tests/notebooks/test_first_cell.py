"""The notebook a newcomer meets first, as `make demo` runs it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from notebooks import run_demo

FIRST = Path(run_demo.__file__).with_name("01_first_cell.ipynb")


def test_is_saved_without_outputs() -> None:
    """What is tracked is what a user would write: no outputs, no counts, a handful of short cells."""
    cells = [cell for cell in nbformat.read(FIRST, as_version=4).cells if cell.cell_type == "code"]
    assert 5 <= len(cells) <= 8
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert sum(cell.source.startswith("%%mecapy") for cell in cells) == 1


@pytest.mark.timeout(240)
def test_runs_and_shows_what_came_back(running_stack: run_demo.Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The heavy cell runs on a worker as one completed task, the check against the handbook holds, and both pictures are saved."""
    known = {task["task_id"] for task in run_demo.tasks(running_stack)}
    notebook, _ = run_demo.execute(FIRST, running_stack)
    ran = [task for task in run_demo.tasks(running_stack) if task["task_id"] not in known]
    assert [task["status"] for task in ran] == ["completed"]
    run_demo.show(notebook, ran, tmp_path)
    said = capsys.readouterr().out
    assert "104,922 unknowns" in said
    assert "difference from the handbook" in said
    assert [path.read_bytes()[:4] for path in sorted(tmp_path.iterdir())] == [b"\x89PNG"] * 2
