"""Tables of cells: what each reads, binds and deletes. Builtins are left out of the expectation;
`known` is the notebook.
"""

from __future__ import annotations
import __future__

import builtins
import re
import sys
import time

import pytest

from mecapy_jupyter.capture.names import Names, analyse

KNOWN = frozenset(
    re.findall(r"\S+", "a b c d data df e f g K mask mesh n np p plt q r s t threshold u v w x y z")
)


def reads(names: Names) -> set[str]:
    return {name for name in names.reads if not hasattr(builtins, name)}


# cell, what it reads, what it binds
CELLS: list[tuple[str, str, str]] = [
    # assignment
    ("x = 1", "", "x"),
    ("x = y", "y", "x"),
    ("x = x + 1", "x", "x"),
    ("x += 1", "x", "x"),
    ("x = 1\nx += 1", "", "x"),
    ("x: int = y", "y", "x"),
    ("x[0] = y", "x y", ""),
    ("x[i := 3] = y", "x y", "i"),
    ("x.attr = y", "x y", ""),
    ("a, (b, *c) = d", "d", "a b c"),
    ("a = b = c", "c", "a b"),
    ("x = 1\ny = x", "", "x y"),
    ("y = x\nx = 1", "x", "x y"),
    ("x[1:n] *= 2", "x n", ""),
    ("x @ y", "x y", ""),
    ("print(f'{x:.{p}f} {y!r}')", "x p y", ""),
    ("t'{x}'" if sys.version_info >= (3, 14) else "x", "x", ""),
    # deletion: captured, so that the notebook knows what to remove
    ("del x", "x", ""),
    ("x = 1\nprint(x)\ndel x", "x", "x"),
    ("del x[0], y.attr", "x y", ""),
    # branches: bound on one way only counts as read
    ("if a:\n    x = 1\nprint(x)", "a x", "x"),
    ("if a:\n    x = 1\nelse:\n    x = 2\nprint(x)", "a", "x"),
    ("if a:\n    x = 1\nelif b:\n    x = 2\nprint(x)", "a b x", "x"),
    ("if a:\n    x = 1\nelse:\n    raise ValueError\nprint(x)", "a", "x"),
    ("x = y if a else z", "a y z", "x"),
    ("x = a if b else c\nprint(x)", "a b c", "x"),
    ("a and (x := b)\nprint(x)", "a b x", "x"),
    ("(x := a) and print(x)", "a", "x"),
    ("assert x, y", "x y", ""),
    ("while a:\n    x = 1\nprint(x)", "a x", "x"),
    ("while True:\n    x = f()\n    if x: break\nprint(x)", "f", "x"),
    ("for i in a:\n    x = i\nprint(x)", "a x", "i x"),
    ("for i in a:\n    print(i)\nelse:\n    x = 1\nprint(x)", "a", "i x"),
    ("for i, (j, k) in a:\n    pass", "a", "i j k"),
    ("for x[0] in a:\n    pass", "a x", ""),
    ("for i in range(n):\n    s = s + i", "n s", "i s"),
    ("s = 0\nfor i in range(n):\n    s += i\ns", "n", "i s"),
    # try, with
    ("try:\n    x = f()\nexcept ValueError:\n    x = 0\nprint(x)", "f", "x"),
    ("try:\n    x = f()\nexcept ValueError:\n    pass\nprint(x)", "f x", "x"),
    ("try:\n    x = f()\nfinally:\n    g()\nprint(x)", "f g", "x"),
    ("try:\n    y\nexcept NameError:\n    y = 1\ny", "y", "y"),
    ("try:\n    f()\nexcept ValueError as e:\n    print(e)", "f e", ""),
    ("try:\n    f()\nexcept ValueError as err:\n    last = err", "f err", "last"),
    ("try:\n    f()\nexcept* ValueError as eg:\n    print(eg)", "f eg", ""),
    ("with f(x) as (a, b):\n    c = a\nprint(b)", "f x b", "a b c"),
    ("with f() as a, g(a) as b:\n    pass", "f g", "a b"),
    # functions: what they read counts, unless it is bound before they can run
    ("def f(x=a):\n    return x + y", "a y", "f"),
    ("def f():\n    return x\nx = 1\nf()", "", "f x"),
    ("def f():\n    return x\nf()\nx = 1", "x", "f x"),
    ("def f():\n    return g()\ndef g():\n    return z\nf()", "z", "f g"),
    ("def f():\n    return x\nif a:\n    x = 1\nf()", "a x", "f x"),
    ("@d\ndef f():\n    return x\nx = 1", "d x", "f x"),
    ("f = lambda v: v + w", "w", "f"),
    ("g = map(lambda v: v + w, a)", "w a", "g"),
    ("def f():\n    global x\n    x = y", "y", "f x"),
    ("def f():\n    global x\n    del x", "x", "f"),
    ("def f():\n    def g():\n        return y\n    return g", "y", "f"),
    ("def f():\n    y = 1\n    def g():\n        nonlocal y\n        y += z\n    return "
     "g", "z", "f"),
    ("async def f():\n    async with a as v:\n        yield v", "a", "f"),
    ("def f(x: a) -> b: pass", "a b", "f"),
    ("f(x, *y, **z)", "f x y z", ""),
    # classes: their own names are theirs
    ("class A(b):\n    v = x\n    w = v", "b x", "A"),
    ("class A:\n    x = x", "x", "A"),
    ("class A:\n    if a:\n        y = 1\n    z = y", "a y", "A"),
    ("class A:\n    def m(self):\n        return helper(A)\n", "helper", "A"),
    ("class A:\n    v = [i * y for i in range(3)]", "y", "A"),
    ("class A:\n    global x\n    x = 1", "", "A x"),
    ("class A(metaclass=b, k=c):\n    pass", "b c", "A"),
    ("@d\nclass A:\n    x: y = 1", "d y", "A"),
    ("class A:\n    @property\n    def v(self): return self._v\n    @v.setter\n    def v(self, "
     "w): self._v = q", "q", "A"),
    # comprehensions have their own scope; a walrus in one does not
    ("y = [i * x for i in a if i > b]", "x a b", "y"),
    ("y = {i: j for i, j in a}", "a", "y"),
    ("y = [k for k in a]\nprint(k)", "a k", "y"),
    ("y = [(last := i) for i in a]", "a", "y last"),
    ("y = [[j for j in i] for i in x]", "x", "y"),
    ("any((hit := v) for v in x)\nhit", "x hit", "hit"),
    ("x = sum(i for i in range(n))", "n", "x"),
    ("fs = [lambda: i + z for i in a]", "a z", "fs"),
    # match
    ("match x:\n    case [a, *b]: pass\n    case {'k': c, **d}: pass\n    case y: "
     "pass", "x", "a b c d y"),
    ("match x:\n    case K(v) if v > y: r = v\n    case _: r = 0\nprint(r)", "x K y", "v r"),
    ("match x:\n    case p.RED | 1: pass", "x p", ""),
    # imports
    ("import numpy as np\nnp.ones(n)", "n", "np"),
    ("import os.path", "", "os"),
    ("from m import a, b as c", "", "a c"),
    ("try:\n    import v\nexcept ImportError:\n    v = None\nv", "", "v"),
    ("if a:\n    import np\nnp", "a np", "np"),
    # more of Python's scopes
    ("y = [x := 1, x]", "", "x y"),
    ("if (x := f()) > 1: print(x)", "f", "x"),
    ("while (x := f()): pass\nprint(x)", "f", "x"),
    ("y = {k: v for k, v in x.items() if v > t}", "x t", "y"),
    ("y = {*a, *(i for i in b)}", "a b", "y"),
    ("class A:\n    n = 2\n    v = [n for _ in range(n)]", "n", "A"),
    ("class A:\n    n = 2\n    v = [i for i in range(n)]", "", "A"),
    ("class A:\n    x = 1\n    def m(self, v=x): return x", "x", "A"),
    ("class A:\n    def m(self): return super().m() or __class__", "", "A"),
    ("class A:\n    def m(self): return A.n, y\n    class B: v = z", "y z", "A"),
    ("class A:\n    def m(self): return __x", "_A__x", "A"),
    ("class A:\n    for x in y: pass\n    else: z = x", "y x", "A"),
    ("f = lambda v=x, *a, k=y: (v, a, k, z)", "x y z", "f"),
    ("@d(x)\ndef f(v=y): return z", "d x y z", "f"),
    ("async def f():\n    return [i async for i in x if await g(i)]", "x g", "f"),
    ("def f():\n    global x\n    def g():\n        return x\n    x += 1", "x", "f x"),
    ("def f():\n    import os\n    from m import g as h\n    return os, h", "", "f"),
    ("def f():\n    for i in x: yield i\n    del i", "x", "f"),
    ("for i in a:\n    if i: f()\n    def f(): return x\nx = 1", "a f x", "f i x"),
    ("for i in a:\n    x\n    x = 1\n    del x", "a x", "i x"),
    ("x = 1\nfor i in a:\n    print(x)\n    del x", "a x", "i x"),
    ("try:\n    x = 1\n    del x\nexcept K: pass\nelse: x", "K x", "x"),
    ("try:\n    f()\nfinally:\n    x = 1\nx", "f", "x"),
    ("try:\n    x = f()\nexcept* K:\n    raise\nx", "f K", "x"),
    ("with a, b(c) as (x, y[0]): x", "a b c y", "x"),
    ("match x:\n    case {'k': [1, v] | [v, 2], **r} if v in r: y = v", "x", "r v y"),
    ("match x:\n    case a: pass\na", "x", "a"),
    ("match x:\n    case K(v=1): y = 1\ny", "x K y", "y"),
    ("a < (x := b) < (y := c)\nx, y", "a b c y", "x y"),
    ("x, y = y, x", "x y", "x y"),
    ("x.y += z", "x z", ""),
    ("for x in a:\n    break\nelse:\n    y = 1\ny", "a y", "x y"),
    ("while 1:\n    try:\n        x = f()\n        break\n    except K: pass\nx", "f K", "x"),
    ("from m import *\nx = y", "y", "x"),
    ("if False: x = y\nx", "x", ""),
    ("print(0xFFFF, " + hex(10**5000) + ")", "", ""),
    ("def f(): return " + hex(10**5000) + " + x", "x", "f"),
    # top-level await
    ("x = await f(y)", "f y", "x"),
    ("async for i in a:\n    x = i", "a", "i x"),
    ("async with a as b:\n    c = b", "a", "b c"),
    ("y = [i async for i in a]", "a", "y"),
    # magics, after IPython's transform
    ("get_ipython().run_line_magic('timeit', '-n 3 -r 1 f(x)')", "f x", ""),
    ("get_ipython().run_line_magic('time', 'y = f(x)')\nprint(y)", "f x", "y"),
    ("get_ipython().run_cell_magic('time', '', 'y = x\\nz = y\\n')", "x", "y z"),
    ("get_ipython().run_cell_magic('timeit', 'a = b', 'a + c')", "b c", ""),
    ("get_ipython().run_cell_magic('capture', 'out', 'y = x')", "x", "y out"),
    ("get_ipython().run_cell_magic('bash', '', 'echo $HOME; x=1')", "HOME", ""),
    ("get_ipython().system('echo $x {y + 1} data')", "x y", ""),
    ("files = get_ipython().getoutput('ls {p}')", "p", "files"),
    ("r = get_ipython().run_line_magic('timeit', '-o f(x)')", "f x", "r"),
    ("get_ipython().run_line_magic('matplotlib', 'inline')", "inline", ""),
    ("if a:\n    get_ipython().run_line_magic('time', 'y = f(x)')", "a f x", "y"),
    ("get_ipython().run_line_magic('lprun', '-f g f(x)')", "g f x", ""),
    # names in strings
    ("eval('x + y')", "x y", ""),
    ("exec('x = y')", "y", "x"),
    ("df.query('a > @threshold and price < 3')", "df a threshold", ""),
    ("'x' in globals()", "x", ""),
    ("y = globals()['x']", "x", "y"),
    ("globals()['x'] = y", "y", "x"),
    ("globals().get('x', 3)", "x", ""),
    ("smf.ols('y ~ np.log(x)', data=df)", "smf y np x df", ""),
    ("smf.ols(f'y ~ {p} + np.log(x)', df)", "smf p y np x df", ""),
    ("df.query('@threshold')", "df threshold", ""),
    ("e = '2*a + 3*b'\nnumexpr.evaluate(e)", "numexpr a b", "e"),
    ("numexpr.evaluate('a/b')", "numexpr a b", ""),
    ("read('data/run.csv')", "read", ""),
    ("read('data')", "read", ""),
    ("plt.plot(1, label='time in s')", "plt", ""),
    ("print('--data', 'x: y', '{x}/{y}', 'a-1.png', 'x y')", "", ""),
    ("duckdb.sql('SELECT v FROM df JOIN mesh USING (v)')", "duckdb df mesh", ""),
    ("NeuronGroup(n, 'dv/dt = (I - v)/t : volt')", "NeuronGroup n v t", ""),
    ("def f(d): return d.query('n > @threshold')", "n threshold", "f"),
    ("np.var(x)", "np x", ""),
    ("from sympy import var\nvar('x y')", "", "var"),
    ("vars(x), dir(y)", "x y", ""),
    # published notebooks
    ("fig, ax = plt.subplots(figsize=(8, 4))\nax.plot(x, np.sin(x), "
     "label='sin')\nax.legend();", "plt x np", "fig ax"),
    ("df['z'] = df.groupby('k')['v'].transform(lambda g: g - g.mean())", "df", ""),
    ("df = df[df.a > threshold].assign(r=lambda d: d.a / n)", "df threshold n", "df"),
    ("u = np.zeros(n); u[mask] = 1\nfor _ in range(10):\n    u[1:-1] = .5 * (u[:-2] + "
     "u[2:])", "np n mask", "u _"),
    ("def rhs(t, y, k=1.0):\n    return -k * y\nsol = solve_ivp(rhs, (0, 10), "
     "[1])\nplt.plot(sol.t, sol.y[0])", "solve_ivp plt", "rhs sol"),
    ("from numpy import *\nx = linspace(0, 1)", "linspace", "x"),
    ("with np.errstate(divide='ignore'):\n    y = 1 / x\ny[:3]", "np x y", "y"),
    ("__version__ = '1'\n__name__", "", "__version__"),
    ("print(__doc__)", "", ""),
]  # fmt: skip
if sys.version_info >= (3, 12):
    CELLS += [
        ("def f[T](x: T) -> y: return z", "y z", "f"),
        ("class A[T](b): v: T = c", "b c", "A"),
        ("type V[T] = list[T] | x", "x", "V"),
        ("print(f'{', '.join(f'{i}' for i in a)}')", "a", ""),
    ]


