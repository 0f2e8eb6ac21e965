"""Objects whose class would make them wrongly on the other side: they are what they were, and a
change in place comes home.
"""

from __future__ import annotations

import ast

import pytest

from .notebook import Notebook

NEW = {
    "of object": (
        """
class Box:
    def __new__(cls, a, b): o = object.__new__(cls); o.ab = a, b; return o
    def __init__(self, a, b): made.append(a)
""",
        "Box(1, 2)",
    ),
    "keyword only": (
        """
class Box:
    def __new__(cls, *, a): o = super().__new__(cls); o.ab = a, a; return o
    def __init__(self, *, a): made.append(a)
""",
        "Box(a=1)",
    ),
}
BASES = {
    "tuple": ("U(1, 2, u='cm')", "(1, 2)", "def __new__(cls, a, b, *, u='mm'):\n        o"
              " = super().__new__(cls, (a, b)); o.u = u; return o"),
    "int": ("U(7, 'cm')", "7", "def __new__(cls, v, u):\n        o = super().__new__(cls, v);"
            " o.u = u; return o"),
    "str": ("U('x', 'cm')", "'x'", "def __new__(cls, v, u):\n        o = super().__new__(cls, v);"
            " o.u = u; return o"),
    "float": ("U(2.5, 'cm')", "2.5", "def __new__(cls, v, u):\n        o = super().__new__(cls,"
              " v); o.u = u; return o"),
    "list": ("U('cm', [3])", "[3]", "def __new__(cls, u, items):\n        o = super().__new__(cls);"
             " o.u = u; return o\n    def __init__(self, u, items): self.extend(items)"),
    "dict": ("U('cm', a=3)", "{'a': 3}", "def __new__(cls, u, **items):\n        o ="
             " super().__new__(cls); o.u = u; return o\n"
             "    def __init__(self, u, **items): self.update(items)"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "call"), NEW.values(), ids=NEW)
def test_what_a_new_wants_is_not_asked_for(code: str, call: str) -> None:
    """Neither `__new__` nor `__init__` runs again: the object has what it had."""
    notebook = Notebook()
    notebook.local(f"made = []\n{code}\nbox = {call}\nwas = box")
    notebook.remote("seen = box.ab, len(made); box.ab = 'new'", "box", "made")
    assert notebook.ns["seen"][1] == 1 and notebook.ns["made"] == [1]
    assert notebook.ns["box"] is notebook.ns["was"] and notebook.ns["box"].ab == "new"


@pytest.mark.parametrize(("call", "content", "new"), BASES.values(), ids=BASES)
def test_a_value_with_a_new_of_its_own(call: str, content: str, new: str) -> None:
    """It arrives with its content and its attributes, and one made there comes home so."""
    expected = ast.literal_eval(content)
    base = type(expected).__name__
    notebook = Notebook()
    notebook.local(f"class U({base}):\n    {new}\nx = {call}\nwas = x")
    notebook.remote(f"seen = {base}(x), x.u; x.u = 'km'; y = {call}", "x", "U")
    assert notebook.ns["seen"] == (expected, "cm") and notebook.ns["x"] is notebook.ns["was"]
    assert notebook.ns["x"].u == "km" and notebook.ns["y"].u == "cm"
    assert type(notebook.ns["y"]) is notebook.ns["U"] and notebook.ns["y"] == expected


def test_a_singleton_stays_the_only_one() -> None:
    """What `__new__` keeps on its class is the object that travelled."""
    notebook = Notebook()
    notebook.local("""
        class Store:
            one = None
            def __new__(cls):
                if cls.one is None: cls.one = super().__new__(cls); cls.one.rows = []
                return cls.one
        store = Store()
    """)
    notebook.remote("same = Store() is store; Store().rows.append(1)", "store", "Store")
    assert notebook.ns["same"] and notebook.ns["store"].rows == [1]
    assert notebook.ns["Store"]() is notebook.ns["store"]


GENERATED = {
    "dataclass": "@dataclasses.dataclass(frozen=True, slots=True)\nclass Gauge(Counted):\n"
    "    name: str = 'g'",
    "attrs": "import attrs\n@attrs.define\nclass Gauge(Counted):\n    name: str = 'g'",
    "attrs, frozen": "import attrs\n@attrs.frozen(cache_hash=True)\nclass Gauge(Counted):\n"
    "    name: str = 'g'",
}


