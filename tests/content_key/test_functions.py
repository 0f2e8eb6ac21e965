"""The content of functions: their code, their helpers and what these read; not their text."""

import functools
import io
import itertools
import sys
import textwrap
import types

import pytest

from mecapy_jupyter.content_key import NoContentKey, function_key, value_digest


def made(source: str, name: str = "f", **globals_: object):
    """The function `f` of a cell, in a notebook of its own."""
    namespace = {"__name__": "__main__", **globals_}
    exec(compile(textwrap.dedent(source), f"<cell {next(_numbers)}>", "exec"), namespace)
    return namespace[name]


_numbers = itertools.count()
PLAIN = """
def helper(x):
    return x * FACTOR

def f(x, y=2):
    return helper(x) + y
"""


def code(source: str, **globals_: object) -> str:
    return function_key(made(source, **({"FACTOR": 3} | globals_))).code


@pytest.mark.parametrize(
    "source",
    [
        PLAIN,
        "\n\n\n" + PLAIN.replace("return x", "# why\n    return x"),
        PLAIN.replace("    return helper(x)", '    """What it does."""\n\n    return helper( x )'),
        PLAIN.replace("def f(x, y=2):", "def f(\n    x: float,\n    y=2,\n) -> float:"),
        PLAIN + "\ndef unused():\n    return 7\n",
    ],
)
def test_what_does_not_change_the_result_does_not_count(source):
    """Comments, blank lines, docstrings, places, annotations, functions that it does not use."""
    assert code(source) == code(PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"source": PLAIN.replace("x * FACTOR", "x + FACTOR")},
        {"source": PLAIN.replace("x * FACTOR", "x * FACTOR * 1.0")},
        {"source": PLAIN.replace("y=2", "y=3")},
        {"source": PLAIN.replace("y=2", "*, y=2")},
        {"source": PLAIN.replace("+ y", "- y")},
        {"FACTOR": 4},
        {"FACTOR": 3.0},
        {"FACTOR": [3]},
    ],
)
def test_what_changes_the_result_counts(change):
    """A helper, a global that only the helper reads, a default, a constant's type."""
    changed = {"source": PLAIN} | change
    assert code(changed.pop("source"), **changed) != code(PLAIN)


def test_a_docstring_that_the_code_returns_counts():
    """The constant is then read by an instruction."""
    one, other = (f'def f():\n    "{text}"\n    return "{text}"\n' for text in ("a", "b"))
    assert code(one) != code(other)


CLOSURE = """
def make(k):
    def inner(x):
        return [x + k for _ in range(2)]
    return inner

f = make({k})
"""


def test_the_value_of_an_outer_variable_counts():
    """A closure is its code and its cells."""
    assert code(CLOSURE.format(k=1)) == code(CLOSURE.format(k=1)) != code(CLOSURE.format(k=2))


CLASSES = """
import dataclasses, enum

class Kind(enum.Enum):
    A = 1

class Base:
    tol = {tol}
    @property
    def p(self): return self.q()
    @staticmethod
    def s(x): return x
    @classmethod
    def c(cls): return cls.tol
    def q(self): return {q}

@dataclasses.dataclass(frozen=True)
class Model(Base):
    a: float = 1.0
    kinds: list = dataclasses.field(default_factory=list)

def f(x):
    return Model(x).p, Kind.A
"""


def test_classes_count_by_what_their_members_do():
    """A value of a base class and a method that only a property calls count."""
    same = code(CLASSES.format(tol=1, q=2))
    assert code(CLASSES.format(tol=1, q="2  # two")) == same
    assert code(CLASSES.format(tol=2, q=2)) != same
    assert code(CLASSES.format(tol=1, q=3)) != same


def test_functions_that_call_each_other_have_a_key():
    """Recursion ends at what was met before; a change anywhere in the circle counts."""
    source = """
    def even(n): return n == 0 or odd(n - 1)
    def odd(n): return n != 0 and even(n - {step})
    def f(n): return even(n)
    """
    assert code(source.format(step=1)) == code(source.format(step=1)) != code(source.format(step=3))


def test_partials_decorators_and_methods_count_by_what_they_hold():
    """Each is what it calls, and the values that it was given."""
    base = made(PLAIN, FACTOR=3)
    digests = {
        value_digest(functools.partial(base, 1)),
        value_digest(functools.partial(base, 2)),
        value_digest(functools.lru_cache(base)),
        value_digest(base),
        value_digest(made(PLAIN, FACTOR=4)),
        value_digest([1, 2].append),
        value_digest([1, 3].append),
    }
    assert len(digests) == 7


@pytest.mark.parametrize("way", ["eval('x')", "exec('x')", "globals()['x']"])
def test_code_that_may_read_any_variable_has_no_key(way):
    """The text names the function and the way."""
    with pytest.raises(NoContentKey, match=r"f\(\) uses (eval|exec|globals)\(\)"):
        code(f"def f():\n    return {way}\n")


def test_a_global_without_content_is_named():
    """The text says in which function it is read."""
    with pytest.raises(NoContentKey, match=r"f\(\) → the global 'log'"):
        code("def f():\n    return log.getvalue()\n", log=io.StringIO())


def test_versions_of_what_it_uses_are_in_the_key():
    """With what that requires; versions where it will run count before those here."""
    fn = made("import scipy.optimize as so\ndef f(x):\n    return so.brentq(x, 0, 1)\n")
    here = function_key(fn)
    assert {"scipy", "numpy"} <= here.versions.keys() and "pandas" not in here.versions
    there = function_key(fn, {"numpy": "99.0", "pandas": "1.0"})
    assert there.versions["numpy"] == "99.0" and there.code == here.code
    assert there.of({}) != here.of({})
    late = made("def f(x):\n    from scipy import optimize\n    return optimize.brentq(x, 0, 1)\n")
    assert function_key(late).versions == here.versions


def test_a_module_of_ones_own_counts_by_its_text(tmp_path, monkeypatch):
    """A changed helper in a file, and in a file that this imports, is another key."""
    monkeypatch.syspath_prepend(tmp_path)
    source = "import mk_own\ndef f(x):\n    return mk_own.g(x)\n"
    keys = list[str]()
    for inner, comment in [("1", ""), ("1", "# a remark\n"), ("2", "")]:
        (tmp_path / "mk_inner.py").write_text(f"def h(x):\n    return x + {inner}\n")
        (tmp_path / "mk_own.py").write_text(
            comment + "from mk_inner import h\ndef g(x): return h(x)\n"
        )
        for name in ("mk_own", "mk_inner"):
            sys.modules.pop(name, None)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        keys.append(code(source))
        sys.dont_write_bytecode = before
    assert keys[0] == keys[1] != keys[2]


def test_the_key_of_a_call_is_of_its_arguments():
    """Arguments count by name, whatever their order; what else it depends on counts, too."""
    key = function_key(made(PLAIN, FACTOR=3))
    one, two = value_digest(1), value_digest(2)
    assert key.of({"x": one, "y": two}) == key.of({"y": two, "x": one})
    keys = {key.of({"x": one}), key.of({"x": two}), key.of({"y": one}), key.of({"x": one}, b"1")}
    assert len(keys) == 4 and all(len(each) == 32 for each in keys)


def test_a_module_made_at_run_time_has_a_key():
    """It has no file; its values count."""
    module = types.ModuleType("mk_made")
    module.G = 9.81
    sys.modules["mk_made"] = module
    try:
        before = code("def f(): return m.G", m=module)
        module.G = 1.62
        assert code("def f(): return m.G", m=module) != before
    finally:
        del sys.modules["mk_made"]
