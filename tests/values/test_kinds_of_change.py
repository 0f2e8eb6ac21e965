"""What a cell changes comes home whatever the type promises, and what is one stays one: each row
with what holds at home afterwards.
"""

from __future__ import annotations

import pytest

from .notebook import Notebook

# before, what the cell reads, the cell, and what holds afterwards
CHANGES = {
    "a hash of its own": (
        "class Node:\n    def __init__(s, n): s.n, s.u = n, 0\n    def __hash__(s): return "
        "hash(s.n)\n    def __eq__(s, o): return s.n == o.n\na = Node('a'); d = {a: 1}; s = {a}",
        "a d s",
        "a.u = 5; a.more = [1]",
        "a.u == 5 and a.more == [1] and next(iter(s)) is a and list(d)[0] is a and d[a] == 1",
    ),
    "dataclass with a hash": (
        "from dataclasses import dataclass\n@dataclass(unsafe_hash=True)\nclass P:\n    x: float"
        "\np = P(1.0); q = [p]",
        "p q",
        "q[0].x = -1.0",
        "p.x == -1.0 and q[0] is p",
    ),
    "frozen dataclass with slots": (
        "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\nclass F:\n    "
        "x: float\nf = F(1.0); g = f",
        "f",
        "object.__setattr__(f, 'x', 2.0)",
        "f.x == 2.0 and g is f",
    ),
    "the decimal context of the process": (
        "import decimal\nc = decimal.getcontext().copy(); decimal.setcontext(c); c.prec = 5",
        "c decimal",
        "was = c.prec; c.prec = 4; c.traps[decimal.Inexact] = False\n"
        "one = c is decimal.getcontext(); third = str(decimal.Decimal(1) / 3)",
        "(was, one, third, c.prec) == (5, True, '0.3333', 4) and c is decimal.getcontext() "
        "and decimal.setcontext(decimal.DefaultContext.copy()) is None",
    ),
    "another class": (
        "class A: v = 1\nclass B(A): v = 2\na = A(); a.x = 1; b = [a]",
        "a B",
        "a.__class__ = B; a.x = 3",
        "type(b[0]) is B and (a.v, a.x) == (2, 3)",
    ),
    "another class with slots, made there": (
        "class A: __slots__ = 'x',\na = A(); a.x = 1",
        "a",
        "class B: __slots__ = 'x',\na.__class__ = B; a.x = 3",
        "type(a) is B and a.x == 3",
    ),
    "minus one and minus two": ("class A: pass\na = A(); a.x = -1", "a", "a.x = -2", "a.x == -2"),
    "one and True": ("class A: pass\na = A(); a.x = 1", "a", "a.x = True", "a.x is True"),
    "zero and minus zero": (
        "class A: pass\na = A(); a.x = 0.0",
        "a",
        "a.x = -0.0",
        "str(a.x) == '-0.0'",
    ),
    "attributes of values": (
        "class S(str): pass\nclass I(int): pass\nclass T(tuple): pass\nclass D(frozenset): pass\n"
        "v = S('a'), I(1), T((1,)), D({1})\nfor one in v: one.n = 0",
        "v",
        "for k, one in enumerate(v): one.n = k",
        "[one.n for one in v] == [0, 1, 2, 3]",
    ),
    "an array with attributes": (
        "class Signal(np.ndarray): pass\ns = np.arange(3.).view(Signal); s.fs = 1; same = s",
        "s",
        "s *= 2; s.fs = 2",
        "same is s and s.fs == 2 and s.tolist() == [0, 2, 4]",
    ),
    "a dict that checks": (
        "class L(dict):\n    def __setitem__(s, k, v): raise KeyError(k)\n    def update(s, *a): "
        "raise KeyError\n    def __delitem__(s, k): raise KeyError\nl = L(); o = [1]",
        "l o",
        "dict.__setitem__(l, 'a', o); l.n = 1; o.append(2); z = 7",
        "dict(l) == {'a': [1, 2]} and l['a'] is o and l.n == 1 and z == 7",
    ),
    "a list that logs": (
        "class H(list):\n    def extend(s, i): raise TypeError\n    append = __setitem__ = clear "
        "= extend\nh = H()",
        "h",
        "list.append(h, 3)",
        "list(h) == [3]",
    ),
    "slots set and deleted": (
        "class A:\n    __slots__ = 'x', 'y'\nclass B(A):\n    __slots__ = ('z', '__dict__')\nb = "
        "B(); b.x = b.w = 1; c = [b]",
        "b c",
        "del b.x, c[0].w; b.y = b.z = b.v = 2",
        "[hasattr(b, n) for n in 'xyzwv'] == [False, True, True, False, True]",
    ),
    "a default factory": (
        "from collections import defaultdict\nd = defaultdict(list)",
        "d",
        "d['x'].append(1); d.default_factory = None",
        "d.default_factory is None and d == {'x': [1]}",
    ),
    "a weak dict": (
        "import weakref\nclass K: pass\nk = K(); w = weakref.WeakKeyDictionary({k: 1}); o = w",
        "k w",
        "w[k] = 5",
        "o is w and w[k] == 5 and len(w) == 1",
    ),
    "a list in a Series": (
        "s = pd.Series([[1], [2]]); inner = s[0]",
        "s",
        "s[0].append(9)",
        "s[0] is inner and inner == [1, 9]",
    ),
    "an object in a column": (
        "class A: n = 0\na = A(); f = pd.DataFrame({'o': [a, A()], 'x': [1, 2]}); held = [a]",
        "f held",
        "f['o'][0].n = 5; f.loc[0, 'x'] = 7",
        "held[0] is a is f['o'][0] and a.n == 5 and f['x'][0] == 7",
    ),
    "a state that copies what it holds": (
        "class A:\n    def __getstate__(s): return {'d': [*s.d]}\n    def __setstate__(s, t): s.d "
        "= t['d']\na = A(); a.d = [1]",
        "a",
        "a.d.append(2)",
        "a.d == [1, 2]",
    ),
    "many objects with slots": (
        "class P:\n    __slots__ = 'x', 'y'\n    def __init__(s, i): s.x, s.y = float(i), [i]\n"
        "p = [P(i) for i in range(1000)]; y = p[7].y",
        "p",
        "for q in p[:500]: q.x = -q.x\np[7].y.append(1); del p[8].x; p[9].y = p[10]; p[11].x = "
        "True",
        "str(p[0].x) == '-0.0' and p[7].y is y and y == [7, 1] and not hasattr(p[8], 'x') and "
        "p[9].y is p[10] and p[11].x is True and p[499].x == -499 and p[500].x == 500",
    ),
    "many objects, some with more": (
        "class P: pass\np = [P() for _ in range(1000)]\nfor i, q in enumerate(p): q.x, q.y = i, 0",
        "p",
        "for q in p: q.x += 1\np[3].z = p[4]; del p[5].y; p[6].x = float('nan')",
        "p[3].z is p[4] and vars(p[5]) == {'x': 6} and p[6].x != p[6].x and sum(q.x for q in p[7:])"
        " == sum(range(8, 1001))",
    ),
    "many dicts": (
        "d = [{'a': i, 'b': [i], 3: 'x'} for i in range(1000)]; b = d[5]['b']",
        "d",
        "for e in d: e['a'] += 1\nd[5]['b'].append(6); d[6][3] = 'y'; d[7]['b'] = d[8]",
        "[e['a'] for e in d] == [*range(1, 1001)] and d[5]['b'] is b and b == [5, 6] and d[6][3] "
        "== 'y' and d[7]['b'] is d[8] and [*d[9]] == ['a', 'b', 3]",
    ),
    "many dicts of many names": (
        "d = [{f'k{i}': i, 'n': i} for i in range(500)]",
        "d",
        "for i, e in enumerate(d): e[f'k{i}'] = e['n'] = -i",
        "d[499] == {'k499': -499, 'n': -499} and d[1] == {'k1': -1, 'n': -1}",
    ),
    "the order of keys": (
        "from collections import OrderedDict\no = OrderedDict(a=1, b=2); d = {'a': 1, 'b': 2}; q = "
        "{'a': 1, 'b': 2}",
        "o d q",
        "o.move_to_end('a'); d['a'] = d.pop('a'); q['a'] = 5",
        "[*o] == ['b', 'a'] and [*d] == ['b', 'a'] and [*q.items()] == [('a', 5), ('b', 2)]",
    ),
    "an iterator": (
        "i = iter([1, 2, 3]); b = [i]",
        "b",
        "first = next(b[0])",
        "b[0] is i and list(i) == [2, 3]",
    ),
    "names and texts of a class and a function": (
        "class A:\n    'x'\ndef f(): 'x'",
        "A f",
        "A.__doc__ = f.__doc__ = 'y'; A.__name__ = A.__qualname__ = f.__name__ = 'B'",
        "A.__doc__ == f.__doc__ == 'y' and A.__name__ == A.__qualname__ == f.__name__ == 'B'",
    ),
    "a class registered": (
        "import abc\nclass E(abc.ABC): pass\nclass X: pass",
        "E X",
        "E.register(X)",
        "isinstance(X(), E)",
    ),
    "a function's attributes and defaults": (
        "def f(x=[1], *, k=2): return x, k\nf.n = 0; x = f.__defaults__[0]",
        "f",
        "f.n = 1; f()[0].append(2); f.__kwdefaults__ = {'k': 3}; f.__doc__ = f.__name__ = 'g'",
        "f.n == 1 and f() == ([1, 2], 3) and f()[0] is x and f.__doc__ == f.__name__ == 'g'",
    ),
    "a random generator in an object": (
        "import random\nclass A: pass\na = A(); a.r = random.Random(1); r = a.r; want = [random."
        "Random(1).random() for _ in '1']; ref = random.Random(1); ref.random()",
        "a",
        "got = [a.r.random()]",
        "got == want and a.r is r and r.random() == ref.random()",
    ),
    "a kept tuple, text and date": (
        "import datetime\nt = ('a', 1); s = 'a long text'; e = datetime.date(2020, 1, 1)"
        "; z = frozenset({5000})",
        "t s e z",
        "out = [t, s, e, z]",
        "out[0] is t and out[1] is s and out[2] is e and out[3] is z",
    ),
}


