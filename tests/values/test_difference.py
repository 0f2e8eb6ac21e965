"""Where two values differ: what `%%mecapy --verify` finds, and what it does not mind."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mecapy_jupyter.results.difference import compare

NAN = float("nan")


class Node:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


def scaled(factor: float) -> Any:
    return lambda x: factor * x


SAME: dict[str, Any] = {
    "numbers": (1, 2.5, 3 + 4j, NAN, True, None),
    "texts": ["a", b"b", bytearray(b"c")],
    "containers": {"a": [1, (2, {3})], 4: frozenset({5})},
    "an array": np.array([1.0, NAN]),
    "an array of objects": np.array([Node(x=1), None], dtype=object),
    "a table": pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}),
    "an object": Node(x=1, parts=[Node(y=2)]),
    "a function": scaled(2.0),
}


@pytest.mark.parametrize("name", SAME)
def test_a_copy_is_the_same(name: str) -> None:
    """A deep copy of any of them does not differ."""
    found = compare({"x": SAME[name]}, {"x": copy.deepcopy(SAME[name])})
    assert found.differences == () and found.unknown == ()


DIFFERENT: dict[str, tuple[Any, Any, str, str, str]] = {
    "a number": (9.81, 9.80665, "x", "9.81", "9.80665"),
    "a type": (1, 1.0, "x", "1 (int)", "1.0 (float)"),
    "an item": ([1, [2, 3]], [1, [2, 4]], "x[1][1]", "3", "4"),
    "a length": ([1], [1, 2], "len(x)", "1", "2"),
    "an attribute": (Node(a=Node(b=1)), Node(a=Node(b=2)), "x.a.b", "1", "2"),
    "a missing attribute": (Node(a=1), Node(), "vars(x)", "has a", "has less"),
    "the order of keys": (
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        "the keys of x",
        "['a', 'b']",
        "['b', 'a']",
    ),
    "one place of an array": (
        np.array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 5]]),
        "x[1, 1]",
        "4",
        "5",
    ),
    "a dtype": (np.zeros(2), np.zeros(2, "f4"), "x", "float64 (2,)", "float32 (2,)"),
    "a closure": (scaled(2.0), scaled(3.0), "the closure of x[0]", "2.0", "3.0"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_difference_is_named(name: str) -> None:
    """Its path as Python would write it, and both values."""
    here, there, *expected = DIFFERENT[name]
    [found] = compare({"x": here}, {"x": there}).differences
    assert [found.path, found.here, found.there] == expected and found.rounding == 0.0


def test_rounding_is_told_apart() -> None:
    """The last bits of a number, in an array too, are rounding, with how much it is."""
    found = compare({"x": 1.0, "y": np.ones(3)}, {"x": 1.0 + 2e-16, "y": np.ones(3) + 2e-16})
    assert [each.rounding for each in found.differences] == [pytest.approx(2.2e-16, rel=0.1)] * 2


def test_what_cannot_be_compared_is_said() -> None:
    """A generator has no state that can be had: it is named, not passed over."""
    found = compare({"x": [iter(()), (n for n in ())]}, {"x": [iter(()), (n for n in ())]})
    assert found.differences == () and found.unknown == ("x[1]",)


def test_depth_and_cycles_end() -> None:
    """A list nested 50,000 deep, and objects that know each other."""
    here: Any = None
    there: Any = None
    for _ in range(50_000):
        here, there = [here], [there]
    a, b = Node(deep=here), Node(deep=there)
    a.me, b.me = a, b  # type: ignore[attr-defined]
    found = compare({"a": a}, {"a": b})
    assert found.differences == () and found.unknown == ()
    while here:
        [here], [there] = here, there


def test_a_figure_is_what_it_shows() -> None:
    """Two figures with the same lines are the same, other lines differ."""
    from matplotlib.figure import Figure

    def drawn(*heights: float) -> Any:
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot(heights)
        return figure

    assert compare({"f": drawn(1, 2)}, {"f": drawn(1, 2)}).differences == ()
    assert len(compare({"f": drawn(1, 2)}, {"f": drawn(1, 3)}).differences) == 1
