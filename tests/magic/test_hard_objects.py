"""Objects whose own code, or size, makes trouble on the way: what comes home of them, and what is
reported.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel


@pytest.mark.cell("travels", "Integers of any length")
def test_a_long_integer_costs_nothing_else(kernel: Kernel) -> None:
    """Its value comes home; showing it raises what it raises here, and the variables are there."""
    cell = "big = 10**5000 + 1\nk = 3\nbig"
    here, there = kernel.run(cell), kernel.run(f"%%mecapy\n{cell}")
    assert here.error == there.error == "ValueError" and here.ok == there.ok
    assert kernel.value("(big % 97, k)") == str(((10**5000 + 1) % 97, 3))
    assert kernel.run("%%mecapy\nrest = big % 97").ok
    assert kernel.value("rest") == str((10**5000 + 1) % 97)


@pytest.mark.cell("said", "A bytearray resized under an array")
def test_a_buffer_that_cannot_grow_here_is_named(kernel: Kernel) -> None:
    """The line says which variable is a new object now; all other results come home."""
    kernel.run("import numpy as np\nba = bytearray(8); view = np.frombuffer(ba, dtype='u1')")
    ran = kernel.run("%%mecapy\nba += b'x' * 8\ny = 5")
    assert "ba could not be changed in place and is a new object" in ran.stderr
    assert kernel.value("(len(ba), len(view), y)") == "(16, 8, 5)"


@pytest.mark.cell("travels", "`unittest.mock` objects")
def test_a_stand_in_is_not_called(kernel: Kernel) -> None:
    """Looking how large variables are calls no method of a mock: it keeps its record of calls."""
    kernel.run(
        "from unittest.mock import MagicMock\nimport numpy as np\n"
        "m = MagicMock(spec=str); x = np.arange(3.0); keep = [m]"
    )
    assert kernel.run("%%mecapy\ns = float(x.sum())").ok
    assert kernel.value("(s, len(m.mock_calls), m.__sizeof__.called)") == "(3.0, 0, False)"


@pytest.mark.cell("said", "A dict with `id()` as keys")
def test_a_dict_keyed_by_id_is_named_once(kernel: Kernel) -> None:
    """The objects have another `id` on the worker; the line names the variable and what to use."""
    kernel.run("from mecapy_jupyter.cells import process_bound; process_bound._said.clear()")
    kernel.run("class K: pass\nk = K(); by_id = {id(k): 'k'}; large = {1 << 60: 0}")
    assert kernel.run("%%mecapy\nx = large, k").stderr == ""
    kernel.run("import matplotlib.pyplot as plt; figure, _ = plt.subplots(); plt.close()")
    assert kernel.run("%%mecapy\nx = len(figure.axes)").stderr == ""
    first = kernel.run("%%mecapy\nx = by_id.get(id(k))")
    assert "`by_id` has the `id()` of objects as its keys" in first.stderr, first
    assert "use the objects as keys" in first.stderr
    assert kernel.run("%%mecapy\nx = by_id.get(id(k))").stderr == ""


@pytest.mark.cell("said", "`hash()`, outside of `__hash__`")
def test_hash_is_named_once(kernel: Kernel) -> None:
    """A number made of text differs from process to process; a class that defines `__hash__` is
    none of that.
    """
    kernel.run("from mecapy_jupyter.cells import process_bound; process_bound._said.clear()")
    kernel.run(
        "class Key:\n    def __hash__(self): return hash('k')\n    def __eq__(self, o): return 1\n"
        "def number(text): return hash(text)\nkeys = {Key(): 1}"
    )
    assert kernel.run("%%mecapy\nx = keys[Key()]").stderr == ""
    first = kernel.run("%%mecapy\nx = number('steel')")
    assert "the cell calls `hash()`" in first.stderr and "zlib.crc32" in first.stderr, first
    assert kernel.run("%%mecapy\nx = hash('steel')").stderr == ""


def test_a_cell_that_does_not_compile_is_its_own_error(kernel: Kernel) -> None:
    """The line of the cell is shown, and none of ours."""
    kernel.run("from mecapy_jupyter.cells import process_bound; process_bound._said.clear()")
    ran = kernel.run("%%mecapy\nx = 1\nreturn x")
    assert ran.errors[0]["ename"] == "SyntaxError", ran
    assert "mecapy_jupyter" not in "".join(ran.errors[0]["traceback"])


def test_a_lower_recursion_limit_travels(kernel: Kernel) -> None:
    """And one that the cell sets comes home."""
    kernel.run("import sys; usual = sys.getrecursionlimit(); sys.setrecursionlimit(1500)")
    kernel.run("%%mecapy\nfound = sys.getrecursionlimit(); sys.setrecursionlimit(2500)")
    assert kernel.value("(found, sys.getrecursionlimit())") == "(1500, 2500)"
    kernel.run("sys.setrecursionlimit(usual)")


@pytest.mark.cell("said", "`functools.cache`: results computed again")
def test_a_full_cache_is_named_once(kernel: Kernel, project: Path) -> None:
    """The line names the function and says what to do; an empty cache is not mentioned. One of the
    user's module is, and one that a cell fills.
    """
    (project / "caching.py").write_text(
        "import functools\n@functools.cache\ndef of_module(n): return n"
    )
    kernel.run("import caching; caching.of_module(1)")
    ran = kernel.run("%%mecapy --quiet\nb = caching.of_module(1)")
    assert "the cache of `of_module` stays here" in ran.stderr, ran
    kernel.run(
        "import functools\n"
        "@functools.lru_cache\ndef full_one(n): return n * n\n"
        "@functools.cache\ndef empty_one(n): return n * n\nfull_one(2)"
    )
    first = kernel.run("%%mecapy\na = full_one(2) + empty_one.__name__")
    assert "the cache of `full_one` stays here" in first.stderr, first
    assert "put them into a dict" in first.stderr and "empty_one" not in first.stderr
    assert kernel.run("%%mecapy\na = full_one(2)").stderr == "" and kernel.value("a") == "4"


def test_a_cache_that_a_cell_fills_is_named_once(kernel: Kernel) -> None:
    """Also one of a method, and one that the cell makes; not one that it leaves empty."""
    kernel.run(
        "import functools\n@functools.lru_cache\ndef filled_one(n): return n\n"
        "class Beam:\n    @staticmethod\n    @functools.cache\n    def of_beam(n): return n"
    )
    cell = (
        "%%mecapy\n@functools.cache\ndef made_one(n): return n\n"
        "@functools.cache\ndef left_empty(n): return n\n"
        "a = filled_one(1) + Beam.of_beam(2) + made_one(3)"
    )
    ran = kernel.run(cell)
    said = "the cache of `{}` did not come home"
    for name in ("filled_one", "of_beam", "made_one"):
        assert said.format(name) in ran.stderr, ran
    assert "left_empty" not in ran.stderr and kernel.value("a") == "6"
    assert kernel.run(cell).stderr == ""
