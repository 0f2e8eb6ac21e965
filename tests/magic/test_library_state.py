"""What a notebook has told its libraries holds on the worker, and what a cell tells them holds
here. Those of libraries that the suite does not install run in `make test-field`.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mecapy_jupyter.travel.environment import fingerprint

from .conftest import RESET, Kernel, started
from .libraries import LIBRARIES


@pytest.fixture(scope="module")
def kernel_of_libraries(
    kernel_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    """One for this file: what is told to libraries stays told."""
    with started(kernel_environment, tmp_path_factory.mktemp("libraries")) as kernel:
        yield kernel


@pytest.fixture
def kernel(kernel_of_libraries: Kernel) -> Kernel:
    assert kernel_of_libraries.run(RESET).ok
    return kernel_of_libraries


@pytest.mark.field
@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.cell("travels", "Options of common libraries")
def test_a_librarys_state_travels_both_ways(kernel: Kernel, kind: str) -> None:
    """Set here it holds there; set there it holds here."""
    needs, sets, seen, value, sets_anew, then = LIBRARIES[kind]
    for name in needs.split(","):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    here = kernel.run(sets)
    assert here.ok, here.text
    there = kernel.run(f"%%mecapy\nthere = {seen}")
    assert there.ok, there.text + there.stderr
    assert (kernel.value("there"), kernel.value(seen)) == (value, value), there.stderr
    assert kernel.run(f"%%mecapy\n{sets_anew}").ok
    assert kernel.value(seen) == then


@pytest.mark.cell("travels", "Functions added to modules and classes")
def test_what_is_hung_onto_libraries_is_there(kernel: Kernel) -> None:
    """Functions on modules and classes, pandas' accessors, entries of a registry."""
    here = kernel.run(
        "import numpy as np, pandas as pd, copyreg, warnings\n"
        "scale = 2\n"
        "def rms(self): return scale * float((self ** 2).mean() ** 0.5)\n"
        "pd.Series.rms = rms\nnp.deg = lambda x: x * 180 / np.pi\n"
        "@pd.api.extensions.register_dataframe_accessor('stress')\n"
        "class Stress:\n    def __init__(self, obj): self._obj = obj\n"
        "    def largest(self): return float(self._obj['s1'].max())\n"
        "warnings.formatwarning = lambda message, *_, **__: f'NOTE {message}\\n'\n"
        "s, df = pd.Series([3.0, 3.0]), pd.DataFrame({'s1': [100.0, 50.0]})"
    )
    assert here.ok, here.text
    ran = kernel.run(
        "%%mecapy\nthere = s.rms(), round(float(np.deg(np.pi)), 1), df.stress.largest()\n"
        "warnings.warn('short')"
    )
    assert ran.ok, ran.text + ran.stderr
    assert kernel.value("there") == "(6.0, 180.0, 100.0)"
    assert "NOTE short" in ran.stderr
    kernel.run("del pd.Series.rms, np.deg; import importlib; importlib.reload(warnings)")


@pytest.mark.field
def test_plots_work_after_seaborns_set(kernel: Kernel) -> None:
    """Its colour map is the default by then, and known to matplotlib alone."""
    pytest.importorskip("seaborn")
    assert kernel.run("import seaborn as sns, matplotlib.pyplot as plt\nsns.set()").ok
    ran = kernel.run(
        "%%mecapy\nimage = plt.imshow([[1, 2], [3, 4]])\nname = image.get_cmap().name\n"
        "plt.close('all')"
    )
    assert ran.ok, ran.text + ran.stderr
    assert kernel.value("name") == "'rocket'"
    kernel.run("import matplotlib; matplotlib.rcdefaults()")


@pytest.mark.field
@pytest.mark.cell("travels", "Units of pint, in one registry")
def test_a_registry_of_units_serves_in_two_cells(kernel: Kernel) -> None:
    """Quantities keep the registry they belong to, here and there and back."""
    pytest.importorskip("pint")
    assert kernel.run("import pint\nu = pint.UnitRegistry()\nF = 3 * u.kilonewton").ok
    for cell in ("sigma = (F / (2 * u.mm ** 2)).to('MPa')", "twice = 2 * sigma"):
        ran = kernel.run(f"%%mecapy\n{cell}")
        assert ran.ok, ran.text + ran.stderr
    assert kernel.value("str(twice), str((sigma + twice).to('GPa').round(6))") == (
        "('3000.0 megapascal', '4.5 gigapascal')"
    )
    assert kernel.value("sigma.units == u.MPa") == "True"
    assert kernel.run("%%mecapy\nu.define('crate = 12')").ok
    assert kernel.value("(1 * u.crate).to('').magnitude") == "12"


