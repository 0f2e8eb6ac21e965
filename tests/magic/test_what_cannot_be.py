"""What a worker cannot do, show or send is named in one sentence that ends in one thing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel
from .test_errors import strip

MB20 = 20_000_000


@pytest.mark.cell("refused", "`breakpoint()`, `pdb` and `%debug`")
@pytest.mark.parametrize("stop", ["breakpoint()", "import pdb; pdb.set_trace()"])
def test_a_debugger_is_refused(kernel: Kernel, stop: str) -> None:
    """Nobody could answer it; the sentence says where it can be used."""
    ran = kernel.run(f"%%mecapy\n{stop}")
    assert ran.error == "StdinNotImplementedError", ran
    assert "cannot stop for a debugger: run it here, without %%mecapy" in ran.text
    assert "debuggers.py" not in ran.text


@pytest.mark.cell("said", "A display above 15 MB, shown in part")
def test_a_display_that_is_too_large_costs_no_result(kernel: Kernel) -> None:
    """Text is cut, other kinds are left out with their size, and variables come home."""
    ran = kernel.run(f"%%mecapy\nx = 5\n'a' * {MB20}")
    assert ran.ok, ran.text
    assert ran.results[0]["data"]["text/plain"].endswith(f"… (cut: {MB20 + 2:,} characters)")
    assert "a display cannot be shown whole (text/plain: 20 MB; 15 MB is the most)" in ran.stderr
    assert kernel.value("x, len(_)") == f"(5, {MB20})"
    ran = kernel.run(
        f"%%mecapy\nfrom IPython.display import HTML, display\ndisplay(HTML('a' * {MB20}))\ny = 6"
    )
    assert ran.ok and "(text/html: 20 MB; 15 MB is the most): show a part of it" in ran.stderr
    assert kernel.value("y") == "6"


def test_an_error_with_a_long_text(kernel: Kernel) -> None:
    """It is raised here as the class it is, with all of its text."""
    ran = kernel.run(f"%%mecapy\nz = 7\nraise ValueError('a' * {MB20})")
    assert ran.error == "ValueError", ran.text[-500:]
    assert kernel.value("z") == "7"


def test_an_input_that_does_not_open_is_named(kernel: Kernel) -> None:
    """The variable that holds it, at any depth, and not those beside it."""
    assert kernel.run(
        "def no(): raise ValueError('worn out')\n"
        "class Odd:\n    def __reduce__(self): return no, ()\n"
        "fine, box = [1], {'parts': [Odd()]}"
    ).ok
    ran = kernel.run("%%mecapy\nprint(fine, box)")
    assert ran.error == "InputsNotOpened", ran
    assert "could not open the variable 'box': ValueError: worn out; make this inside" in ran.text


def test_what_does_not_come_home_has_a_cure(kernel: Kernel) -> None:
    """Its name, what it is, and what to do instead."""
    ran = kernel.run("%%mecapy\nwaiting = (n for n in range(3))")
    assert ran.ok and "waiting did not come home: generator: " in ran.stderr
    assert "; bind what you need of it as numbers, arrays or text" in ran.stderr


def test_a_failed_import_of_your_module_shows_your_lines(kernel: Kernel, folder: Path) -> None:
    """And none of what has brought it to the worker."""
    (folder / "fails_here.py").write_text("def load():\n    return 1 / 0\n\nload()\n")
    ran = kernel.run("%%mecapy\nimport fails_here")
    assert ran.error == "ZeroDivisionError"
    shown = strip(ran.text)
    assert "return 1 / 0" in shown and "import fails_here" in shown
    assert "module_importer" not in shown and "importlib" not in shown


def test_pip_in_a_cell_says_where_to_install(kernel: Kernel) -> None:
    """In a cell without %%mecapy; the cell goes on."""
    ran = kernel.run("%%mecapy\n!pip install no-such-package-here\nprint('on')")
    assert ran.ok and ran.stdout == "on\n"
    assert "cannot install packages on a worker: install them in a cell without" in ran.stderr


def test_a_formatter_of_another_kind_stays(kernel: Kernel) -> None:
    """A cell runs beside it."""
    assert kernel.run(
        "from IPython.core.formatters import PlainTextFormatter\n"
        "class Mesh: pass\n"
        "kinds = get_ipython().display_formatter.formatters\n"
        "kinds['text/x-mesh'] = made = PlainTextFormatter()\n"
        "made.for_type(Mesh, lambda mesh, p, cycle: p.text('mesh'))"
    ).ok
    ran = kernel.run("%%mecapy --quiet\nx = 1")
    assert ran.ok, ran.text
    assert "cannot" in ran.stderr or "could not" in ran.stderr, ran.stderr
    kernel.run("del kinds['text/x-mesh']")
