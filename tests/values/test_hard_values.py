"""Values that pickle and cloudpickle take apart wrongly: closures, cached functions, slots,
exceptions, overlapping windows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .notebook import Notebook

CASES = {
    "a closure's variable, changed there": (
        "def make(n):\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    "
        "return up\nup = make(3)",
        "a = up(); b = up()",
        "up",
        "(a, b, up()) == (4, 5, 6)",
    ),
    "two closures that share a variable": (
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    return "
        "up, lambda: n\nup, get = make()",
        "up(); seen = get()",
        "up get",
        "(seen, get()) == (1, 1)",
    ),
    "closures made there": (
        "x = 0",
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    return "
        "up, lambda: n\nup, get = make()\nup()",
        "x",
        "(up(), get()) == (None, 2)",
    ),
    "a closure that calls itself": (
        "def make():\n    def fac(n): return 1 if n < 2 else n * fac(n - 1)\n    return fac\nfac "
        "= make()",
        "a = fac(5)\ndef make():\n    def fib(n): return n if n < 2 else fib(n - 1) + fib(n - "
        "2)\n    return fib\nfib = make()",
        "fac",
        "(a, fac(4), fib(7)) == (120, 24, 13)",
    ),
    "a cached function that calls itself": (
        "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef fib(n): return n if n < 2 "
        "else fib(n - 1) + fib(n - 2)\nsame = fib",
        "a = fib(60); size = fib.cache_info().currsize",
        "fib",
        "(a, size, fib is same, fib(10)) == (1548008755920, 61, True, 55)",
    ),
    "a cached function made there": (
        "x = 2",
        "from functools import cache\n@cache\ndef twice(n): return n * 2\ntwice(1)",
        "x",
        "(twice(4), twice.__name__) == (8, 'twice')",
    ),
    "a class with a cached property, a function by type": (
        "x = 0",
        "from functools import cached_property, singledispatch\nclass K:\n    @cached_property\n  "
        "  def p(self): return 7\nk = K(); k.p\n"
        "@singledispatch\ndef kind(x): return 'any'\n@kind.register\ndef _(x: int): return "
        "'int'\nkind(3)",
        "x",
        "(k.p, K().p, kind(3), kind('')) == (7, 7, 'int', 'any')",
    ),
    "tuples with names": (
        "from typing import NamedTuple\nclass N(NamedTuple):\n    a: int\n    b: str = 'q'",
        "n = N(1)\nfrom typing import NamedTuple\nclass M(NamedTuple):\n    c: int\nm = M(2)",
        "N",
        "(n.a, n.b, type(n) is N, m.c, hasattr(n, '__dict__')) == (1, 'q', True, 2, False)",
    ),
    "an object with slots": (
        "class S:\n    __slots__ = ('a', 'b', '__weakref__')\n    def __init__(self): self.a = "
        "1\ns = S(); box = [s]",
        "s.a = 10; s.b = 2; t = S()\ntry: t.c = 1\nexcept AttributeError as no: refused = str(no)",
        "s S",
        "(s.a, s.b, t.a, box[0] is s, type(t) is S, 'c' in refused) == (10, 2, 1, True, True, "
        "True)",
    ),
    "slots and attributes": (
        "class A:\n    __slots__ = ('_A__p',)\nclass B(A): pass\nb = B(); b._A__p = 1; b.q = 2; "
        "same = b",
        "b._A__p = 5; del b.q; b.r = 3",
        "b",
        "(b._A__p, vars(b), same is b) == (5, {'r': 3}, True)",
    ),
    "an exception with arguments of its own": (
        "class E(OSError):\n    def __init__(self, a, *, b): super().__init__(2, f'{a}-{b}'); "
        "self.a, self.b = a, b\ne = E(1, b=2)",
        "f = E(3, b=4); n = e.errno",
        "e E",
        "(n, e.a, f.b, f.errno, str(f), type(f) is E) == (2, 1, 4, 2, '[Errno 2] 3-4', True)",
    ),
    "windows whose array stays at home": (
        "a = np.arange(10); v = a[2:5]; w = a[::2]",
        "v[:] = -1; w[0] = 100",
        "v w",
        "a.tolist() == [100, 1, -1, -1, -1, 5, 6, 7, 8, 9] and v.base is a",
    ),
    "a function of np.frompyfunc": (
        "n = 1; add = np.frompyfunc(lambda a, b: a + b + n, 2, 1, identity=0); table = [add]",
        "import numpy\nones = numpy.ones(3, dtype=object); power = numpy.frompyfunc(pow, 2, 1)\n"
        "seen = add(1, 2), add.reduce(ones), add.identity, table[0] is add; same = add; "
        "sine = numpy.sin",
        "add table n",
        "(seen, power(2, 3), same is add, sine is np.sin) == ((4, 5.0, 0, True), 8, True, True)",
    ),
    "a function below a manager that is a decorator": (
        "from contextlib import contextmanager\nlog = []\n@contextmanager\ndef timed(name):\n"
        "    log.append(name); yield; log.append('end')\n@timed('a')\ndef f(): return 1",
        "one = f()\n@timed('b')\ndef g(): return 2\nlater = timed('c')\nwith timed('d'): pass",
        "f timed log",
        "one == 1 == f() and g() == 2 and later.__enter__() is None and log == ['a', 'end', 'd', "
        "'end', 'a', 'end', 'b', 'end', 'c']",
    ),
    "a class whose module is None": (
        "x = 0",
        "C = type('C', (), {}); C.__module__ = None; c = C()",
        "x",
        "type(c).__name__ == 'C'",
    ),
}


@pytest.mark.parametrize(("here", "there", "names", "truth"), CASES.values(), ids=CASES)
@pytest.mark.cell(
    "travels",
    "Closures, cached functions, generated classes, exception chains",
)
def test_hard_values(here: str, there: str, names: str, truth: str) -> None:
    """They behave there, and afterwards here, as if the cell had run here."""
    notebook = Notebook()
    notebook.local(here)
    notebook.remote(there, *names.split())
    notebook.local(f"assert {truth}")


@pytest.mark.cell("travels", "`np.memmap`, still mapped")
def test_an_array_in_a_file_is_changed_in_its_file(tmp_path: Path) -> None:
    """A memmap stays the window on its file that it was."""
    notebook = Notebook()
    notebook.local(f"m = np.memmap({str(tmp_path / 'm')!r}, dtype='f4', mode='w+', shape=(4,))")
    notebook.remote("m[0] = 5", "m")
    assert np.fromfile(tmp_path / "m", "f4").tolist() == [5, 0, 0, 0]


def test_an_array_in_a_file_may_be_read_only(tmp_path: Path) -> None:
    """There, too, and it knows its file; a private one is changed here and not in the file."""
    notebook = Notebook()
    np.arange(4.0).tofile(tmp_path / "m")
    notebook.local(
        f"r, c = (np.memmap({str(tmp_path / 'm')!r}, 'f8', mode, 8) for mode in 'rc'); v = r[1:]"
    )
    notebook.remote(
        "seen = type(r).__name__, r.mode, r.offset, r.filename[-2:], r.flags.writeable, "
        "v.flags.writeable, c.mode; c[0] = 9",
        "r",
        "v",
        "c",
    )
    assert notebook.ns["seen"] == ("memmap", "r", 8, "/m", False, False, "c")
    assert notebook.ns["c"].tolist() == [9, 2, 3] and notebook.ns["r"].tolist() == [1, 2, 3]


def test_neighbours_do_not_bring_the_array_between_them() -> None:
    """Two columns of a large matrix travel as two columns."""
    notebook = Notebook()
    notebook.local("m = np.ones((1000, 1000)); x = m[:, 0]; y = m[:, 900]")
    notebook.remote("x += 1; y += 2", "x", "y")
    assert notebook.ns["m"].sum() == 10**6 + 3000 and notebook.back_bytes < 50_000