@pytest.mark.parametrize(
    ("cell", "expected_reads", "expected_binds"), CELLS, ids=[cell for cell, _, _ in CELLS]
)
def test_a_cell_reads_and_binds_these_names(
    cell: str, expected_reads: str, expected_binds: str
) -> None:
    """Capture finds exactly the names a person would list for this cell."""
    names = analyse(cell, KNOWN)
    assert (reads(names), set(names.binds)) == (
        set(expected_reads.split()),
        set(expected_binds.split()),
    )


@pytest.mark.parametrize(
    ("cell", "dynamic", "unseen"),
    [
        ("x = 1", False, False),
        ("eval(s)", True, True),
        ("exec(s)", True, True),
        ("list(map(eval, s))", True, True),
        ("globals().update(x)", True, True),
        ("print(locals())", True, True),
        ("def f(v):\n    return locals()", False, False),
        ("def f(v):\n    return globals()", True, True),
        ("vars(x)", False, False),
        ("get_ipython().user_ns['x']", True, True),
        ("get_ipython().run_line_magic('who', '')", True, True),
        ("get_ipython().run_line_magic('run', '-i s.py')", True, True),
        ("get_ipython().run_line_magic('pylab', 'inline')", False, True),
        ("get_ipython().run_line_magic('load_ext', 'autoreload')", False, True),
        ("get_ipython().run_line_magic('time', 'f(x)')", False, False),
        ("get_ipython().run_line_magic(name, '')", True, True),
        ("import __main__\n__main__.x", True, True),
        ("'x' in globals()", False, False),
        ("globals()['x'] = 1", False, True),
        ("dir = 'out'\nprint(dir)", False, False),
        ("import inspect\ninspect.stack()", True, True),
        ("import numpy\nnumpy.stack(x)", False, False),
        ("[eval(v) for v in x]", True, True),
        ("df.eval('c = a + b')", False, False),
        ("import unittest\nunittest.main(argv=[''], exit=False)", True, True),
        ("import doctest\ndoctest.testmod()", True, True),
        ("x = __import__('__main__')", True, True),
        ("import sys\nsys.modules[__name__]", True, True),
        ("def go():\n    import unittest\n    unittest.main()", True, True),
        ("if __name__ == '__main__':\n    main()", False, False),
        ("import logging\nlogging.getLogger(__name__)", False, False),
    ],
)
def test_a_cell_that_may_use_any_name_says_so(cell: str, dynamic: bool, unseen: bool) -> None:
    """`dynamic` means any name may be read, `unseen` that any may be bound; ordinary cells are
    neither.
    """
    names = analyse(cell, KNOWN)
    assert (names.dynamic, names.unseen) == (dynamic, unseen)


