"""State outside the variables travels both ways; each kind of `ambient.KINDS` has its line here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mecapy_jupyter.travel.environment import process_state

from .conftest import Kernel
from .libraries import LIBRARIES
from .state_kinds import STATE


def test_each_kind_is_tried() -> None:
    """What is new in `KINDS` needs a line above, or in the tests of libraries."""
    elsewhere = {"logging.waiting", "logging.records"}  # test_logging
    elsewhere.add("held objects")  # tests/field/test_kinds
    elsewhere |= {"control.names", "cvxpy.ids"}  # counters, which no cell sets itself
    assert STATE.keys() | LIBRARIES.keys() | elsewhere == process_state.KINDS.keys()


@pytest.mark.cell(
    "travels",
    "State of the process",
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


def test_a_registration_that_a_cell_makes_first(kernel: Kernel) -> None:
    """Nothing of its kind has been registered here before."""
    assert kernel.run("import codecs, shutil").ok
    ran = kernel.run(
        "%%mecapy\nimport codecs, shutil, zipfile\n"
        "codecs.register_error('first', lambda error: ('#', error.end))\n"
        "def pack(base, folder, **_): return base\nshutil.register_archive_format('none', pack)"
    )
    assert ran.ok, ran.text
    seen = "'\\xe9'.encode('ascii', 'first'), shutil.make_archive('a', 'none')[-1]"
    assert kernel.value(seen) == "(b'#', 'a')"
    kernel.run("shutil.unregister_archive_format('none')")


def test_a_folder_that_a_cell_removes_from_the_path(kernel: Kernel) -> None:
    """One that the notebook has added; the others stay, and what the cell adds comes home."""
    assert kernel.run("import os, sys\nsys.path += ['/paths/one', '/paths/two', 'paths']").ok
    ran = kernel.run(
        "%%mecapy\nimport sys\nsys.path.remove('/paths/one'); sys.path.append('/paths/three')\n"
        "there = [entry for entry in sys.path if entry[:7] == '/paths/' or entry == 'paths']"
    )
    assert ran.ok, ran.text
    here = "[entry for entry in sys.path if entry[:7] == '/paths/' or entry == 'paths']"
    assert kernel.value(f"{here} == there == ['/paths/two', 'paths', '/paths/three']") == "True"
    kernel.run("sys.path[:] = [entry for entry in sys.path if entry not in there]")


def test_nothing_changed_nothing_comes_home() -> None:
    """A cell that touches none of it brings none of it home."""
    assert process_state.changed(process_state.current(), process_state.current()) == {}


def test_a_cell_that_changes_nothing_leaves_the_kernel_as_it_was(kernel: Kernel) -> None:
    """What a worker sets for itself, its umask or its search path, is no change of the cell's."""
    seen = (
        "next((mask, os.umask(mask))[0] for mask in [os.umask(0o022)]), sys.path, sys.argv, "
        "os.environ, signal.getsignal(2), "
        "socket.getdefaulttimeout(), sys.getrecursionlimit(), os.getcwd(), logging.root.handlers"
    )
    assert kernel.run(f"import logging, os, signal, socket, sys\nbefore = repr(({seen}))").ok
    for cell in ("x = 3", "import os, numpy\ny = os.getcwd(), numpy.ones(2)"):
        ran = kernel.run(f"%%mecapy\n{cell}")
        assert ran.ok, ran.text
    assert kernel.value(f"repr(({seen})) == before") == "True"


def test_the_folder_that_the_kernel_was_started_in(kernel: Kernel) -> None:
    """PWD is what it is here: the current folder, or another one."""
    kernel.run("import os; first = os.environ['PWD']")
    for pwd in ("'/elsewhere'", "os.getcwd()"):
        kernel.run(f"os.environ['PWD'] = {pwd}")
        ran = kernel.run("%%mecapy\nthere = os.environ['PWD'], os.environ['PWD'] == os.getcwd()")
        assert ran.ok, ran
        assert kernel.value("there") == kernel.value(f"{pwd}, {pwd} == os.getcwd()")
    kernel.run("os.environ['PWD'] = first")


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


@pytest.mark.cell("travels", "Variables that callbacks read")
def test_what_a_handler_reads_travels(kernel: Kernel) -> None:
    """A cell that names neither the handler nor its variables gets both: an alarm is caught, and
    not the end of the task.
    """
    assert kernel.run(
        "import signal\nWORDS = 'too long'\n"
        "def late(*_): raise TimeoutError(WORDS)\nsignal.signal(signal.SIGALRM, late)"
    ).ok
    ran = kernel.run(
        "%%mecapy\nimport signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "try: signal.pause()\nexcept TimeoutError as error: print(error)"
    )
    assert ran.ok and ran.stdout == "too long\n", ran
    kernel.run("signal.signal(signal.SIGALRM, signal.SIG_DFL)")
