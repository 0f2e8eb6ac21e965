"""Functions that a notebook has put in the place of a library's, and what they call."""

from __future__ import annotations

import pytest

from .conftest import Kernel


@pytest.mark.cell("travels", "Replaced library functions")
def test_a_wrapper_of_a_replaced_function(kernel: Kernel) -> None:
    """Also where the cell names the original itself; at home it stays in place."""
    assert kernel.run(
        "import numpy as np, math\noriginal, root = np.mean, math.sqrt\n"
        "def mean(a, *rest): return original(a, *rest) + 100\n"
        "def sqrt(x): return root(x) + 1\n"
        "np.mean, math.sqrt = mean, sqrt"
    ).ok
    ran = kernel.run("%%mecapy\nprint(np.mean([1, 2]), original([1, 2]), math.sqrt(4), root(4))")
    here = kernel.value("np.mean([1, 2]), original([1, 2]), math.sqrt(4), root(4)")
    kernel.run("np.mean, math.sqrt = original, root")
    assert ran.ok and ran.stdout == "101.5 1.5 3.0 2.0\n", ran
    assert here.replace("np.float64(101.5)", "101.5").startswith("(101.5, ")


def test_a_special_method_of_a_library_s_class(kernel: Kernel) -> None:
    """How its objects are shown and added up, with what it calls; at home it stays in place."""
    assert kernel.run(
        "from fractions import Fraction\nshown, inch = Fraction.__repr__, 'in'\n"
        "Fraction.__repr__ = lambda self: f'{shown(self)} {inch}'\n"
        "Fraction.__matmul__ = lambda self, other: max(self, other)"
    ).ok
    ran = kernel.run("%%mecapy\nFraction(1, 2), Fraction(1, 2) @ 1")
    here = kernel.value("Fraction(1, 2), Fraction(1, 2) @ 1")
    kernel.run("Fraction.__repr__ = shown; del Fraction.__matmul__")
    assert ran.ok and ran.results[0]["data"]["text/plain"] == here == "(Fraction(1, 2) in, 1)"


@pytest.mark.cell("said", "Additions that cannot travel")
def test_what_cannot_travel_in_a_library_is_said(kernel: Kernel) -> None:
    """The note names it, once, with the cure."""
    assert kernel.run(
        "import threading, fractions\nlock = threading.Lock()\n"
        "def locked(*_, held=lock): return 7\nkept = fractions.Fraction.limit_denominator\n"
        "fractions.Fraction.limit_denominator = locked"
    ).ok
    ran = kernel.run("%%mecapy\nprint(fractions.Fraction(1, 3))")
    kernel.run("fractions.Fraction.limit_denominator = kept")
    assert ran.ok and ran.stdout == "1/3\n", ran
    assert "put into fractions.Fraction.limit_denominator cannot travel; set it in" in ran.stderr


@pytest.mark.cell("travels", "Classes and functions inside other objects")
def test_pickle_finds_the_notebook_s_classes(kernel: Kernel) -> None:
    """A cell that names only a list of objects can pickle them and give them to processes."""
    assert kernel.run(
        "import pickle\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "class Beam:\n    def __init__(self, length): self.length = length\n"
        "def double(x): return 2 * x\nheld = {'beams': [Beam(3)], 'how': double}"
    ).ok
    ran = kernel.run(
        "%%mecapy\nagain = pickle.loads(pickle.dumps(held['beams']))\n"
        "with ProcessPoolExecutor(1) as pool: doubled = list(pool.map(held['how'], [1, 2]))"
    )
    assert ran.ok, ran.text
    assert kernel.value("(again[0].length, type(again[0]) is Beam, doubled)") == "(3, True, [2, 4])"
