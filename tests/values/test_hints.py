"""What type hints are made of, there and back: type parameters, aliases, NewTypes, and what uses
them.
"""

from __future__ import annotations

import sys
import typing

import pytest

from .notebook import Notebook

CASES = {
    "a NewType": (
        "from typing import NewType\nU = NewType('U', int)",
        "u = U(5); v = U",
        "U",
        "u == 5 and v is U",
    ),
    "type parameters made by hand": (
        "from typing import Callable, Generic, ParamSpec, TypeVar\nP = ParamSpec('P'); R = "
        "TypeVar('R', bound=int)\n"
        "class D(Generic[P, R]):\n    def __init__(self, f: Callable[P, R]): self.f = f\n"
        "    def __call__(self, *a: P.args, **k: P.kwargs): return self.f(*a, **k)",
        "e = D(len); k = D[[int], bool]; r = R; bound = R.__bound__",
        "D R",
        "(e('abc'), k.__origin__ is D, r is R, bound) == (3, True, True, int)",
    ),
    "as many parameters as there are": (
        "from typing import Generic, TypeVarTuple, Unpack\nTs = TypeVarTuple('Ts')\nclass "
        "D(Generic[Unpack[Ts]]): pass",
        "e = D(); ts = Ts",
        "D Ts",
        "type(e) is D and ts is Ts",
    ),
}
if sys.version_info >= (3, 12):
    CASES |= {
        "an alias": (
            "type A = list[int]",
            "x = A.__value__; y: A = [1]; z = A",
            "A",
            "x == list[int] and z is A",
        ),
        "an alias of a notebook's class": (
            "class K: pass\ntype A = list[K]",
            "x = A.__value__.__args__[0]",
            "A",
            "x is K",
        ),
        "an alias of itself": (
            "type Tree[T] = T | list[Tree[T]]",
            "of_int = Tree[int]; parameter = Tree.__value__.__args__[0]; inner = "
            "Tree.__value__.__args__[1].__args__[0]",
            "Tree",
            "of_int.__origin__ is Tree and parameter is Tree.__type_params__[0] and inner == "
            "Tree[parameter]",
        ),
        "aliases made there": (
            "x = 0",
            "type B = dict[str, int]\ntype C[V] = list[V]\nc = C[int]",
            "x",
            "(B.__value__, repr(B), C.__module__, c.__origin__ is C) == (dict[str, int], 'B', "
            "'__main__', True)",
        ),
        "a function with parameters": (
            "class Base: pass\ndef f[T: Base, N: (int, str), *Ts, **P](x: T, *a: P.args, **k: "
            "P.kwargs) -> T: return x",
            "r = f(1); names = [p.__name__ for p in f.__type_params__]; bound = "
            "f.__type_params__[0].__bound__\n"
            "given = f.__type_params__[1].__constraints__; same = f.__annotations__['x'] is "
            "f.__type_params__[0]\n"
            "def last[T](xs: list[T]) -> T: return xs[-1]",
            "f",
            "(r, names, bound, given, same, last([1, 2])) == (1, ['T', 'N', 'Ts', 'P'], Base, "
            "(int, str), True, 2)\n"
            "assert last.__annotations__['return'] is last.__type_params__[0]",
        ),
        "a class with parameters": (
            "class Stack[T]:\n    def __init__(self): self.items: list[T] = []\n"
            "    def push(self, x: T) -> None: self.items.append(x)\ns = Stack[int]()",
            "s.push(1); t = Stack[str](); t.push('a'); o = Stack[int]\nclass Ints(Stack[int]): "
            "pass\ni = Ints(); i.push(2)",
            "Stack s",
            "(s.items, t.items, i.items, type(t) is Stack, o == Stack[int], Ints.__base__ is "
            "Stack) == ([1], ['a'], [2], True, True, True)",
        ),
        "a class made there": (
            "x = 0",
            "class Pair[A, B]:\n    def __init__(self, a: A, b: B): self.a, self.b = a, b\n"
            "    def swap(self) -> 'Pair[B, A]': return Pair(self.b, self.a)\n"
            "p = Pair(1, 2)",
            "x",
            "(p.swap().a, Pair.__type_params__[0].__name__, Pair[int, str](1, 'a').swap().a) == "
            "(2, 'A', 'a')",
        ),
    }
if sys.version_info >= (3, 13):
    CASES |= {
        "parameters with a default": (
            "class A[T = int]: pass\ntype X[U = list[int]] = dict[str, U]",
            "a = A(); t = A.__type_params__[0].__default__; u = X.__type_params__[0].__default__",
            "A X",
            "(type(a) is A, t, u) == (True, int, list[int])",
        ),
    }


@pytest.mark.parametrize(("here", "there", "names", "truth"), CASES.values(), ids=CASES)
def test_hints(here: str, there: str, names: str, truth: str) -> None:
    """They are there, and afterwards here, what they would be if the cell had run here."""
    notebook = Notebook()
    notebook.local(here)
    notebook.remote(there, *names.split())
    notebook.local(f"assert {truth}")


@pytest.mark.cell("travels", "String annotations")
def test_names_that_stand_as_text_in_annotations_are_there() -> None:
    """`from __future__ import annotations`: who asks for the hints on the other side finds what
    their text means, at any depth.
    """
    notebook = Notebook()
    notebook.local("""
        from __future__ import annotations
        import typing
        from typing import Optional, TypeVar
        T = TypeVar("T")
        class Leaf:
            size: Optional[int]
        class Node:
            leaves: typing.List[Leaf]
            def put(self, leaf: Leaf, other: T) -> Node: return self
        """)
    notebook.remote(
        "import typing\nr = typing.get_type_hints(Node), typing.get_type_hints(Node.put)\n"
        "deeper = typing.get_type_hints(typing.get_args(r[0]['leaves'])[0])",
        "Node",
    )
    ns, (of_class, of_method) = notebook.ns, notebook.ns["r"]
    assert typing.get_args(of_class["leaves"]) == (ns["Leaf"],)
    assert of_method == {"leaf": ns["Leaf"], "other": ns["T"], "return": ns["Node"]}
    assert ns["deeper"] == {"size": int | None}