@pytest.mark.parametrize("code", GENERATED.values(), ids=GENERATED)
@pytest.mark.parametrize("base", ["pass", "__slots__ = ('calls', '__dict__')"])
def test_a_base_without_fields_keeps_its_attributes(code: str, base: str) -> None:
    """A generated `__getstate__` knows the fields; what a base that is no such class has set
    travels as well, and comes home changed.
    """
    if "attrs" in code:
        pytest.importorskip("attrs")
    notebook = Notebook()
    notebook.local(f"import dataclasses\nclass Counted:\n    {base}\n{code}")
    notebook.local("g = Gauge('p1'); was = g; object.__setattr__(g, 'calls', 1); hash('p1')")
    notebook.local("object.__setattr__(g, 'gone', 1)")
    notebook.remote(
        "seen = g.name, g.calls; set_ = object.__setattr__; set_(g, 'calls', 5); "
        "set_(g, 'name', 'p2'); object.__delattr__(g, 'gone'); h = Gauge('h'); set_(h, 'calls', 2)",
        "g",
        "Gauge",
    )
    g, h = notebook.ns["g"], notebook.ns["h"]
    assert notebook.ns["seen"] == ("p1", 1) and g is notebook.ns["was"]
    assert (g.name, g.calls, h.name, h.calls) == ("p2", 5, "h", 2) and not hasattr(g, "gone")


def test_a_getattr_that_passes_on() -> None:
    """Nobody asks it before the attribute is there that it asks."""
    notebook = Notebook()
    notebook.local("""
        class Wrap:
            def __init__(self, inner): self.inner = inner
            def __getattr__(self, name): return getattr(self.inner, name)
        class Slotted:
            __slots__ = ('inner',)
            __init__, __getattr__ = Wrap.__init__, Wrap.__getattr__
        w, s = Wrap([3, 1]), Slotted([3, 1])
        was = w, s
    """)
    notebook.remote("w.sort(); s.append(w.inner[0]); made = Wrap([7])", "w", "s", "Wrap")
    assert (notebook.ns["w"], notebook.ns["s"]) == notebook.ns["was"]
    assert notebook.ns["w"].inner == [1, 3] and notebook.ns["s"].inner == [3, 1, 1]
    assert notebook.ns["made"].pop() == 7


RECORDS = {
    "list": (
        "class Rows(list):\n"
        "    def __init__(self): super().__init__(); self.n = 0\n"
        "    def append(self, row): super().append(row); self.n += 1\n"
        "    def extend(self, rows):\n        for row in rows: self.append(row)\n"
        "rows = Rows(); rows.append('a')",
        "rows.append('b')",
        "more = Rows(); more.extend(['c', 'd'])",
        (["a", "b"], ["c", "d"]),
    ),
    "dict": (
        "class Rows(dict):\n"
        "    def __init__(self): super().__init__(); self.n = 0\n"
        "    def __setitem__(self, k, v): super().__setitem__(k, v); self.n += 1\n"
        "rows = Rows(); rows['a'] = 1",
        "rows['b'] = 2",
        "more = Rows(); more['c'] = 3; more['d'] = 4",
        ({"a": 1, "b": 2}, {"c": 3, "d": 4}),
    ),
}


@pytest.mark.parametrize(("make", "change", "new", "after"), RECORDS.values(), ids=RECORDS)
def test_a_container_that_keeps_a_record(
    make: str, change: str, new: str, after: tuple[object, object]
) -> None:
    """Its items are put in without its methods, so what those count is counted once."""
    notebook = Notebook()
    notebook.local(make)
    notebook.remote(f"{change}; {new}", "rows", "Rows")
    rows, more = notebook.ns["rows"], notebook.ns["more"]
    assert (rows, more) == after and (rows.n, more.n) == (2, 2)


def test_what_a_package_hands_out_is_its_own_there() -> None:
    """The message has its public name, also inside other objects and for a class made there."""
    mpmath = pytest.importorskip("mpmath")
    notebook = Notebook()
    notebook.local("import mpmath\nfrom mpmath import mpf, mp\nkeep = [mpmath.pi, mp]\nk = keep")
    notebook.remote(
        "import mpmath\nsame = keep[0] is mpmath.pi, keep[1] is mpmath.mp\nx = mpf(2)",
        "keep", "mpf",
    )  # fmt: skip
    assert notebook.ns["same"] == (True, True) and notebook.ns["k"] is notebook.ns["keep"]
    assert type(notebook.ns["x"]) is mpmath.mpf and notebook.ns["keep"][0] is mpmath.pi
