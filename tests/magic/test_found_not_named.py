"""What a cell finds in the notebook without naming it, and magics that are the kernel's own."""

from __future__ import annotations

import pytest

from .conftest import Kernel

TESTS = '''
import unittest, doctest
class TestBeam(unittest.TestCase):
    def test_one(self): self.assertEqual(load(2), 4)
def load(q):
    """
    >>> load(3)
    6
    """
    return 2 * q
def run_all(): return unittest.main(argv=["x"], exit=False, verbosity=0).result.testsRun
'''
FINDERS = {
    "unittest.main": "n = unittest.main(argv=['x'], exit=False, verbosity=0).result.testsRun",
    "a function of the notebook": "n = run_all()",
    "a loader": "n = unittest.defaultTestLoader.loadTestsFromModule(__import__('__main__'))"
    ".countTestCases()",
    "this module": "import sys\nn = unittest.defaultTestLoader.loadTestsFromModule("
    "sys.modules[__name__]).countTestCases()",
    "doctest": "n = doctest.testmod().attempted",
}


@pytest.mark.cell("travels", "Tests for `unittest` and `doctest`")
@pytest.mark.parametrize("cell", FINDERS.values(), ids=FINDERS)
def test_tests_that_a_cell_does_not_name_are_found(kernel: Kernel, cell: str) -> None:
    """As many as here: one."""
    assert kernel.run(TESTS).ok
    ran = kernel.run(f"%%mecapy\n{cell}")
    assert ran.ok, ran.text
    assert kernel.value("n") == "1", ran


OWN = """
from IPython.core.magic import register_line_magic, register_cell_magic
@register_line_magic
def beam(line): return 42
@register_cell_magic
def case(line, cell): return 43
def by_magic(): return get_ipython().run_line_magic("beam", "")
"""
REFUSED = {
    "of an extension": ("x = 1\n%store x", "line 3 uses `%store`"),
    "of the notebook": ("y = %beam", "line 2 uses `%beam`"),
    "a cell magic": ("%%case\nz", "uses `%%case`"),
}


@pytest.mark.cell("refused", "Magics of extensions and users")
@pytest.mark.parametrize(("cell", "what"), REFUSED.values(), ids=REFUSED)
def test_a_magic_of_this_kernel_is_refused(kernel: Kernel, cell: str, what: str) -> None:
    """Before the cell runs, with its line and what to do."""
    assert kernel.run(OWN).ok
    ran = kernel.run(f"%%mecapy\n{cell}")
    assert ran.error == "CannotSend" and what in ran.text, ran
    assert "in a cell of its own without %%mecapy" in ran.text


def test_a_magic_that_a_function_calls_is_said(kernel: Kernel) -> None:
    """It is found out when the function runs; the line says what to do."""
    assert kernel.run(OWN).ok
    ran = kernel.run("%%mecapy\nby_magic()")
    assert "mecapy: magics of extensions and of the notebook stay in the kernel" in ran.stderr


def test_magics_of_ipython_itself_run(kernel: Kernel) -> None:
    """And so do those that the cell loads."""
    ran = kernel.run("%%mecapy\n%time x = 1\n%precision 3\n%load_ext autoreload\n%autoreload 0")
    assert ran.ok, ran.text
    assert kernel.value("x") == "1"
