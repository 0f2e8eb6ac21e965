"""The user's own modules are on the worker what the kernel holds: their executed text, their state,
and what the notebook has replaced in them. What a cell changes in them comes home.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment import user_modules

from .conftest import Kernel


def run(kernel: Kernel, *cells: str) -> None:
    for cell in cells:
        ran = kernel.run(cell)
        assert ran.ok, ran.text + ran.stderr


@pytest.mark.cell("travels", "Your modules, as loaded")
def test_a_file_edited_since_its_import_runs_as_it_was_imported(kernel: Kernel) -> None:
    """The kernel holds 210 GPa and an exponent of 2; what the file says by now is not asked."""
    run(
        kernel,
        "%%writefile steel_law.py\nE = 210e3\ndef stress(e, n=2): return E * e ** n\n",
        "import steel_law",
        "%%writefile steel_law.py\nE = 210e6\ndef stress(e, n=3): return E * 1000 * e ** n\n",
        "%%mecapy\nthere = steel_law.stress(0.1), steel_law.E",
    )
    assert kernel.value("there == (steel_law.stress(0.1), steel_law.E), there[1]") == (
        "(True, 210000.0)"
    )


def test_a_reloaded_module_runs_as_reloaded(kernel: Kernel) -> None:
    """After `importlib.reload` the new text is what the kernel holds."""
    run(
        kernel,
        "%%writefile reloaded_law.py\ndef k(): return 'old'\n",
        "import reloaded_law, importlib",
        "%%writefile reloaded_law.py\ndef k(): return 'new' + str(1)\n",
        "_ = importlib.reload(reloaded_law)",
        "%%mecapy\nthere = reloaded_law.k()",
    )
    assert kernel.value("there") == "'new1'"


@pytest.mark.cell("travels", "Names imported from them")
def test_what_the_notebook_took_from_a_module_stays_one_object_with_it(kernel: Kernel) -> None:
    """`from params import TABLE`: the module's functions, and those of another module that took it,
    see what the cell does to it; afterwards all is as if it had run here.
    """
    run(
        kernel,
        "%%writefile shared_params.py\nimport numpy as np\nclass Config: tol = 1.0\n"
        "config, TABLE, NODES, LATER = Config(), {'E': 210.0}, np.zeros(3), None\n"
        "def solve(): return float(config.tol * TABLE['E'] + NODES.sum() + len(LATER))\n",
        "%%writefile shared_user.py\nfrom shared_params import TABLE, NODES, LATER\n"
        "def energy(): return float(TABLE['E'] + NODES[0]), LATER\n",
        "import shared_params, shared_user\nfrom shared_params import config, TABLE, NODES, solve\n"
        "from shared_user import energy\nlater = shared_params.LATER = ['set here']",
        "%%mecapy\nconfig.tol, TABLE['E'], NODES[0] = 3.0, 100.0, 1.0\nlater.append('there')\n"
        "there = solve(), energy(), shared_params.TABLE is TABLE, shared_params.NODES is NODES, "
        "shared_params.config is config, shared_user.TABLE is TABLE, shared_params.LATER is later",
    )
    assert kernel.value("there") == "(303.0, (101.0, None), True, True, True, True, True)"
    assert kernel.value(
        "solve(), energy(), shared_params.TABLE is TABLE, shared_params.NODES is NODES, "
        "shared_params.config is config, shared_user.TABLE is TABLE, shared_params.LATER is later"
    ) == kernel.value("there")


def test_a_part_of_what_a_module_holds_stays_one_object_with_it(kernel: Kernel) -> None:
    """`steel = TABLE["steel"]`, an attribute of a module's object, a part that no variable names:
    the module sees what the cell does to them, and all of them stay themselves here.
    """
    same = (
        "inner_params.TABLE['steel'] is steel, inner_params.config.steps is steps, "
        "inner_params.TABLE['alu'] is box[0], inner_params.total()"
    )
    run(
        kernel,
        "%%writefile inner_params.py\nclass Config: pass\nconfig = Config(); config.steps = [1]\n"
        "TABLE = {'steel': {'E': 210.0}, 'alu': {'E': 70.0}}\n"
        "def total(): return sum(m['E'] for m in TABLE.values()) + sum(config.steps)\n",
        "import inner_params\nsteel = inner_params.TABLE['steel']\n"
        "steps = inner_params.config.steps\nbox = [inner_params.TABLE['alu']]",
        "%%mecapy\nsteel['E'] = 100.0; steps.append(2); inner_params.TABLE['alu']['E'] = 5.0\n"
        "seen = inner_params.TABLE['steel'] is steel, inner_params.config.steps is steps, "
        "inner_params.total()",
    )
    assert kernel.value("seen") == "(True, True, 108.0)"
    assert kernel.value(same) == "(True, True, True, 108.0)"


@pytest.mark.cell("refused", "A module edited between import and `%load_ext`")
def test_an_edit_nobody_saw_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported and edited before the extension was there: the file and the function are named."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_unseen.py"
    file.write_text("def law(x): return x * 210\n")
    importlib.invalidate_caches()
    try:
        importlib.import_module("edited_unseen")
        file.write_text("# a comment moves lines, and is no change\ndef law(x): return x * 210\n")
        assert len(user_modules.collect(["edited_unseen"])) == 1
        del sys.modules["edited_unseen"]
        importlib.invalidate_caches()
        importlib.import_module("edited_unseen")
        file.write_text("def law(x): return x * 210e6\n")
        with pytest.raises(
            CannotSend, match=r"edited_unseen\.py changed since its import.*law.*importlib\.reload"
        ):
            user_modules.collect(["edited_unseen"])
    finally:
        sys.modules.pop("edited_unseen", None)


FEM = """%%writefile fem_of_mine.py
LIMIT = 5
class Solver:
    tol = 1e-3
    def run(self): return self.tol
    @staticmethod
    def law(x): return x
