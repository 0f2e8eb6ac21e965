"""Definitions in the user's own modules that the notebook or a cell adds, replaces or deletes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mecapy_jupyter.capture import packing
from mecapy_jupyter.travel.environment import user_modules

from .notebook import Notebook, RunWithModule, importable

GENERIC = """
    import functools
    @functools.singledispatch
    def show(x): return 'any'
    @show.register
    def _(x: float): return 'float'
    class Report:
        @functools.singledispatchmethod
        def show(self, x): return 'any'
"""
BASE = "import abc\nclass Base(abc.ABC): pass\nclass Other: pass\nBase.register(Other)"
KINDS = "import enum\nclass Kind(enum.Enum):\n    A, B = [1], 2"
CALLS = """
    def f(x): return 1
    def g(): return f(4.0)
    class Rod:
        def m(self): return 1
        def __len__(self): return 1
"""
HOOKS = """
    KINDS, MADE = [], []
    class Shape:
        def __init_subclass__(cls, **k): KINDS.append(cls.__name__)
    class Meta(type):
        def __new__(kind, name, bases, body):
            MADE.append(name)
            return super().__new__(kind, name, bases, body)
"""
COUNTED = """
    class Meta(type):
        total = property(lambda cls: cls._total)
    class Load(metaclass=Meta):
        _total, steps = 0, []
"""
CASES = {
    "a class with a metaclass of the module": (
        COUNTED,
        "mod.Load._total = 2",
        "y = mod.Load.total; mod.Load._total += 3; mod.Load.steps.append(1); mod.Load.new = 4",
        "(y, mod.Load.total, mod.Load.steps, mod.Load.new) == (2, 5, [1], 4)",
    ),
    "a class with a base and a metaclass that count": (
        HOOKS,
        "class Here(mod.Shape): pass\nclass Near(metaclass=mod.Meta): pass",
        "y = [*mod.KINDS, *mod.MADE, Here.__name__, Near.__name__]\n"
        "class There(mod.Shape): pass\nclass Far(metaclass=mod.Meta): n = 1",
        "y == ['Here', 'Near', 'Here', 'Near'] and mod.KINDS == ['Here', 'There'] and mod.MADE == "
        "['Near', 'Far'] and type(Far) is mod.Meta and issubclass(There, mod.Shape)",
    ),
    "a generic function": (
        GENERIC,
        "@mod.show.register\ndef _(x: int): return 'int'",
        "y = mod.show(3), mod.show(1.0)\n@mod.show.register\ndef _(x: str): return 'str'",
        "[*y, mod.show('a'), mod.show(3), mod.show([])] == ['int', 'float', 'str', 'int', 'any']",
    ),
    "a generic function that was called before": (
        GENERIC,
        "mod.show(3)",
        "mod.show(3)\n@mod.show.register\ndef _(x: int): return 'int'\ny = mod.show(3)",
        "y == mod.show(3) == 'int'",
    ),
    "a generic method": (
        GENERIC,
        "@mod.Report.show.register\ndef _(self, x: int): return 'int'",
        "y = mod.Report().show(3)\n@mod.Report.show.register\ndef _(self, x: str): return 'str'",
        "[y, mod.Report().show('a')] == ['int', 'str']",
    ),
    "registered with an abstract class": (
        BASE,
        "class Mine: pass\nmod.Base.register(Mine)",
        "class Yours: pass\nmod.Base.register(Yours)\ny = isinstance(Mine(), mod.Base)",
        "y and isinstance(Yours(), mod.Base) and issubclass(mod.Other, mod.Base)",
    ),
    "what a member of an enum holds": (
        KINDS,
        "v = mod.Kind.A.value; v.append(2); mod.Kind.B.note = 'x'",
        "mod.Kind.A.value.append(3); y = mod.Kind.B.note; mod.Kind.B.note = 'z'",
        "v == [1, 2, 3] and v is mod.Kind.A.value and [y, mod.Kind.B.note] == ['x', 'z']",
    ),
    "a function deleted there": (CALLS, "", "del mod.f, mod.Rod.m", "not hasattr(mod, 'f')"),
    "a method deleted there": (CALLS, "", "del mod.Rod.m", "not hasattr(mod.Rod, 'm')"),
    "a class deleted there": (CALLS, "", "del mod.Rod", "not hasattr(mod, 'Rod')"),
    "a method deleted here": (CALLS, "del mod.Rod.m", "y = hasattr(mod.Rod, 'm')", "not y"),
    "a function of numpy there": (CALLS, "", "mod.f = np.sqrt; y = mod.g()", "y == mod.g() == 2"),
    "a function of Python here": (
        CALLS,
        "import math; mod.f = math.sqrt",
        "y = mod.g(); mod.f = np.dot",
        "y == 2 and mod.f is np.dot",
    ),
    "a special method": (
        CALLS,
        "def two(self): return 2\nmod.Rod.__len__ = two",
        "y = len(mod.Rod()); mod.Rod.__len__ = lambda self: 3",
        "[y, len(mod.Rod())] == [2, 3]",
    ),
    "special names": (
        "__version__ = '1'",
        "mod.__version__ = '2'",
        "y = mod.__version__; mod.__version__ = '3'; mod.__all__ = ['f']",
        "[y, mod.__version__, mod.__all__] == ['2', '3', ['f']]",
    ),
}


@pytest.mark.cell("travels", "What you register with, replace in or delete from your modules")
@pytest.mark.parametrize(("module", "before", "cell", "after"), CASES.values(), ids=CASES)
def test_what_a_module_defines(
    run_with_module: RunWithModule, module: str, before: str, cell: str, after: str
) -> None:
    """After a cell, a module's definitions are as after a local run."""
    notebook = run_with_module(module, before, cell)
    assert eval(after, notebook.ns), after  # noqa: S307 our own text


