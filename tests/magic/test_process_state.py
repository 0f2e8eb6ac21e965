"""State outside the variables travels both ways; each kind of `ambient.KINDS` has its line here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mecapy_jupyter.travel.environment import process_state

from .conftest import Kernel
from .test_library_state import LIBRARIES

# kind: (imports, how a notebook sets it, what its next cell sees, another setting)
STATE: dict[str, tuple[str, str, str, str]] = {
    "random": ("import random", "random.seed(7)", "random.getstate()[1][:3]", "random.seed(8)"),
    "numpy.random": (
        "import numpy as np",
        "np.random.seed(7)",
        "np.random.get_state()[1][:3].tolist()",
        "np.random.seed(8)",
    ),
    "numpy.bufsize": (
        "import numpy as np",
        "np.setbufsize(4096)",
        "np.getbufsize()",
        "np.setbufsize(16384)",
    ),
    "numpy.printoptions": (
        "import numpy as np",
        "np.set_printoptions(precision=3)",
        "str(np.array([1/3]))",
        "np.set_printoptions(precision=5)",
    ),
    "numpy.errstate": (
        "import numpy as np",
        "np.seterr(all='ignore')",
        "np.geterr()['divide']",
        "np.seterr(all='print')",
    ),
    "matplotlib.rcParams": (
        "import matplotlib.pyplot as plt",
        "plt.style.use('dark_background'); plt.rcParams['lines.linewidth'] = 7",
        "plt.rcParams['lines.linewidth'], plt.rcParams['figure.facecolor']",
        "plt.rcParams['lines.linewidth'] = 9",
    ),
    "matplotlib.backend": (
        "import matplotlib",
        "matplotlib.use('agg')",
        "matplotlib.get_backend().lower()",
        "matplotlib.use('svg')",
    ),
    "matplotlib.style": (
        "import matplotlib.pyplot as plt",
        "plt.style.library['thick'] = {'lines.linewidth': 9.0}",
        "dict(plt.style.library['thick'])",
        "plt.style.library['thick'] = {'lines.linewidth': 11.0}",
    ),
    "figure formats": (
        "import matplotlib_inline.config, matplotlib_inline.backend_inline as inline",
        "inline.set_matplotlib_formats('svg')",
        "sorted(get_ipython().display_formatter.formatters['image/svg+xml'].type_printers) != [] "
        "or None",
        "inline.set_matplotlib_formats('png')",
    ),
    "pandas.options": (
        "import pandas as pd",
        "pd.options.display.max_rows = 7",
        "pd.options.display.max_rows",
        "pd.options.display.max_rows = 9",
    ),
    "sympy.printing": (
        "import sympy",
        "sympy.init_printing(use_latex=False, use_unicode=False)",
        "tuple in get_ipython().display_formatter.formatters['text/latex'].type_printers, "
        "sympy.pretty(sympy.pi)",
        "sympy.init_printing(use_latex='mathjax', use_unicode=True)",
    ),
    "sympy.parameters": (
        "import sympy; from sympy.core.parameters import global_parameters",
        "global_parameters.evaluate = False",
        "str(sympy.Symbol('x') + sympy.Symbol('x'))",
        "global_parameters.evaluate = True",
    ),
    "sympy.assumptions": (
        "import sympy; from sympy.assumptions import ask, global_assumptions as assumed, Q",
        "x = sympy.Symbol('x'); assumed.add(Q.positive(x))",
        "ask(Q.positive(sympy.Symbol('x'))), len(assumed)",
        "assumed.clear()",
    ),
    "warnings.filters": (
        "import warnings",
        "warnings.filterwarnings('error', message='mine')",
        "[f[0] for f in warnings.filters if f[1] is not None and f[1].pattern == 'mine'][:1]",
        "warnings.filterwarnings('ignore', message='mine')",
    ),
    "decimal.context": (
        "import decimal",
        "decimal.getcontext().prec = 7",
        "str(decimal.Decimal(1) / 3)",
        "decimal.getcontext().prec = 9",
    ),
    "decimal.traps": (
        "import decimal",
        "decimal.getcontext().traps[decimal.FloatOperation] = True",
        "decimal.getcontext().traps[decimal.FloatOperation]",
        "decimal.getcontext().traps[decimal.FloatOperation] = False",
    ),
    "decimal.default": (
        "import decimal",
        "decimal.DefaultContext.prec = 5",
        "decimal.DefaultContext.prec",
        "decimal.DefaultContext.prec = 28",
    ),
    "logging": (
        "import logging",
        "logging.basicConfig(level=logging.INFO, force=True); "
        "logging.getLogger('beam').setLevel(logging.DEBUG)",
        "logging.getLogger().level, logging.getLogger('beam').level, "
        "len(logging.getLogger().handlers)",
        "logging.getLogger('beam').setLevel(logging.ERROR)",
    ),
    "recursion limit": (
        "import sys",
        "sys.setrecursionlimit(7000)",
        "sys.getrecursionlimit()",
        "sys.setrecursionlimit(9000)",
    ),
    "shell": (
        "import os",
        "get_ipython().ast_node_interactivity = 'last_expr_or_assign'",
        "get_ipython().ast_node_interactivity",
        "get_ipython().ast_node_interactivity = 'last_expr'",
    ),
    "time zone": (
        "import os, time",
        "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "time.strftime('%H:%M %Z', time.localtime(0))",
        "os.environ['TZ'] = 'Asia/Kolkata'; time.tzset()",
    ),
    "formatters": (
        "import os",
        "get_ipython().display_formatter.formatters['text/plain'].for_type(complex, "
        "lambda z, p, c: p.text('z1'))",
        "get_ipython().display_formatter.format(1j)[0]['text/plain']",
        "get_ipython().display_formatter.formatters['text/plain'].for_type(complex, "
        "lambda z, p, c: p.text('z2'))",
    ),
    "locale": (
        "import locale",
        "locale.setlocale(locale.LC_TIME, 'C.UTF-8')",
        "locale.setlocale(locale.LC_TIME)",
        "locale.setlocale(locale.LC_TIME, 'C')",
    ),
    "umask": (
        "import os; os.umask(0o022)",
        "os.umask(0o027);",
        "oct(next(os.umask(now) or now for now in [os.umask(0o0)]))",
        "os.umask(0o007);",
    ),
    "builtins": (
        "import builtins",
        "builtins.inch = 25.4",
        "inch",
        "builtins.inch = 2.54",
    ),
    "own modules": (
        "import sys, types; made_here = sys.modules['made_here'] = types.ModuleType('made_here')",
        "made_here.x = 1",
        "made_here.x",
        "made_here.x = 2",
    ),
    "environment": (
        "import os",
        "os.environ['BEAM_MODEL'] = 'fine'",
        "os.environ.get('BEAM_MODEL')",
        "del os.environ['BEAM_MODEL']",
    ),
}


def test_each_kind_is_tried() -> None:
    """What is new in `KINDS` needs a line above, or in the tests of libraries."""
    assert STATE.keys() | LIBRARIES.keys() == process_state.KINDS.keys()


@pytest.mark.cell(
    "travels",
    "State of the process: random numbers, `np.errstate`, locale, environment, warning filters",
)
def test_it_travels_both_ways(kernel: Kernel) -> None:
    """Set here it holds there; set there it holds here. All kinds at once,
    as in a long notebook.
    """
    imports = "\n".join({line[0]: None for line in STATE.values()})
    seen = "{" + ", ".join(f"{kind!r}: ({line[2]})" for kind, line in STATE.items()) + "}"
    kernel.run("%reset -f\n%load_ext mecapy_jupyter")
    here = kernel.run(
        f"{imports}\n" + "\n".join(line[1] for line in STATE.values()) + f"\nhere = {seen}"
    )
    assert here.ok, here.text
    ran = kernel.run(f"%%mecapy\nthere = {seen}")
    assert ran.ok, ran.text + ran.stderr
    assert kernel.value("{kind for kind in here if here[kind] != there[kind]}") == "set()"
    ran = kernel.run(
        "%%mecapy\n" + "\n".join(line[3] for line in STATE.values()) + f"\nthere = {seen}"
    )
    assert ran.ok, ran.text + ran.stderr
    assert kernel.value(f"[kind for kind, value in {seen}.items() if value != there[kind]]") == "[]"
    assert kernel.value("[kind for kind in here if here[kind] == there[kind]]") == "[]"


def test_nothing_changed_nothing_comes_home() -> None:
    """A cell that touches none of it brings none of it home."""
    assert process_state.changed(process_state.current(), process_state.current()) == {}


_SETS = """
import os
from mecapy_jupyter.travel.environment import process_state
os.environ["OF_A_LIBRARY"] = "1"
process_state.note()
process_state.begin_environment()
print(process_state.changed(process_state.noted(), process_state.current()))
"""


def test_what_preloaded_libraries_set_is_no_change() -> None:
    """scikit-learn sets variables when it is imported. Were they a cell's change, the notebook's
    own variables would be reset for it.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _SETS], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "{}\n", ran