class Fine(Solver): pass
def law(x): return x
def both(x): return law(x), Solver.law(x)
"""


def test_what_is_replaced_and_added_in_modules_and_classes_travels(kernel: Kernel) -> None:
    """Class attributes, methods, functions; a function of the notebook finds its globals."""
    run(
        kernel,
        FEM,
        "import fem_of_mine as fem\nfactor = 7\n"
        "fem.Solver.tol = 1e-9\nfem.Solver.order = 2\nfem.Fine.run = lambda self: 'fine'\n"
        "fem.law = lambda x: factor * x\nfem.Solver.law = staticmethod(lambda x: -x)\n"
        "fem.extra = fem.both",
        "%%mecapy\nthere = (fem.Solver().run(), fem.Solver.order, fem.Fine().run(), fem.both(3), "
        "fem.extra(3))",
    )
    assert kernel.value("there") == "(1e-09, 2, 'fine', (21, -3), (21, -3))"


@pytest.mark.cell("travels", "Changes that a cell makes in them")
def test_what_a_cell_changes_in_a_module_comes_home(kernel: Kernel) -> None:
    """Values, class attributes and containers, which stay the objects they are."""
    run(
        kernel,
        "%%writefile settings_home.py\nSTEPS = 5\noptions = {'a': 1}\nclass S:\n    tol = 1\n"
        "def get(o=options): return o\n",
        "import settings_home as s\nkept = s.options",
        "%%mecapy\ns.STEPS = 50; s.options['b'] = 2; s.S.tol = 9; s.NEW = [1]",
    )
    assert kernel.value("s.STEPS, s.get(), kept is s.options, s.S.tol, s.NEW") == (
        "(50, {'a': 1, 'b': 2}, True, 9, [1])"
    )


def test_what_a_cell_deletes_or_reloads_in_a_module_comes_home(kernel: Kernel) -> None:
    """A deleted name is gone, and a reload sets the values of the module's text again."""
    kernel.run("open('reloaded.py', 'w').write('A = 1\\nL = []\\nclass C: n = 0\\n')")
    kernel.run("import reloaded as r, importlib")
    kernel.run("r.A = 7; r.L.append(1); r.new = 3; r.C.more = 4")
    assert kernel.run("%%mecapy\ndel r.new, r.C.more").ok
    found = "(r.A, r.L, hasattr(r, 'new'), hasattr(r.C, 'more'))"
    assert kernel.value(found) == "(7, [1], False, False)"
    assert kernel.run("%%mecapy\nimportlib.reload(r)").ok
    assert kernel.value("(r.A, r.L)") == "(1, [])"


def test_a_package_that_fills_a_registry_when_it_is_imported_works(kernel: Kernel) -> None:
    """Its import on the worker is a plain one, and its state is set afterwards."""
    run(
        kernel,
        "import os; os.makedirs('units_of_mine', exist_ok=True)\n"
        "open('units_of_mine/__init__.py', 'w').write('from .registry import REGISTRY, Unit\\n"
        "from . import si\\n')\n"
        "open('units_of_mine/registry.py', 'w').write('REGISTRY = {}\\nclass Unit:\\n"
        "    def __init__(self, name, factor): self.name, self.factor = name, factor; "
        "REGISTRY[name] = self\\n')\n"
        "open('units_of_mine/si.py', 'w').write('from . import Unit\\nm = Unit(\"m\", 1.0)\\n"
        'mm = Unit("mm", 1e-3)\\n\')',
        "import units_of_mine as units\nfrom units_of_mine import REGISTRY\n"
        "inch = units.Unit('inch', 0.0254)",
        "%%mecapy\nthere = sorted(units.REGISTRY), units.REGISTRY['inch'].factor, "
        "units.si.mm.factor",
    )
    assert kernel.value("there") == "(['inch', 'm', 'mm'], 0.0254, 0.001)"


