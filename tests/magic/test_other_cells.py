"""Functions of other cells have their lines everywhere: in tracebacks and warnings, on a worker and
back at home.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Kernel
from .test_errors import out_of_time

DEFINE = "def divide(x):\n    y = 1 / x\n    return y"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_function_of_an_earlier_cell_fails_on_a_worker(kernel: Kernel) -> None:
    """The traceback shows its lines and its cell's number; the line that is told apart from them is
    the failing cell's own.
    """
    number = int(kernel.value("get_ipython().execution_count"))
    assert kernel.run(DEFINE).ok
    ran = kernel.run("%%mecapy\na = 1\ndivide(a - 1)")
    shown = plain(ran.text)
    assert ran.error == "ZeroDivisionError" and "----> 3 divide(a - 1)" in shown, shown
    assert (
        f"Cell In[{number}], line 2, in divide(x)" in shown and "----> 2     y = 1 / x" in shown
    ), shown
    assert "Could not get source" not in shown


def test_a_function_defined_on_a_worker_fails_here(kernel: Kernel) -> None:
    """Its file is the cell that defined it, as if that had run here; and from there it goes to a
    worker again.
    """
    assert kernel.run(f"%%mecapy\n{DEFINE}").ok
    for call in ("divide(0)", "%%mecapy\ndivide(0)"):
        shown = plain(kernel.run(call).text)
        assert (
            re.search(r"Cell In\[\d+\], line 2, in divide\(x\)", shown)
            and "----> 2     y = 1 / x" in shown
        ), shown


@pytest.mark.cell("travels", "Source of functions")
def test_the_source_of_a_function(kernel: Kernel) -> None:
    """`inspect.getsource` finds it where it finds it at home: numba, for one, reads it."""
    assert kernel.run("def before(x):\n    return x + 1").ok
    ran = kernel.run(
        "%%mecapy\nimport inspect\ndef here(x): return x\nprint(inspect.getsource(before) + "
        "inspect.getsource(here))"
    )
    assert ran.stdout == "def before(x):\n    return x + 1\ndef here(x): return x\n\n", ran.text


def test_a_warning_names_the_cell_as_here(kernel: Kernel) -> None:
    """The same file, line and text as in the kernel."""
    assert kernel.run("import warnings\ndef warn(): warnings.warn('thin')").ok
    here = kernel.run("warn()").stderr
    assert "UserWarning: thin" in here and "def warn()" in here
    assert kernel.run("%%mecapy\nwarn()").stderr == here


def test_the_line_a_cell_was_at_is_its_own(kernel: Kernel) -> None:
    """A timeout inside a function of another cell names the line of the cell that called it."""
    assert kernel.run("def wait():\n    import time\n\n\n\n\n    time.sleep(90)").ok
    out_of_time(kernel, "x = 1\nwait()", "----> 3 wait()")


def test_a_dry_run_names_the_cells_whose_text_travels(kernel: Kernel) -> None:
    """It is all that would travel."""
    number = kernel.value("get_ipython().execution_count")
    assert kernel.run(DEFINE).ok
    assert f"In[{number}]" in kernel.run("%%mecapy --dry-run\ndivide(1)").stdout
    assert "In[" not in kernel.run("%%mecapy --dry-run\n1").stdout


WAITS = {
    "%%time": ("%%time\nx = 1\nwhile x: pass", 4),
    "a part that IPython runs as a cell": ("%%capture out\nx = 1\nwhile x: pass", 4),
    "one in the other": ("%%time\n%%capture out\nwhile True: pass", 4),
    "another program": ("%%bash\nsleep 90", 2),
}


@pytest.mark.parametrize(("cell", "line"), WAITS.values(), ids=WAITS)
def test_the_line_below_a_magic_of_the_cell(kernel: Kernel, cell: str, line: int) -> None:
    """Lines are counted from the cell's first one, whoever runs them."""
    out_of_time(kernel, cell, f"----> {line} ")


def test_the_text_of_a_cell_that_has_the_token(kernel: Kernel) -> None:
    """The function travels, the text around it stays here: a token never leaves."""
    token = kernel.run("import os\nprint(os.environ['MECAPY_TOKEN'])").stdout.strip()
    assert kernel.run(f"mine = {token!r}\ndef twice(x):\n    return 2 * x").ok
    ran = kernel.run(
        "%%mecapy\nimport linecache\nfour, text = twice(2), "
        "linecache.getlines(twice.__code__.co_filename)"
    )
    assert ran.ok and kernel.value("four, text") == "(4, [])", ran.text


_IN_A_TERMINAL = """
import traceback
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in ("%load_ext mecapy_jupyter", "def divide(x):\\n    return 1 / x"):
    assert shell.run_cell(cell).success
ran = shell.run_cell("%%mecapy\\na = 0\\ndivide(a)")
frames = [frame for frame in traceback.extract_tb(ran.error_in_exec.__traceback__)
          if frame.filename.startswith("<ipython-input-")]
print([(frame.lineno, frame.line) for frame in frames][-2:])
"""


def test_files_of_other_cells_in_a_terminal(
    kernel_environment: dict[str, str], tmp_path: Path
) -> None:
    """There all cells' names look alike, and still each step of a traceback stands in the cell it
    is of.
    """
    command, home = [sys.executable, "-c", _IN_A_TERMINAL], {"IPYTHONDIR": str(tmp_path)}
    ran = subprocess.run(
        command,
        env=kernel_environment | home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout.splitlines()[-1] == "[(2, 'divide(a)'), (2, 'return 1 / x')]", ran


LINES = """import inspect, sys, traceback, warnings
def f(x): return 1 / x
print(inspect.currentframe().f_lineno, f.__code__.co_firstlineno)
try: f(0)
except ZeroDivisionError: print(traceback.format_exc())
warnings.warn("here")
print(hasattr(sys.stdout, "buffer"), hasattr(sys.stderr, "buffer"))"""


@pytest.mark.cell("travels", "Line numbers")
def test_lines_that_a_cell_sees(kernel: Kernel) -> None:
    """They count as without `%%mecapy`, and so does what a function defined there has here; streams
    take text alone, as a kernel's.
    """
    here, there = kernel.run(LINES), kernel.run(f"%%mecapy\n{LINES}")
    assert "line 4, in <module>" in here.stdout and "3 2\n" in here.stdout, here.stdout
    assert (there.stdout, there.stderr) == (here.stdout, here.stderr)
    assert kernel.value("f.__code__.co_firstlineno") == "2"
