"""Objects of which each side has one of its own, and arrays of the notebook's own types."""

from __future__ import annotations

import calendar
import dataclasses
import inspect
import io
import sys
from typing import Any

import numpy as np
import pytest
import scipy.stats

from mecapy_jupyter.travel.pickling import payload

from .notebook import Notebook

SENTINELS = {
    "dataclasses": ("import dataclasses", "dataclasses.MISSING", dataclasses.MISSING),
    "a class": ("import inspect", "inspect.Parameter.empty", inspect.Parameter.empty),
    "another's name": ("import scipy.stats", "scipy.stats.norm", scipy.stats.norm),
    "numpy's": ("import numpy", "numpy.s_", np.s_),
    "a bare object": ("import functools", "functools._initial_missing", None),
}


@pytest.mark.cell(
    "travels",
    "Singletons (`dataclasses.MISSING`)",
)
@pytest.mark.parametrize("case", SENTINELS.values(), ids=SENTINELS.keys())
def test_a_module_s_object_is_the_other_side_s(case: tuple[str, str, object]) -> None:
    """In a variable of any name and deep in a container it `is` the module's, there and home."""
    notebook = Notebook()
    imported, path, _ = case
    notebook.local(f"{imported}\nx = {path}; box = [{{'in': {path}}}]")
    notebook.remote(
        f"{imported}\nr = x is {path}, box[0]['in'] is {path}; y = [{path}]", "x", "box"
    )
    assert notebook.ns["r"] == (True, True)
    assert notebook.ns["y"][0] is notebook.ns["x"]


def test_one_that_holds_settings_holds_them_there() -> None:
    """Plain data that was set here is set on the other side's, and a change there comes home."""
    notebook = Notebook()
    try:
        notebook.local("import calendar; cal = calendar.c; cal.setfirstweekday(6)")
        notebook.remote(
            "import calendar\nr = calendar.c.firstweekday, cal is calendar.c\n"
            "cal.setfirstweekday(2)",
            "cal",
        )
        assert notebook.ns["r"] == (6, True)
        assert calendar.c.firstweekday == 2
    finally:
        calendar.c.setfirstweekday(0)


def test_a_module_s_object_that_was_not_sent_stays_as_it_is_here() -> None:
    """The other side's fresh one comes home as the one here, which keeps its settings."""
    notebook = Notebook()
    try:
        calendar.c.setfirstweekday(6)
        notebook.remote("import calendar\nout = calendar.c")
        assert notebook.ns["out"] is calendar.c
        assert calendar.c.firstweekday == 6
    finally:
        calendar.c.setfirstweekday(0)


def test_one_seed_rules_a_distribution_in_a_container() -> None:
    """scipy's distribution draws from numpy's global stream there, and goes on with it here."""
    notebook = Notebook()
    notebook.local("import scipy.stats; d = scipy.stats.norm")
    notebook.remote("import numpy as np\nnp.random.seed(3)\nr = d.rvs(), np.random.rand()", "d")
    again = np.random.RandomState(3)
    assert notebook.ns["r"] == (again.standard_normal(), again.random_sample())
    assert notebook.ns["d"]._random_state is np.random.mtrand._rand  # type: ignore[attr-defined]


OWN_ARRAY = """
class Signal(np.ndarray):
    def __new__(cls, data, fs):
        made = np.asarray(data, float).view(cls)
        made.fs = fs
        return made
    def __array_finalize__(self, other):
        if other is not None:
            self.fs = getattr(other, "fs", None)
    def __setitem__(self, key, value):
        raise TypeError("never by items")
s = Signal([[1, 2], [3, 4]], 1000)
f = Signal(np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]), 5)
o = np.array([1, "a"], dtype=object).view(Signal); o.fs = 7
d = np.array(["2020-01-01"], dtype="M8[D]").view(Signal); d.fs = 8
"""


@pytest.mark.cell("travels", "Array subclasses")
def test_an_array_of_an_own_type_has_its_attributes() -> None:
    """Both ways, in either order of memory, with objects and dates in it; a change in place is
    made past the type's own `__setitem__`.
    """
    notebook = Notebook()
    notebook.local(OWN_ARRAY)
    notebook.remote(
        "r = s.fs, f.fs, f.flags.f_contiguous, f.tolist(), o.fs, o.tolist(), d.fs, str(d[0])\n"
        "s += 1; s.fs = 500; new = s[:, 1] * 2",
        *("s", "f", "o", "d"),
    )
    ns = notebook.ns
    assert ns["r"] == (1000, 5, True, [[1, 2], [3, 4]], 7, [1, "a"], 8, "2020-01-01")
    assert (ns["s"].tolist(), ns["s"].fs) == ([[2, 3], [4, 5]], 500)
    assert (ns["new"].tolist(), ns["new"].fs, type(ns["new"])) == ([6, 10], 500, ns["Signal"])


def test_a_record_array_prints() -> None:
    """Its class names a part of numpy that nobody has imported; it is that class even so."""
    notebook = Notebook()
    notebook.local("t = np.zeros(2, dtype=[('x', 'f8'), ('n', 'i4')]).view(np.recarray)")
    notebook.remote("t.x[0] = 3\nr = str(t), type(t) is np.recarray", "t")
    assert notebook.ns["r"] == ("[(3., 0) (0., 0)]", True)
    assert notebook.ns["t"].x.tolist() == [3, 0]


class _Stream(io.StringIO):
    """A kernel's standard output has its methods in Python, and no other stream's state."""

    def write(self, text: str, /) -> int:
        return super().write(f"<{text}>")


class _OtherStream(_Stream):
    def write(self, text: str, /) -> int:
        return super().write(text.upper())


def test_a_method_of_standard_output_is_the_other_side_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of the two sides are of different classes, and each has its own `write`: tqdm
    keeps one.
    """
    monkeypatch.setattr(sys, "stdout", _Stream())
    packed = payload.pack([{"write": sys.stdout.write, "flush": sys.stdout.flush}], {})
    there = _OtherStream()
    monkeypatch.setattr(sys, "stdout", there)
    opened = payload.unpack(packed.stream, packed.buffers, {}, on_prelude=lambda _: None)
    variables: dict[str, Any] = opened.variables
    variables["write"]("x")
    variables["flush"]()
    assert there.getvalue() == "<X>"


def test_a_method_of_an_object_without_truth_value() -> None:
    """Its object is not asked whether it is true: half-made ones, such as a marker of matplotlib
    while it is opened, have no answer, nor have arrays.
    """
    notebook = Notebook()
    notebook.local("a = np.arange(3.); total = a.sum")
    notebook.remote("a += 1; there = total()", "a", "total")
    assert (notebook.ns["there"], notebook.ns["total"]()) == (6.0, 6.0)
