"""`%%mecapy --setup`: a cell that runs here, and again, quietly and first, in each later task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Kernel


@pytest.fixture
def clean(kernel: Kernel) -> Iterator[Kernel]:
    yield kernel
    kernel.run("%mecapy setup clear")
    kernel.run("import scipy.constants, importlib; importlib.reload(scipy.constants)")


@pytest.mark.cell("travels", "Setup cells")
def test_its_text_runs_here_and_first_in_each_later_task(clean: Kernel) -> None:
    """What it sets holds there; what it prints is seen here alone; what it binds does not come."""
    ran = clean.run(
        "%%mecapy --setup\nimport scipy.constants as sc\nsc.g = 9.81\nprint('set')\nonly_setup = 1"
    )
    assert ran.ok and ran.stdout == "set\n", ran.text
    assert clean.value("sc.g") == "9.81"
    clean.run("del only_setup")
    for _ in range(2):
        ran = clean.run("%%mecapy\nimport scipy.constants\nthere = scipy.constants.g")
        assert ran.ok, ran.text
        assert "set" not in ran.stdout
        assert clean.value("there") == "9.81"
    assert clean.run("only_setup").error == "NameError"
    assert clean.run(
        "from mecapy_jupyter import Client\nimport scipy.constants\n"
        "def g(): return scipy.constants.g\nwith Client() as pool: got = pool.submit(g).result()"
    ).ok
    assert clean.value("got") == "9.81"


def test_it_may_read_variables_and_the_cells_own_come_after(clean: Kernel) -> None:
    """A name that it binds is in the cell what it is here by now."""
    clean.run("gravity = 9.7")
    ran = clean.run("%%mecapy --setup\nimport scipy.constants as sc\nsc.g = gravity\nstep = 1")
    assert ran.ok, ran.text
    clean.run("step = 2")
    ran = clean.run("%%mecapy\nimport scipy.constants\nthere = scipy.constants.g, step")
    assert ran.ok, ran.text
    assert clean.value("there") == "(9.7, 2)"


def test_they_are_listed_and_removed(clean: Kernel) -> None:
    """A number takes one away, no number all; the same text is one setup cell. The sidebar names
    what stands for every task of the notebook.
    """
    clean.run("%mecapy setup clear")
    for text in ("import os", "import json\nimport re", "import os"):
        assert clean.run(f"%%mecapy --setup\n{text}").ok
    assert clean.run("%mecapy setup").stdout == "[1] import os\n[2] import json\n    import re\n"
    about = "__import__('mecapy_jupyter.cells.setup', fromlist=['about']).about().splitlines()[:3]"
    shown = ["packages: none of its own", "class of machines: as each cell asks", "2 setup cells"]
    assert clean.value(about) == repr(shown)
    assert "1 setup cell removed" in clean.run("%mecapy setup clear 1").stdout
    assert clean.run("%mecapy setup").stdout == "[2] import json\n    import re\n"
    assert "1 setup cell removed" in clean.run("%mecapy setup clear").stdout
    assert clean.run("%mecapy setup").stdout.startswith("no setup cells")


def test_one_that_fails_here_is_not_kept(clean: Kernel) -> None:
    """Its error is the cell's, shown once."""
    ran = clean.run("%%mecapy --setup\n1 / 0")
    assert not ran.ok
    assert clean.run("%mecapy setup").stdout.startswith("no setup cells")


@pytest.mark.cell("refused", "A setup cell that fails on the worker")
def test_one_that_fails_there_refuses_the_cell(clean: Kernel) -> None:
    """The cell would see another state than here: it does not run, and the cure is named."""
    here = clean.value("__import__('os').getpid()")
    clean.run(f"%%mecapy --setup\nimport os\nassert os.getpid() == {here}, 'a worker'")
    ran = clean.run("%%mecapy\nx = 1")
    assert not ran.ok
    assert "setup cell 1 failed on the worker" in ran.text
    assert "%mecapy setup clear 1" in ran.text
