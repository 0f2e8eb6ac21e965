"""The page for people who know other systems: its code runs as it stands."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
BLOCK = re.compile(r'^```python title="(\w+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NEEDS = {"MecaPy": "mecapy_jupyter", "ipyparallel": "ipyparallel", "Dask": "distributed"}
PROOF = {
    "MecaPy": "[len(results), type(caught).__name__, bool(abs(measured.mean()) < 1e-12), sent < "
    "10_000, round(total), len(table), round(chained)]",
    "ipyparallel": "[len(results), caught.ename, bool(abs(measured.mean()) < 1e-12), "
    "round(value), len(table), round(chained)]",
    "Dask": "[len(results), type(caught).__name__, bool(abs(measured.mean()) < 1e-12), bool(norm "
    "> 0 and deviation > 0), round(value), len(table), round(chained)]",
}
SHOWN = {
    "MecaPy": "[3, 'TypeError', True, True, 190, 6, 63]",
    "ipyparallel": "[3, 'TypeError', True, 126, 6, 63]",
    "Dask": "[3, 'TypeError', True, True, 126, 6, 63]",
}


def blocks(system: str) -> list[str]:
    return [
        source.rstrip()
        for title, source in BLOCK.findall(PAGE.read_text())
        if title in ("all", system)
    ]


def test_every_task_is_shown_in_all_systems() -> None:
    """Connection and seven tasks each, five for Modal; leaving and coming back is two cells."""
    assert {system: len(blocks(system)) - 1 for system in (*NEEDS, "Modal")} == {
        "MecaPy": 9,
        "ipyparallel": 8,
        "Dask": 8,
        "Modal": 6,
    }


@pytest.mark.parametrize("system", NEEDS)
def test_code_of_the_page_runs(system: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Each block is a cell; at the end stands what the page promises."""
    if importlib.util.find_spec(NEEDS[system]) is None:
        pytest.skip(f"{system} is not installed (pip install {NEEDS[system]})")
    environment = (
        request.getfixturevalue("kernel_environment") if system == "MecaPy" else dict(os.environ)
    )
    sources = [*blocks(system), PROOF[system]]
    v4: Any = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=240,
        kernel_name="python3",
        resources=where,
        extra_arguments=["--log-level=ERROR"],
    ).execute(env=environment)
    assert notebook.cells[-1].outputs[-1].data["text/plain"] == SHOWN[system]
