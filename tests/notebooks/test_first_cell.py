"""The notebook a newcomer meets first, as `make demo` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks import run_demo

FIRST = Path(run_demo.__file__).with_name("01_first_cell.ipynb")


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