@pytest.mark.parametrize(("before", "reads", "cell", "after"), CHANGES.values(), ids=CHANGES)
@pytest.mark.cell("travels", "Objects changed in place")
def test_a_change_comes_home(before: str, reads: str, cell: str, after: str) -> None:
    """The same objects, with what the cell gave them."""
    notebook = Notebook()
    notebook.local(before)
    notebook.remote(cell, *reads.split())
    notebook.local(f"holds = {after}")
    assert notebook.ns["holds"]


# before, what the cell reads, the cell, and what holds afterwards
AS_THEY_ARE = {
    "an attribute equal to its base's": (
        "class Base: tol = 1\nclass Sub(Base): tol = 1",
        "Base Sub",
        "Base.tol = 2; seen = Sub.tol, 'tol' in vars(Sub)",
        "seen == (1, True) and Sub.tol == 1",
    ),
    "a registry of subclasses": (
        "PLUGINS = []\nclass Plugin:\n    def __init_subclass__(cls, **k): "
        "PLUGINS.append(cls.__name__)\nclass A(Plugin): pass\na = A()",
        "PLUGINS a Plugin",
        "n = len(PLUGINS); k = type(a).__name__\nclass B(Plugin): pass",
        "n == 1 and k == 'A' and PLUGINS == ['A', 'B'] and B.__init_subclass__",
    ),
    "a metaclass that counts": (
        "MADE = []\nclass Meta(type):\n    def __new__(m, n, b, d): MADE.append(n); return super()."
        "__new__(m, n, b, d)\nclass A(metaclass=Meta): x = 1\na = A()",
        "MADE a",
        "n = len(MADE); x = type(a).x, type(type(a)).__name__",
        "n == 1 and MADE == ['A'] and x == (1, 'Meta')",
    ),
    "what caused an exception": (
        "pass",
        "",
        "try:\n    int('abc')\nexcept ValueError as e: saved = e\ntry:\n    raise KeyError('k') "
        "from saved\nexcept KeyError as e: both = e\nboth.add_note('why')",
        "both.__cause__ is saved and both.__notes__ == ['why'] and saved.__traceback__.tb_lineno "
        "== 2 and both.__suppress_context__",
    ),
    "standard output": (
        "import sys\nclass Log:\n    def __init__(s, out=sys.stdout): s.out = out\nlog = Log()",
        "log",
        "import sys; same = log.out is sys.stdout; also = type(log)().out is sys.stdout",
        "same and also and log.out is sys.stdout",
    ),
    "methods of the one generator": (
        "from random import gauss\nfrom numpy.random import randn\ndraw = np.random.normal",
        "gauss randn draw",
        "import random, numpy\nrandom.seed(1); numpy.random.seed(1); got = gauss(0, 1), randn(), "
        "draw(); random.seed(1); numpy.random.seed(1); want = random.gauss(0, 1), "
        "numpy.random.randn(), numpy.random.normal()",
        "got == want and gauss.__self__ is __import__('random')._inst",
    ),
    "a memoryview of floats": (
        "a = np.arange(4.0); m = memoryview(a)",
        "a m",
        "x = m[2], m.format; m[0] = 9.0; y = a[0]",
        "x == (2.0, 'd') and y == 9.0 and m.obj is a and a[0] == 9.0",
    ),
}


@pytest.mark.parametrize(
    ("before", "reads", "cell", "after"), AS_THEY_ARE.values(), ids=AS_THEY_ARE
)
@pytest.mark.cell("travels", "Identity of objects")
def test_it_is_there_as_it_is_here(before: str, reads: str, cell: str, after: str) -> None:
    """What the cell finds is what is here, and what comes home is that."""
    test_a_change_comes_home(before, reads, cell, f"bool({after})")


def test_a_new_dict_asks_its_keys_for_their_new_hash() -> None:
    """A cell changes an object that is hashed by what it holds, and makes dicts and sets of it."""
    notebook = Notebook()
    notebook.local("""
        class Point:
            def __init__(self, name): self.name = name
            def __hash__(self): return hash(self.name)
            def __eq__(self, other): return self.name == other.name
        p = Point("a")
        """)
    notebook.remote("p.name = 'b'; d = {p: 1}; s = {p}; deep = [{'in': {p: 2}}]", "p")
    ns = notebook.ns
    assert (ns["d"][ns["p"]], ns["p"] in ns["s"], ns["deep"][0]["in"][ns["p"]]) == (1, True, 2)