def test_imports_are_found_wherever_they_stand() -> None:
    """Every module that anything in the cell may import is named, submodules that `from` may mean
    included.
    """
    names = analyse(
        "import a.b\nfrom c import d\ndef f():\n    import e\n    class X:\n        from g.h "
        "import i\nfrom s import *"
    )
    assert names.imports == {"a.b", "c", "c.d", "e", "g.h", "g.h.i", "s"}
    assert names.stars == {"s"}


def test_annotations_are_not_read_under_the_future_import() -> None:
    """The compiler flags of an earlier `from __future__ import annotations` hold
    for this cell too.
    """
    assert "Undefined" in analyse("x: Undefined = 1").reads or sys.version_info >= (3, 14)
    assert (
        "Undefined"
        not in analyse("x: Undefined = 1", flags=__future__.annotations.compiler_flag).reads
    )


def test_a_cell_that_does_not_parse_is_a_syntax_error() -> None:
    """Nothing is guessed about code that is not Python."""
    with pytest.raises(SyntaxError):
        analyse("x = = 1")


def test_a_long_cell_is_read_in_milliseconds() -> None:
    """Thirty lines cost about a millisecond of CPU;
    the bound here leaves room for a slow machine.
    """
    cell = "\n".join(
        f"u{i} = np.sin(k * {i}) + offset\nax.plot(u{i}, label='s')\nprint(f'{{u{i}:.3f}}')"
        for i in range(10)
    )
    start = time.process_time()
    analyse(cell)
    assert time.process_time() - start < 0.02


def test_future_import_in_the_middle() -> None:
    """IPython compiles each statement alone, so `from __future__` may stand anywhere; an unknown
    one is still wrong.
    """
    names = analyse("import math\nfrom __future__ import division\ny = math.pi / x")
    assert "x" in names.reads and "y" in names.binds
    with pytest.raises(SyntaxError, match="not defined"):
        analyse("x = 1\nfrom __future__ import nothing")
