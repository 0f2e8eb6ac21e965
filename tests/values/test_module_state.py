"""State of the user's own modules, there and back: what a module shares with a variable, another
module or a function stays one object.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .notebook import Notebook, RunWithModule

PARTS = """
    class Part:
        every = []
        def __init__(self, n):
            self.n = n
            Part.every.append(self)
            REG[n] = self
            ORDER.append(self)
    REG, ORDER = {}, []
    for n in (1, 2, 3):
        Part(n)
"""
MODELS = """
    class Model:
        def __init__(self):
            self.parts = []
    current = Model()
    def part(x):
        current.parts.append(x)
        return x
    def new():
        global current
        current = Model()
        return current
"""
HOLDERS = """
    import functools
    def cached(x, _cache={}):
        return _cache.setdefault(x, [x])
    def kept(x):
        kept.calls.append(x)
        return x
    kept.calls = []
    def memo(f):
        cache = {}
        hits = 0
        @functools.wraps(f)
        def wrapper(x):
            nonlocal hits
            hits += x in cache
            return cache.setdefault(x, f(x))
        wrapper.hits = lambda: hits
        return wrapper
    @memo
    def square(x):
        return [x * x]
    class Rod:
        @staticmethod
        def add(x, _all=[]):
            _all.append(x)
            return _all
"""
TABLES = """
    import functools
    N, T, REG = 0, {}, {}
    def register(f):
        REG[f.__name__] = f
        @functools.wraps(f)
        def wrapper():
            return [f()]
        return wrapper
    @register
    def count():
        global N
        N += 1
        return N
    T['plus'] = lambda x: x + N
    def local():
        class Local:
            def count(self): return REG['count']()
            def n(self): return N
        return Local()
"""
CASES = {
    "made and registered": (PARTS, "", "p = mod.Part(4)", "mod.REG[4] is p is mod.Part.every[3]"),
    "removed from a list": (
        PARTS,
        "a, b, c = mod.ORDER",
        "mod.ORDER.pop(0)",
        "mod.ORDER == [b, c]",
    ),
    "the removed one stays": (
        PARTS,
        "a, b, c = mod.ORDER",
        "mod.ORDER.pop(0)",
        "(a.n, b.n) == (1, 2)",
    ),
    "replaced": (
        PARTS,
        "a = mod.REG[1]",
        "mod.REG[1] = mod.Part(9)",
        "a.n == 1 and mod.REG[1].n == 9",
    ),
    "two attributes": (PARTS, "", "mod.REG[1].n = 7; seen = mod.ORDER[0].n", "seen == 7"),
    "two attributes, home": (PARTS, "", "mod.REG[1].n = 7", "mod.ORDER[0] is mod.REG[1]"),
    "bound anew": (
        MODELS,
        "m = mod.current",
        "p = mod.part([1]); n = mod.new(); q = mod.part([3])",
        "m.parts[0] is p and mod.current is n is not m and n.parts[0] is q",
    ),
    "a mutable default": (HOLDERS, "a = mod.cached(1)", "b = mod.cached(2)", "mod.cached(2) is b"),
    "a default that was there": (HOLDERS, "a = mod.cached(1)", "b = mod.cached(1)", "b is a"),
    "an attribute of a function": (HOLDERS, "", "p = mod.kept([1])", "mod.kept.calls[0] is p"),
    "a closure": (HOLDERS, "mod.square(2)", "s = mod.square(3)", "mod.square(3) is s"),
    "a number of a closure": (
        HOLDERS,
        "mod.square(2)",
        "mod.square(2); there = mod.square.hits()",
        "there == mod.square.hits() == 1",
    ),
    "a static method": (HOLDERS, "", "a = mod.Rod.add(1)", "mod.Rod.add(2) is a and a == [1, 2]"),
    "a lock beside it": (
        """
        import threading
        class Store:
            def __init__(self):
                self.lock, self.items, self.n = threading.Lock(), [], 0
        store = Store()
        """,
        "mod.store.items.append(1)",
        "mod.store.items.append(2); mod.store.n += 1",
        "(mod.store.items, mod.store.n) == ([1, 2], 1)",
    ),
    "a lock further in": (
        """
        import threading
        class Store:
            def __init__(self):
                self.lock, self.items = threading.Lock(), []
            def add(self, x):
                with self.lock:
                    self.items.append(x)
        stores = {'a': Store()}
        """,
        "mod.stores['a'].add(1); here = mod.stores['a'].lock",
        "mod.stores['a'].add(2); mod.stores['b'] = mod.stores['a']",
        "mod.stores['b'].items == [1, 2] and mod.stores['a'].lock is here",
    ),
    "data of a thread": (
        "import threading\nlocal = threading.local()\nlocal.n, local.seen = 0, []",
        "mod.local.n = 1",
        "mod.local.n += 1; mod.local.seen.append(mod.local.n)",
        "(mod.local.n, mod.local.seen) == (2, [2])",
    ),
    "deleted here": (
        "A = 1\nB = 2\ndef f(): pass",
        "del mod.A, mod.f",
        "seen = [hasattr(mod, name) for name in 'ABf']",
        "seen == [False, True, False] and not hasattr(mod, 'A')",
    ),
    "deleted there": ("A, B = 1, 2", "", "del mod.A", "not hasattr(mod, 'A') and mod.B == 2"),
    "a view": (
        "import numpy\nT = numpy.arange(4.0)\nview = T[1:]",
        "v = mod.view",
        "mod.T[2] = 9",
        "v[1] == 9 and v is mod.view and v.base is mod.T",
    ),
    "an array kept by both": (
        "H = []\ndef keep(x):\n    H.append(x)",
        "",
        "x = np.ones(3); mod.keep(x)",
        "mod.H[0] is x",
    ),
    "a named tuple": (
        """
        from typing import NamedTuple
        class Point(NamedTuple):
            name: str
            loads: list
        P0 = Point('a', [1])
        def get(p=P0): return p
        """,
        "p = mod.P0",
        "mod.P0.loads.append(2); q = mod.get()",
        "p.loads == [1, 2] and p is q is mod.P0 is mod.get()",
    ),
    "an object of a library that can be called": (
        "import numpy\ncurve = None\nsin = numpy.sin",
        "mod.curve = np.poly1d([1, 0])",
        "y = mod.curve(3); mod.curve = c = np.poly1d([2, 0])",
        "y == 3 and mod.curve is c and mod.sin is np.sin",
    ),
    "a partial": (
        "import functools\nH = []\ndef f(x, h): h.append(x); return h\n"
        "p = functools.partial(f, h=H)",
        "mod.p(1)",
        "h = mod.p(2)",
        "h is mod.H is mod.p.keywords['h'] and h == [1, 2]",
    ),
    "the object of a method": (
        "class Store:\n    def __init__(self): self.v = []\n"
        "    def add(self, x): self.v.append(x); return self.v\nadd = Store().add",
        "mod.add(1)",
        "v = mod.add(2)",
        "mod.add(3) is v and v == [1, 2, 3]",
    ),
    "a class in a class": (
        "class Rod:\n    class Options:\n        n, seen = 0, []",
        "mod.Rod.Options.seen.append(1)",
        "mod.Rod.Options.seen.append(2); mod.Rod.Options.n = 3",
        "(mod.Rod.Options.n, mod.Rod.Options.seen) == (3, [1, 2])",
    ),
    "functions that no name reaches": (
        TABLES,
        "mod.REG['count'](); f = mod.T['plus']",
        "a = mod.REG['count'](); b = mod.N; c = f(1); mod.N = 5; d = f(1)",
        "[a, b, c, d] == [2, 2, 3, 6] and f is mod.T['plus'] and mod.count() == [6] and f(0) == 6",
    ),
    "a class that no name reaches": (
        TABLES,
        "k = mod.local(); k.count()",
        "k.count(); a = mod.N; mod.N = 7; b = k.n(); c = mod.local().n()",
        "[a, b, c] == [2, 7, 7] and k.n() == 7",
    ),
    "another class in its place": (
        "class Solver: n = 1\nclass Fast(Solver): n = 2\ndef make(): return Solver()",
        "class Mine(mod.Solver): n = 3\nmod.Solver = Mine",
        "a = mod.make().n; b = type(mod.make()) is Mine; mod.Solver = mod.Fast",
        "[a, b] == [3, True] and mod.make().n == 2 and mod.Solver is mod.Fast",
    ),
    "a function of the notebook": (
        "H = []\ndef on(f):\n    H.append(f)\n    return f",
        "@mod.on\ndef f(): return 1",
        "@mod.on\ndef g(): return 2",
        "mod.H == [f, g]",
    ),
    "an import in a function": (
        "H = [0]",
        "def late(x):\n    import mod\n    mod.H.append(x)\n    return mod.H",
        "h = late(1)",
        "h is mod.H and h == [0, 1]",
    ),
}


@pytest.mark.cell("travels", "What your modules share")
@pytest.mark.parametrize(("module", "before", "cell", "after"), CASES.values(), ids=CASES)
def test_a_module_shares_what_it_shared(
    run_with_module: RunWithModule, module: str, before: str, cell: str, after: str
) -> None:
    """After a cell, `is` holds between a module's state and the variables as after a local run."""
    notebook = run_with_module(module, before, cell)
    assert eval(after, notebook.ns), after  # noqa: S307 our own text


