"""Before a cell is sent: what the workers lack is said here, not minutes later; `--dry-run` says
what would travel.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.capture import packing
from mecapy_jupyter.cells import preflight
from mecapy_jupyter.shared import errors

from .conftest import Kernel

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SAME = wire.InstalledPackages(
    (HERE,),
    {
        "numpy": wire.Distribution("numpy", (numpy.__version__,)),
        "pandas": wire.Distribution("pandas", ("0.1.0",)),
    },
)


def checked(
    source: str, there: wire.InstalledPackages, files: bool = False, **values: object
) -> list[str]:
    preflight._said.clear()  # pyright: ignore[reportPrivateUsage]
    return preflight.check(
        packing.pack(values, {}, (), ()), preflight.certain_imports(source), source, there, 1, files
    )


@pytest.mark.cell("refused", "A package that the workers lack")
def test_a_package_the_workers_lack() -> None:
    """Refused where it is certain: an import in the cell's own lines, or an input made by it. The
    message names package and line.
    """
    with pytest.raises(errors.PackageMissing, match=r"'scipy'.*line 3 imports it"):
        checked("x = 1\nimport scipy.linalg", SAME)
    with pytest.raises(errors.PackageMissing, match=r"'scipy'.*needs it"):
        checked("m", SAME, m=importlib.import_module("scipy.sparse").eye(3))
    assert checked("a", SAME, a=numpy.ones(3)) == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import scipy\nexcept ImportError:\n    pass",
        "def f():\n    import scipy",
        "import sys\nsys.path.insert(0, 'lib')\nimport scipy",
        "import nowhere_at_all",
        "import json, numpy",
    ],
)
def test_what_is_not_certain_is_believed(source: str) -> None:
    """A branch, a function, a changed path, a module nobody has here either: the cell itself will
    tell.
    """
    assert checked(source, SAME) == []


def test_files_may_bring_modules() -> None:
    """With `--files` a module may lie among them."""
    assert checked("import scipy", SAME, files=True) == []


def test_nothing_is_known() -> None:
    """No worker has told, or an older gateway: nothing is refused."""
    assert checked("import scipy", wire.InstalledPackages()) == []


@pytest.mark.cell("said", "Another version of a package")
def test_versions_and_python() -> None:
    """Another minor version of what the cell uses is said once; another Python is refused."""
    there = wire.InstalledPackages(
        (HERE,),
        {
            "numpy": wire.Distribution("numpy", ("1.0.0",)),
            "pandas": wire.Distribution("pandas", ("9.9",)),
        },
    )
    said = checked("a", there, a=numpy.ones(3))
    assert (
        len(said) == 1 and f"numpy is {numpy.__version__} here and 1.0.0 on the workers" in said[0]
    )
    packed = packing.pack({"a": numpy.ones(3)}, {}, (), ())
    assert preflight.check(packed, (), "a", there, 1, False) == []  # said before
    with pytest.raises(errors.PythonMismatch, match=r"3\.9"):
        checked("a", wire.InstalledPackages(("3.9",)))
    assert checked("a", wire.InstalledPackages(("3.9", HERE))) == []


def test_own_modules_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside the notebook is not missing."""
    (tmp_path / "own_helpers_7.py").write_text("x = 1")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert checked("import own_helpers_7", SAME) == []


class Asked:
    """A gateway whose workers have scipy from the third question on."""

    url, embedded = "http://asked", True

    def __init__(self) -> None:
        self.times = 0

    def packages(self, *_: object) -> wire.InstalledPackages:
        self.times += 1
        has = {"scipy": wire.Distribution("scipy", ("1",))} if self.times > 2 else {}
        return wire.InstalledPackages((HERE,), {"numpy": wire.Distribution("", ())} | has)


def test_what_was_installed_meanwhile_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded stack is asked again until it has seen the installation; another gateway once,
    past what is remembered.
    """
    asked: Any = Asked()
    monkeypatch.setattr(preflight.gateway_api, "packages", asked.packages)
    first = preflight.workers(asked)
    assert preflight.workers(asked) is first and asked.times == 1
    assert "scipy" in preflight.installed_since(asked, first).packages and asked.times == 3
    asked.embedded, asked.times = False, 0
    assert "scipy" not in preflight.installed_since(asked, first).packages and asked.times == 1


def test_a_missing_package_in_the_notebook(kernel: Kernel) -> None:
    """Nothing is sent, and the error is one sentence; what the real workers have passes."""
    kernel.run(
        "from mecapy_jupyter import wire\nfrom mecapy_jupyter.cells import preflight\n"
        "real = preflight.workers"
    )
    kernel.run(
        "def fewer(gateway):\n    there = real(gateway)\n    return "
        "wire.InstalledPackages(there.python, {'numpy': there.packages['numpy']})"
    )
    kernel.run("preflight.workers = fewer")
    ran = kernel.run("%%mecapy --name never\nimport pandas\nx = 1")
    assert (
        ran.error == "PackageMissing" and "line 2" in ran.text and len(ran.text.splitlines()) == 1
    )
    assert "never" not in kernel.run("%mecapy tasks").stdout
    kernel.run("preflight.workers = real")
    assert kernel.run("%%mecapy\nimport pandas\nx = 1").ok


def test_dry_run(kernel: Kernel, folder: Path) -> None:
    """Variables with sizes, own modules, state, files, packages of the workers, and what would come
    back.
    """
    (folder / "dry_helper.py").write_text("y = 1\n")
    (folder / "dry.msh").write_text("mesh")
    kernel.run(
        "import numpy as np, os, dry_helper\nbig = np.zeros(500_000); few = [1, "
        "2]\nos.environ['DRY_RUN_SETS'] = '1'"
    )
    ran = kernel.run(
        "%%mecapy --dry-run --no-folder --files dry.msh --keep out/*.vtk\nimport pandas\n"
        "total = big.sum() + dry_helper.y + len(few)"
    )
    assert ran.ok, ran.text
    for words in (
        "3 variables, 4 MB",
        "big ",
        "4 MB",
        "dry_helper (6 B)",
        "DRY_RUN_SETS",
        "dry.msh (4 B)",
        "total",
        "out/*.vtk",
        "pandas ",
    ):
        assert words in ran.stdout, ran.stdout
    assert f"Python {HERE}" in ran.stdout
    assert kernel.value("'total' in globals()") == "False"
    ran = kernel.run(
        "lock = __import__('threading').Lock()\nget_ipython().run_cell_magic('mecapy', "
        "'--dry-run', 'lock')"
    )
    assert ran.error == "CannotSend" and "lock" in ran.text
    kernel.run("del os.environ['DRY_RUN_SETS']")


def test_times_of_the_last_runs(kernel: Kernel) -> None:
    """A cell that ran says how long it took, the next time it is looked at."""
    cell = "history_of_mine = 3\n"
    for _ in range(2):
        assert kernel.run(f"%%mecapy\n{cell}").ok
    assert re.search(r"last 2 runs \d+\.\d s", kernel.run(f"%%mecapy --dry-run\n{cell}").stdout)
