"""A graph travels however deep it is: each row with what holds at home after the cell."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from .notebook import Notebook


class Trip(NamedTuple):
    before: str
    reads: str
    cell: str
    after: str


_NODE = "class Node:\n    def __init__(s, v): s.v = v; s.next = s.prev = None\n"
DEEP = {
    "a chain, its last node a variable": Trip(
        _NODE + "head = last = Node(0)\nfor i in range(20_000): last.next = Node(i); "
        "last.next.prev = last; last = last.next",
        "head last",
        "n = head\nwhile n: n.v = -1; end = n; n = n.next",
        "head.v == head.next.v == last.v == -1 and end is last and head.next.prev is head",
    ),
    "a list of nodes that name their neighbours": Trip(
        "class Cell:\n    __slots__ = 'u', 'near'\n    def __init__(s): s.u = 0.0; s.near = []\n"
        "cells = [Cell() for _ in range(4_900)]\nfor i, c in enumerate(cells):\n    c.near += "
        "[cells[j] for j in (i - 70, i - 1, i + 1, i + 70) if 0 <= j < 4_900]",
        "cells",
        "for c in cells: c.u = len(c.near)",
        "cells[0].u == 2 and cells[99].u == 4 and cells[0].near[0] is cells[1]",
    ),
    "a tree of dataclasses with slots": Trip(
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass T:\n    v: int\n    "
        "left: object\n    right: object\nt = None\n"
        "for i in range(20_000): t = T(i, t, T(i, 0, 0))",
        "t",
        "n = t\nwhile n: n.right.v = 7; n = n.left",
        "t.right.v == t.left.left.right.v == 7 and t.v == 19_999",
    ),
    "lists in lists": Trip(
        "x = inner = []\nfor i in range(20_000): inner.append([]); inner = inner[-1]",
        "x inner",
        "inner.append(x)",
        "inner[0] is x and len(x) == 1",
    ),
    "dicts in dicts": Trip(
        "x = inner = {}\nfor i in range(20_000): inner = inner.setdefault(i, {})",
        "x inner",
        "x['more'] = inner; inner['end'] = 1",
        "x['more'] is inner and inner == {'end': 1}",
    ),
    "tuples in tuples": Trip(
        "x = ()\nfor i in range(20_000): x = x, i",
        "x",
        "y = x[0], x[1]",
        "y[0] is x[0] and y[1] == 19_999",
    ),
    "nodes with a hash of their own, in sets and dicts": Trip(
        "class Node:\n    def __init__(s, i): s.i = i; s.near = set()\n    def __hash__(s): return "
        "hash(s.i)\n    def __eq__(s, o): return s.i == o.i\nnodes = [Node(i) for i in "
        "range(5_000)]\nfor a, b in zip(nodes, nodes[1:]): a.near.add(b)\nbook = {n: 0 for n in "
        "nodes}",
        "nodes book",
        "for n in nodes: book[n] = len(n.near)",
        "book[nodes[0]] == 1 and book[nodes[-1]] == 0 and next(iter(nodes[3].near)) is nodes[4]",
    ),
    "functions in closures": Trip(
        "def hold(x): return lambda: x\nf = 1\nfor _ in range(2_000): f = hold(f)",
        "f",
        "inner = f()",
        "inner is f() and inner()",
    ),
    "what the cell makes": Trip(
        "start = []",
        "start",
        "n = start\nfor i in range(20_000): n.append([i]); n = n[-1]\nend = n",
        "start[0][:1] == [0] and end == [19_999]",
    ),
}


@pytest.mark.cell("travels", "Object graphs of any depth")
@pytest.mark.parametrize("trip", DEEP.values(), ids=DEEP)
def test_a_deep_graph_travels(trip: Trip) -> None:
    """The same objects, changed where they are, and what is one stays one."""
    notebook = Notebook()
    notebook.local(trip.before)
    notebook.remote(trip.cell, *trip.reads.split())
    notebook.local(f"holds = bool({trip.after})")
    assert notebook.ns["holds"]


def test_a_raised_recursion_limit_does_not_end_the_process() -> None:
    """A notebook that has set it to a million sends a deep list, and keeps its limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        notebook = Notebook()
        notebook.local("x = []\nfor _ in range(100_000): x = [x]")
        notebook.remote("y = len(x)", "x")
        assert notebook.ns["y"] == 1
        assert sys.getrecursionlimit() == 1_000_000
    finally:
        sys.setrecursionlimit(limit)