@pytest.mark.parametrize("kind", ["random", "numpy.printoptions"])
def test_a_kind_that_breaks_costs_only_itself(kind: str) -> None:
    """State this process cannot take leaves the others, and the cell, alone."""
    process_state.take({kind: "nonsense", "environment": {}})


def test_own_modules_are_imported_when_they_are_needed(kernel: Kernel) -> None:
    """A module of the folder costs its import only in the cells that use it; its state is there
    from its first import on.
    """
    kernel.run("%%writefile slow_to_import.py\nimport os\nSETTINGS = {'n': 1}\nLIMIT = 3")
    kernel.run(
        "%%writefile uses_it.py\ndef limit():\n    import slow_to_import\n    return "
        "slow_to_import.LIMIT"
    )
    kernel.run(
        "import slow_to_import, uses_it\nslow_to_import.SETTINGS['n'] = 2; slow_to_import.LIMIT = 4"
    )
    ran = kernel.run(
        "%%mecapy\nimport sys\nfirst = uses_it.limit.__name__, 'slow_to_import' in "
        "sys.modules\nsecond = uses_it.limit()"
    )
    assert ran.ok, ran.text + ran.stderr
    assert kernel.value("(first, second)") == "(('limit', False), 4)"
    assert kernel.run(
        "%%mecapy\nfrom slow_to_import import SETTINGS, LIMIT\nthird = SETTINGS['n'], LIMIT"
    ).ok
    assert kernel.value("third") == "(2, 4)"
