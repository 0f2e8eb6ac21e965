"""`%%mecapy --verify`: the cell runs on the pool and here, and what differs is reported."""

from __future__ import annotations

import pytest

from .conftest import Kernel


def test_the_same_is_said_once(kernel: Kernel) -> None:
    """A seeded cell with a print, a change in place and a plot of numbers is verified; the notebook
    has the values, once.
    """
    assert kernel.run("import numpy as np\nnp.random.seed(1)\nkept = [1]\nother = kept").ok
    ran = kernel.run(
        "%%mecapy --verify\nx = np.random.rand(3)\nkept.append(2)\nprint('hello')\nkept"
    )
    assert ran.ok and ran.stdout.count("hello") == 1
    assert "mecapy: verified" in ran.stderr and "kept" in ran.stderr and "x" in ran.stderr
    assert kernel.value("(kept, other is kept)") == "([1, 2], True)"


def test_what_python_holds_of_the_notebook_is_no_difference(kernel: Kernel) -> None:
    assert kernel.run(
        "import signal\ndef mine(*_): pass\n_ = signal.signal(signal.SIGUSR1, mine)"
    ).ok
    ran = kernel.run("%%mecapy --verify\nx = 1")
    assert ran.ok and "mecapy: verified" in ran.stderr, ran.stderr
    assert kernel.run("_ = signal.signal(signal.SIGUSR1, signal.SIG_DFL)").ok


@pytest.mark.cell("said", "Differences that `--verify` finds")
def test_what_differs_is_named(kernel: Kernel) -> None:
    """The process's id, printed and bound, is another on the pool; the notebook keeps its own."""
    ran = kernel.run("%%mecapy --verify\nimport os\npid = os.getpid()\nprint(pid)")
    assert "pid differs: " in ran.stderr and "line 1 of stdout differs: " in ran.stderr
    assert "verified" not in ran.stderr
    assert kernel.value("pid == os.getpid()") == "True"


def test_an_error_is_shown_once_and_raised(kernel: Kernel) -> None:
    """The cell fails here and there in the same way: one traceback, and the cell's own class."""
    ran = kernel.run("%%mecapy --verify\n1 / 0")
    assert not ran.ok and ran.error == "ZeroDivisionError"
    assert "mecapy: verified" in ran.stderr