COMPUTED = {
    "a function of the notebook": (
        "import importlib\ndef load(kind):\n    return importlib.import_module(f'material_{kind}')",
        "load",
    ),
    "a module": ("import materials_of_mine as materials\nload = materials.load", "materials"),
}


@pytest.mark.cell("travels", "Your modules, imported by a name that code computes")
@pytest.mark.parametrize(("before", "name"), COMPUTED.values(), ids=COMPUTED)
def test_an_import_by_a_computed_name(
    notebook: Notebook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    name: str,
) -> None:
    """It finds the module that is loaded here, in its state, and its changes come home."""
    (tmp_path / "material_steel.py").write_text("E = [210]\n")
    (tmp_path / "materials_of_mine.py").write_text(
        "import importlib\ndef load(kind):\n"
        "    return importlib.import_module('material_' + kind)\n"
    )
    importable(monkeypatch, tmp_path)
    monkeypatch.delitem(sys.modules, "material_steel", raising=False)
    monkeypatch.setattr(user_modules, "loaded", lambda: ["material_steel"])
    notebook.local(f"import material_steel as steel; steel.E.append(1)\n{before}")
    call = "load" if name == "load" else "materials.load"
    notebook.remote(f"m = {call}('steel'); seen = list(m.E); m.E.append(2)", name)
    assert notebook.ns["seen"] == [210, 1] and notebook.ns["steel"].E == [210, 1, 2]
    assert notebook.ns["m"] is notebook.ns["steel"]


def test_an_import_by_a_name_in_a_cell(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that calls `import_module` brings all modules of the user's that are loaded."""
    (tmp_path / "material_wood.py").write_text("E = [10]\n")
    importable(monkeypatch, tmp_path)
    notebook.local("import material_wood")
    assert "material_wood" in user_modules.loaded()
    packed = packing.pack({}, notebook.ns, ["importlib", "import_module", "kind"], [])
    assert "material_wood" in [one["name"] for one in packed.prelude["modules"]]
