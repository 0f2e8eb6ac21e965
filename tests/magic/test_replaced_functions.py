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


def test_an_object_in_a_library(kernel: Kernel) -> None:
    """One of a class of the notebook travels, unless it also is a variable: then it is named."""
    assert kernel.run(
        "import json, fractions, copyreg\nfirst = json._default_encoder\n"
        "class Encoder(json.JSONEncoder):\n    def default(self, o): return str(type(o).__name__)\n"
        "class Beam:\n    pass\ndef reduced(beam): return Beam, ()\n"
        "json._default_encoder = Encoder()\nbeam = fractions.beam = Beam()"
    ).ok
    assert kernel.run("copyreg.pickle(Beam, reduced)").ok
    ran = kernel.run(
        "%%mecapy\nprint(json.dumps([beam]), copyreg.dispatch_table[Beam].__name__, fractions)"
    )
    kernel.run("json._default_encoder = first; del fractions.beam, copyreg.dispatch_table[Beam]")
    assert ran.ok and ran.stdout.startswith('["Beam"] reduced'), ran
    assert "put into fractions.beam cannot travel" in ran.stderr and "_default" not in ran.stderr


def test_a_replaced_dumps_is_not_ours(kernel: Kernel) -> None:
    """What MecaPy writes as JSON, here and on the worker, does not go through a notebook's
    function: one that prints would be called for each print.
    """
    assert kernel.run(
        "import json, sys\nof_json, callers = json.dumps, []\n"
        "def dumps(obj, **options):\n"
        "    callers.append(sys._getframe(1).f_globals['__name__'])\n"
        "    return of_json(obj, **options)\n"
        "json.dumps = dumps"
    ).ok
    ran = kernel.run("%%mecapy\nx = 3\nprint(json.dumps([x]))\nx")
    called = kernel.value("{name for name in callers if name.startswith(('__main__', 'mecapy'))}")
    kernel.run("json.dumps = of_json")
    assert ran.ok and ran.stdout == "[3]\n" and called == "{'__main__'}", ran