def test_a_package_that_the_cell_imports_first(kernel: Kernel, project: Path) -> None:
    """Its parts and what they hold are here afterwards as after an import here."""
    (project / "first_in_cell").mkdir()
    (project / "first_in_cell" / "__init__.py").write_text("HELD = []\n")
    (project / "first_in_cell" / "part.py").write_text(
        "from . import HELD\ndef add(x):\n    HELD.append(x)\n    return HELD\n"
    )
    ran = kernel.run("%%mecapy\nimport first_in_cell.part as part\nheld = part.add(3)")
    assert ran.ok, ran.text
    assert kernel.value("held, part.add(4) is held, held") == "([3, 4], True, [3, 4])"


def test_a_module_made_at_run_time_travels(kernel: Kernel) -> None:
    """Put into `sys.modules`, it is there; its functions read its values, and changes come home."""
    run(
        kernel,
        "import sys, types\nmade = types.ModuleType('made_at_run_time')\n"
        "exec('E = 210\\ndef stress(e): return E * e\\nclass Bar:\\n    area = 2', made.__dict__)\n"
        "sys.modules['made_at_run_time'] = made\nfrom made_at_run_time import stress, Bar",
        "%%mecapy\nimport made_at_run_time as again\nfirst = stress(1)\nagain.E = 70\n"
        "second = stress(1), Bar().area, again is made",
    )
    assert kernel.value("first, second, made.E, stress(1)") == "(210, (70, 2, True), 70, 70)"


def test_a_path_that_a_module_makes_of_its_own_place(kernel: Kernel, folder: Path) -> None:
    """`Path(__file__).parent` leads to the task's folder there, with what lies beside the module;
    what else the module holds is as it is here.
    """
    (folder / "place_of.py").write_text(
        "from pathlib import Path\nHERE = Path(__file__).resolve().parent\nLIMIT = 3\n"
        "def read(): return (HERE / 'place.txt').read_text()\n"
    )
    (folder / "place.txt").write_text("beside")
    assert kernel.run("import place_of\nplace_of.LIMIT = 4").ok
    ran = kernel.run("%%mecapy\nprint(place_of.read(), place_of.LIMIT)")
    assert ran.ok and ran.stdout == "beside 4\n", ran
    assert kernel.value("place_of.HERE == place_of.Path.cwd()") == "True"


EFFECTS = """
import logging, random, sys, warnings
print('loading'); print('loading', file=sys.stderr); warnings.warn('loading')
random.seed(1)
log = logging.getLogger('effects'); log.addHandler(logging.StreamHandler(sys.stdout))
log.setLevel(logging.INFO); log.info('loading')
"""


def test_an_import_has_its_effects_once(kernel: Kernel, project: Path) -> None:
    """Of a module that is loaded here, of one that the cell loads, of one that a function loads;
    and a reload by the cell has them again.
    """
    (project / "effects.py").write_text(EFFECTS)
    (project / "reg.py").write_text("items = []")
    (project / "plug.py").write_text("import reg\nprint('plug')\nreg.items.append('plug')")
    (project / "lazy.py").write_text("print('lazy')\nX = 3")
    run(
        kernel,
        "import effects, random\nrandom.random()\ndef use():\n    import lazy\n    return lazy.X",
        "state = random.getstate()\nhere = random.random()\nrandom.setstate(state)",
    )
    ran = kernel.run(
        "%%mecapy\nimport effects, plug, reg, random\nprint(random.random() == here, use())\n"
        "effects.log.info('told')"
    )
    assert ran.stdout == "plug\nlazy\nTrue 3\ntold\n" and "loading" not in ran.stderr, ran
    assert kernel.run("import plug\nprint(reg.items, use())").stdout == "['plug'] 3\n"
    ran = kernel.run(
        "%%mecapy\nimport importlib\nimport plug\nprint(reg.items)\nimportlib.reload(plug)"
    )
    assert ran.stdout == "['plug']\nplug\n", ran
    assert kernel.value("reg.items") == "['plug', 'plug']"
    kernel.run("effects.log.handlers.clear()")
