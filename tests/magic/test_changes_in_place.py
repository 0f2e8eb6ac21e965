"""What a cell changed in place and cannot be changed here is said, never lost in silence."""

from __future__ import annotations

import pytest

from .conftest import Kernel

STATES = {
    "its state cannot be had there": (
        "def __getstate__(self): return {'n': self.n / (not hasattr(self, 'lock'))}\n    def "
        "__setstate__(self, state): self.n = int(state['n'])"
    ),
    "it cannot be made again there": (
        "def __reduce__(self): return type(self), ((), 1)[hasattr(self, 'lock')]"
    ),
    "its state cannot travel": "def __setstate__(self, state): self.n = state['n']",
    "nor by itself": "",
}


@pytest.mark.parametrize("how", STATES.values(), ids=STATES)
@pytest.mark.cell("said", "Changed objects that cannot be pickled")
def test_an_object_that_cannot_travel_back(kernel: Kernel, how: str) -> None:
    """A change of it is named with the reason; where a cell only reads it, nothing is said."""
    assert kernel.run(f"class M:\n    n = 0\n    {how}\nm = M(); m.n = m.here = 1; held = [m]").ok
    ran = kernel.run("%%mecapy\nread = held[0].n")
    assert ran.ok and ran.stderr == "" and kernel.value("read") == "1"
    ran = kernel.run("%%mecapy\nheld[0].n = 2; held[0].lock = __import__('threading').Lock()")
    assert ran.ok and "a M did not come home: M: " in ran.stderr, ran


PARTS = {  # before, the cell, and what holds afterwards
    "a matrix of sympy": (
        "import sympy; M = sympy.Matrix([[1, 2]]); h = [M]",
        "M[0, 0] = 9",
        "h[0] is M and M[0, 0] == 9",
    ),
    "an array's shape": (
        "a = np.arange(6); d = {'a': a}",
        "d['a'].shape = (2, 3)",
        "d['a'] is a and a.shape == (2, 3) and a.tolist() == [[0, 1, 2], [3, 4, 5]]",
    ),
    "an array of Python's own": (
        "import array; a = array.array('d', [1, 2]); d = {'a': a}",
        "d['a'].append(9)",
        "d['a'] is a and list(a) == [1, 2, 9]",
    ),
    "a SimpleNamespace": (
        "import types; x = types.SimpleNamespace(a=[1]); a = x.a; h = [x]",
        "h[0].a.append(2); h[0].b = 2",
        "h[0] is x and x.a is a and a == [1, 2] and x.b == 2",
    ),
    "an iterator": (
        "i = iter([1, 2, 3]); d = {'a': i}",
        "first = next(d['a'])",
        "d['a'] is i and list(i) == [2, 3]",
    ),
    "an object with a reduce": (
        "class R:\n    def __init__(self, n): self.n = n\n    def __reduce__(self): return R, "
        "(self.n,)\nr = R(1); d = [r]",
        "d[0].n = 9",
        "d[0] is r and r.n == 9",
    ),
}


@pytest.mark.parametrize(("before", "change", "after"), PARTS.values(), ids=PARTS)
def test_changed_inside_another(kernel: Kernel, before: str, change: str, after: str) -> None:
    """It is the same object before and after, and holds what it was given."""
    assert kernel.run(f"import numpy as np\n{before}").ok
    ran = kernel.run(f"%%mecapy\n{change}")
    assert ran.ok and "did not come home" not in ran.stderr and kernel.value(after) == "True", ran


@pytest.mark.cell("said", "An `enumerate`, whose state cannot be set")
def test_what_cannot_be_changed_here(kernel: Kernel) -> None:
    """An iterator inside another object: its place is named. One that is a variable is a new object
    there, and that is said.
    """
    assert kernel.run("d = {'a': [enumerate('xy')]}; b = enumerate('xy'); held = [b]").ok
    ran = kernel.run("%%mecapy\nfirst = next(d['a'][0])")
    assert ran.ok and "the change of d['a'][0] did not come home" in ran.stderr, ran
    assert "a value of the type enumerate cannot be changed in place" in ran.stderr
    ran = kernel.run("%%mecapy\nfirst = next(b)")
    assert (
        ran.ok
        and "b could not be changed in place and is a new object" in ran.stderr
        and kernel.value("(next(b), held[0] is b)") == "((1, 'y'), False)"
    ), ran


def test_a_mesh_of_many_nodes(kernel: Kernel) -> None:
    """100,000 nodes that name each other go to a confined worker and come home changed."""
    made = (
        "class Node:\n    def __init__(self): self.u, self.next, self.back = 0, None, None\n"
        "nodes = [Node() for _ in range(100_000)]\n"
        "for a, b in zip(nodes, nodes[1:]): a.next, b.back = b, a"
    )
    assert kernel.run(made).ok
    ran = kernel.run("%%mecapy\nfor n in nodes: n.u = 1\nlast = nodes[-1].back.next")
    assert ran.ok and ran.stderr == "", ran
    held = "last is nodes[-1] and nodes[0].next.back is nodes[0], sum(n.u for n in nodes)"
    assert kernel.value(held) == "(True, 100000)"
