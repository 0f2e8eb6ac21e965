"""Modules of the user that the cell imports first, their text, and what of their state does not
travel.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.cells import preflight

from .notebook import Notebook


def test_a_module_that_the_cell_imports_first(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state is here as after an import here, whoever imports it."""
    (tmp_path / "uses_later.py").write_text(
        "def add(x):\n    import late_of_mine as late\n    late.REG[len(late.REG)] = x\n"
        "    late.store.last = x\n    return late.store\n"
    )
    (tmp_path / "late_of_mine.py").write_text(
        "class Store: last = None\nstore, REG = Store(), {}\ntwo = [store]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import uses_later as uses")
    notebook.remote("x = [1]; s = uses.add(x)", "uses")
    x, s = notebook.ns["x"], notebook.ns["s"]
    late = sys.modules["late_of_mine"]
    assert late.REG[0] is x is s.last and late.store is late.two[0] is s


def test_the_text_about_a_module(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set here it is there, and the other way round."""
    (tmp_path / "has_a_doc.py").write_text("'Of the file.'\n__version__ = '1'\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import has_a_doc; has_a_doc.__doc__ = 'Set here.'")
    notebook.remote("seen = has_a_doc.__doc__; has_a_doc.__doc__ = 'Set there.'", "has_a_doc")
    assert (notebook.ns["seen"], notebook.ns["has_a_doc"].__doc__) == ("Set here.", "Set there.")


def test_what_a_cell_puts_into_a_module_and_does_not_travel(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with its module, and what is beside it comes home."""
    (tmp_path / "takes_all.py").write_text("numbers, n = None, 0\nkept = (i for i in (1, 2))\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import takes_all")
    notebook.remote("takes_all.numbers = (i for i in (1, 2)); takes_all.n = 1", "takes_all")
    module = notebook.ns["takes_all"]
    assert (module.numbers, module.n) == (None, 1)
    assert list(notebook.left) == ["takes_all.numbers"]
    assert "cannot be pickled" in notebook.left["takes_all.numbers"]


def test_a_large_module_that_the_cell_imports_first(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes in what is too large to compare are not looked for, and that is said."""
    (tmp_path / "large_of_mine.py").write_text("T = bytearray(65 << 20)\nsmall = [1]\n")
    (tmp_path / "uses_large.py").write_text("def go():\n    import large_of_mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import uses_large")
    notebook.remote("uses_large.go()", "uses_large")
    assert list(notebook.left) == ["large_of_mine.T"]


def test_what_a_module_holds_and_does_not_travel(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named before the cell runs, once; a lock or thread that the import makes is not."""
    (tmp_path / "holds_all.py").write_text(
        "import contextvars, threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "lines, lock = (i for i in 'ab'), threading.Lock()\npool = ThreadPoolExecutor()\n"
        "level = contextvars.ContextVar('level')\nn = 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import holds_all; next(holds_all.lines); holds_all.n = 1")
    notebook.remote("there = next(holds_all.lines), holds_all.n", "holds_all")
    assert notebook.ns["there"] == ("a", 1)
    check = functools.partial(
        preflight.check, notebook.packed, (), "1", wire.InstalledPackages(), 0, files=False
    )
    (remark,) = check()
    assert remark.startswith("holds_all.lines of your module did not travel") and not check()