def test_two_modules_share(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one module imports from another, and what both hold, is one object."""
    (tmp_path / "core_of_two.py").write_text("REG = {}\nOPTIONS = {'a': 1}\n")
    (tmp_path / "use_of_two.py").write_text(
        "from core_of_two import OPTIONS, REG\nlast = [None]\n"
        "def add(k):\n    REG[k] = last[0] = [OPTIONS['a']]\n    return REG\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import core_of_two as core, use_of_two as use\nuse.add('a')")
    notebook.remote("core.OPTIONS['a'] = 5; r = use.add('b')", "core", "use")
    core, use, r = (notebook.ns[name] for name in ("core", "use", "r"))
    assert r is core.REG is use.REG and r == {"a": [1], "b": [5]}
    assert use.last[0] is r["b"] and use.OPTIONS is core.OPTIONS


def test_a_state_that_cannot_be_opened_there(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that holds what the worker has no package for fails where the cell imports it, and
    nowhere else.
    """
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "only_here.py").write_text("class Thing: pass\n")
    (tmp_path / "has_things.py").write_text(
        "try:\n    import only_here\n    thing = only_here.Thing()\nexcept ImportError:\n    pass\n"
    )
    (tmp_path / "may_show.py").write_text(
        "N = [1]\ndef show():\n    import has_things\n    return has_things.thing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    notebook.local("import may_show, has_things")
    sys.path.remove(str(tmp_path / "site-packages"))  # which the other side would find
    notebook.remote("may_show.N.append(2)", "may_show")
    assert notebook.ns["may_show"].N == [1, 2]
    with pytest.raises(AssertionError, match=r"state of your module has_things.*only_here"):
        notebook.remote("may_show.show()", "may_show")
