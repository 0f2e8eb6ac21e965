"""A notebook and a folder of the test's own."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from .notebook import Notebook, RunWithModule, importable


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    return place


@pytest.fixture
def run_with_module(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunWithModule:
    """The notebook afterwards; the cell had all its variables."""

    def ran(module: str, before: str, cell: str) -> Notebook:
        (tmp_path / "mod.py").write_text(textwrap.dedent(module))
        importable(monkeypatch, tmp_path)
        monkeypatch.delitem(sys.modules, "mod", raising=False)
        notebook.local("import mod\n" + before)
        provided = ("np", "pd", "here")
        names = [name for name in notebook.ns if name not in provided and name[0] != "_"]
        notebook.remote(cell, *names)
        return notebook

    return ran