_LATE = """
import sys
from mecapy_jupyter.travel.environment import process_state
process_state.take({"dask": {"scheduler": "threads"}, "mpmath": {"prec": 100, "pretty": True}})
print("mpmath" in sys.modules, process_state.changed(process_state.noted(), {}))
import mpmath
print(mpmath.mp.prec, mpmath.mp.pretty)
"""


def test_a_library_is_not_imported_for_its_state() -> None:
    """It is set when the cell imports the library."""
    pytest.importorskip("mpmath")
    ran = subprocess.run(
        [sys.executable, "-c", _LATE], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.splitlines()[0].startswith("False"), ran
    assert ran.stdout.splitlines()[1] == "100 True", ran


_FAILS = """
from mecapy_jupyter.travel.environment import process_state
process_state.take({"decimal.context": {"prec": -1}})
"""


@pytest.mark.cell("said", "Library state that the worker cannot set")
def test_state_that_cannot_be_set_is_said() -> None:
    """The note names it, with what to do."""
    ran = subprocess.run(
        [sys.executable, "-c", _FAILS], capture_output=True, text=True, timeout=120, check=False
    )
    assert "mecapy: the state of decimal.context could not be set" in ran.stderr, ran
    assert "--setup" in ran.stderr


@pytest.mark.cell("said", "Any other setting of a module")
def test_what_differs_in_a_used_module_is_reported(kernel: Kernel) -> None:
    """With both numbers, or by name alone where it is none; with the cure, before the cell runs."""
    assert kernel.run(
        "import scipy.constants, math\nscipy.constants.g = 9.81\nmath.secret = 'abc-key'\n"
        "def weight(m): return m * scipy.constants.g * len(str(math.pi))"
    ).ok
    ran = kernel.run("%%mecapy\nw = weight(1)")
    assert "scipy.constants.g differs from a new import (9.81, there 9.80665)" in ran.stderr
    assert "%%mecapy --setup" in ran.stderr
    assert "math.secret differs from a new import and did not travel" in ran.stderr
    assert "abc-key" not in ran.stderr
    ran = kernel.run("%%mecapy --setup\nimport scipy.constants\nscipy.constants.g = 9.81")
    ran = kernel.run("%%mecapy\nw = weight(1)")
    assert "scipy.constants.g" not in ran.stderr
    kernel.run("%mecapy setup clear\nscipy.constants.g = 9.80665; del math.secret")


def test_what_differs_in_an_object_of_a_module_is_reported(kernel: Kernel) -> None:
    """The settings that a module keeps in an object of a class of its own."""
    assert kernel.run("import reprlib\nreprlib.aRepr.maxlist = 2").ok
    ran = kernel.run("%%mecapy\nshown = reprlib.repr([1, 2, 3])")
    assert "reprlib.aRepr.maxlist differs from a new import (2, there 6)" in ran.stderr
    kernel.run("reprlib.aRepr.maxlist = 6")


def test_values_that_equal_nothing_are_as_they_came() -> None:
    """`cmath.nanj` is the same in every process."""
    importlib.import_module("cmath")
    marks, again = (fingerprint.of(["cmath"], b"salt" * 4) for _ in range(2))
    assert "nanj" in marks["cmath"]
    assert not fingerprint.differences("cmath", marks["cmath"], again["cmath"])


def test_of_modules_that_are_as_they_came_nothing_is_said(kernel: Kernel) -> None:
    """Use changes caches and what is loaded late, and is no difference."""
    ran = kernel.run(
        "import numpy as np, pandas as pd, scipy.integrate, scipy.constants, sympy, math, json\n"
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); ax.plot([1, 2]); plt.close()\n"
        "pd.DataFrame({'a': [1.0]}).describe(); sympy.integrate(sympy.Symbol('x'))\n"
        "_ = scipy.integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0])"
    )
    assert ran.ok, ran.text
    ran = kernel.run(
        "%%mecapy\nx = np.pi, pd.NA, scipy.constants.c, sympy.pi, math.e, json.dumps, plt.rc"
    )
    assert ran.ok, ran.text
    assert ran.stderr == ""


@pytest.mark.cell("said", "A setting that a cell makes in a library")
def test_what_a_cell_sets_in_a_library_is_reported(kernel: Kernel) -> None:
    """A number and a method, whether the kernel has the module or the cell imports it; by name,
    with the cure.
    """
    assert kernel.run("import pandas as pd").ok
    ran = kernel.run(
        "%%mecapy\nimport scipy.constants\nscipy.constants.g = 9.81\n"
        "def rms(s): return 1.0\npd.Series.rms = rms\nimport time\ntime.ctime = rms\n"
        "@pd.api.extensions.register_series_accessor('rig')\nclass Rig:\n"
        "    def __init__(self, s): self.s = s"
    )
    assert ran.ok, ran.text
    assert "mecapy: scipy.constants.g, which the cell has changed, stays on the worker" in (
        ran.stderr
    )
    assert "Series.rig, which the cell has changed, stays on the worker" in ran.stderr
    assert "mecapy: time.ctime, which the cell has changed, stays on the worker" in ran.stderr
    assert "mecapy: pandas.Series.rms, which the cell" in ran.stderr or (
        "pandas.core.series.Series.rms, which the cell" in ran.stderr
    )
    assert "%%mecapy --setup" in ran.stderr


def test_a_method_in_a_class_that_a_package_shows_in_another_module(kernel: Kernel) -> None:
    """`json.JSONEncoder` is of `json.encoder`. What the notebook has put there is no change."""
    assert kernel.run("import json\njson.JSONEncoder.iterencode_ = lambda self: 1").ok
    cell = "%%mecapy\njson.JSONEncoder.default = lambda self, o: 'E'\na = json.dumps(object())"
    ran = kernel.run(f"{cell}, json.JSONEncoder.iterencode_")
    kernel.run("del json.JSONEncoder.iterencode_")
    assert ran.ok and kernel.value("a[0]") == "'\"E\"'", ran
    assert "json.JSONEncoder.default, which the cell has changed, stays on" in ran.stderr
    assert "iterencode_" not in ran.stderr


def test_what_a_cell_registers_with_a_library_is_reported(kernel: Kernel) -> None:
    """By the registry that has it. What the notebook has registered is no change."""
    assert kernel.run("import copyreg\nclass P: n = 1\nclass Q: n = 2").ok
    assert kernel.run("def reduce_q(q): return Q, ()\ncopyreg.pickle(Q, reduce_q)").ok
    ran = kernel.run("%%mecapy\nimport copyreg\nseen = copyreg.dispatch_table[Q](0)[1]")
    assert ran.ok and kernel.value("seen") == "()" and "stays on the worker" not in ran.stderr
    ran = kernel.run("%%mecapy\nimport copyreg\ncopyreg.pickle(P, lambda p: (P, (1,)))")
    kernel.run("del copyreg.dispatch_table[Q]")
    assert ran.ok, ran.text
    assert "copyreg.dispatch_table[…], which the cell has changed, stays on" in ran.stderr


def test_of_a_cell_that_only_uses_libraries_nothing_is_said(kernel: Kernel) -> None:
    """Options that come home by name, seeds, plots and what is loaded late are no settings."""
    assert kernel.run("import numpy as np, pandas as pd, scipy.optimize, sympy").ok
    ran = kernel.run(
        "%%mecapy\nimport scipy.stats, random, json, matplotlib.pyplot as plt\n"
        "plt.rcParams['font.size'] = 11; pd.set_option('display.precision', 3)\n"
        "np.set_printoptions(precision=3); random.seed(1); np.random.seed(1)\n"
        "x = sympy.Symbol('x'); sympy.integrate(x, x); pd.DataFrame({'a': [1.0]}).describe()\n"
        "fig, ax = plt.subplots(); ax.plot([1, 2]); plt.close(fig)\n"
        "r = scipy.optimize.minimize(lambda v: v[0] ** 2, [1.0]).success; scipy.stats.norm.rvs()"
    )
    assert ran.ok, ran.text
    assert ran.stderr == ""
