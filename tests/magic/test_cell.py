"""A `%%mecapy` cell behaves as if it had run in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mecapy_jupyter.cells import magic_options

from ..gate import Gate
from .conftest import CELL_S, Kernel


def test_variables_come_home(kernel: Kernel) -> None:
    """What the cell binds is there afterwards; what it does not read is not needed."""
    assert kernel.run("a = 20; huge = object()").ok
    assert kernel.run("%%mecapy\nimport math\ny = a + math.floor(2.5)").ok
    assert kernel.value("y, math.pi > 3") == "(22, True)"


def test_the_last_expression_is_out(kernel: Kernel) -> None:
    """It shows as execute_result, and `_`, `Out[n]` and `_n` are its value."""
    ran = kernel.run("%%mecapy\n{'answer': 6 * 7}")
    assert ran.results[0]["data"]["text/plain"] == "{'answer': 42}"
    number = ran.reply["execution_count"]
    assert ran.results[0]["execution_count"] == number
    assert kernel.run("kept = _").ok
    assert (
        kernel.value(f"(kept, Out[{number}] is kept, _{number} is kept)")
        == "({'answer': 42}, True, True)"
    )


def test_a_semicolon_is_quiet(kernel: Kernel) -> None:
    """`x;` shows nothing."""
    ran = kernel.run("%%mecapy\nx = 3\nx;")
    assert ran.ok and not ran.results and not ran.stdout


def test_output_keeps_its_order(kernel: Kernel) -> None:
    """Prints, displays, stderr, results and pictures appear in the order they were made."""
    ran = kernel.run("""%%mecapy --quiet
import sys, matplotlib.pyplot as plt
print("one")
display({"two": 2})
print("three", file=sys.stderr)
plt.plot([1, 2])
"four"
""")
    order = [kind for kind in ran.order if kind in ("stream", "display_data", "execute_result")]
    assert order == ["stream", "display_data", "stream", "execute_result", "display_data"]
    assert (ran.stdout, ran.stderr) == ("one\n", "three\n") and "image/png" in ran.displays[1][
        "data"
    ]


def test_prints_are_live(kernel: Kernel, gate: Gate) -> None:
    """A line arrives while the cell still runs, which ends only then."""

    def hook(message: dict[str, Any]) -> None:
        if message["header"]["msg_type"] == "stream":
            gate.open()

    kernel.client.execute_interactive(
        f"%%mecapy\nprint('here')\n{gate.wait}", timeout=CELL_S, output_hook=hook, allow_stdin=False
    )


def test_aliases_see_changes_in_place(kernel: Kernel) -> None:
    """After `b = a`, `a.append(1)` remotely is seen by both."""
    kernel.run("a = []; b = a; box = [a]")
    assert kernel.run("%%mecapy\na.append(1)").ok
    assert kernel.value("(a, b, a is b, box[0] is a)") == "([1], [1], True, True)"


def test_deleted_names_are_gone(kernel: Kernel) -> None:
    """`del x` removes x here; names the cell never saw stay."""
    kernel.run("x = 1; y = 2")
    assert kernel.run("%%mecapy\ndel x").ok
    assert kernel.value("('x' in globals(), y)") == "(False, 2)"


def test_functions_and_classes_of_the_notebook(kernel: Kernel) -> None:
    """They travel with what they use, and objects of a notebook's class come home as such."""
    kernel.run("""
import math
factor = 2
def area(r): return math.pi * r ** 2 * factor
class Disc:
    def __init__(self, r): self.r = r
    def area(self): return area(self.r)
""")
    assert kernel.run(
        "%%mecapy\ndiscs = [Disc(r) for r in (1, 2)]\nareas = [round(d.area(), 3) for d in discs]"
    ).ok
    assert kernel.value("(areas, isinstance(discs[0], Disc))") == "([6.283, 25.133], True)"


def test_the_users_own_module(kernel: Kernel, folder: Path) -> None:
    """A module beside the notebook works on the worker: imported there, imported here, and in its
    present state.
    """
    (folder / "beam_helpers.py").write_text("E = 210e9\ndef stiffness(a, l): return E * a / l\n")
    assert kernel.run("%%mecapy\nimport beam_helpers\nk = beam_helpers.stiffness(1e-4, 2.0)").ok
    assert kernel.value("k") == "10500000.0"
    kernel.run("import beam_helpers\nbeam_helpers.E = 70e9")
    assert kernel.run("%%mecapy\nk = beam_helpers.stiffness(1e-4, 2.0)").ok
    assert kernel.value("k") == "3500000.0"


def test_top_level_await_and_magics(kernel: Kernel) -> None:
    """IPython runs the cell: await, line magics,
    shell commands and nested cell magics work there.
    """
    ran = kernel.run(
        "%%mecapy\nimport asyncio\nawait asyncio.sleep(0.01)\nout = !echo one two\n%precision "
        "3\nout[0]"
    )
    assert ran.ok and ran.results[0]["data"]["text/plain"] == "'one two'"
    assert "Wall time" in kernel.run("%%mecapy\n%%time\nz = 5").stdout
    assert kernel.value("z") == "5"


def test_state_around_the_variables(kernel: Kernel) -> None:
    """A seed set here counts there, and numbers drawn there count here."""
    kernel.run("import numpy as np, random\nnp.random.seed(3); random.seed(3)")
    expected = kernel.value(
        "(np.random.rand(), np.random.rand(), random.random(), random.random())"
    )
    kernel.run("np.random.seed(3); random.seed(3)")
    assert kernel.run(
        "%%mecapy\nimport random\nfirst, third = float(np.random.rand()), random.random()"
    ).ok
    got = (
        kernel.value("(np.float64(first), np.random.rand(), third, random.random())")
        .replace("np.float64(", "")
        .replace(")", "")
    )
    assert got == expected.replace("np.float64(", "").replace(")", "")


def test_inputs_and_outputs_can_be_named(kernel: Kernel) -> None:
    """`-i` and `-o` override what is captured and what comes home; `-o none` brings nothing."""
    kernel.run("a = 1; b = 2; c = 3")
    assert kernel.run("%%mecapy -i a,b -o y*\ny1 = a + b; y2 = 5; z = 'c' in globals(); c2 = 9").ok
    assert kernel.value("(y1, y2, 'z' in globals(), 'c2' in globals())") == "(3, 5, False, False)"
    assert kernel.run("%%mecapy -o none\nnothing = 1").ok
    assert kernel.value("'nothing' in globals()") == "False"


def test_background(kernel: Kernel) -> None:
    """`--bg` returns at once with a Future; the variables are bound when it ends."""
    assert kernel.run("%%mecapy --bg --as job\nlate = 11\nlate * 2").ok
    assert kernel.value("(job.result(240), job.vars['late'], late)") == "(22, 11, 11)"
    assert kernel.value("await job") == "22"


def test_dry_run_sends_nothing(kernel: Kernel) -> None:
    """It names what would travel, and the cell does not run."""
    kernel.run("import numpy as np\narr = np.zeros(1_000_000)")
    ran = kernel.run("%%mecapy --dry-run\ntotal = arr.sum()")
    assert ran.ok and "arr" in ran.stdout and "8 MB" in ran.stdout
    assert kernel.value("'total' in globals()") == "False"


def test_quick_cells_show_nothing_of_ours(kernel: Kernel) -> None:
    """A cell that ends before its block would appear has only its own output."""
    ran = kernel.run("%%mecapy --progress-after 600\nprint('mine')")
    assert [kind for kind in ran.order if kind not in ("status", "execute_input")] == ["stream"]


def test_the_status(kernel: Kernel) -> None:
    """`%mecapy` names the user, the gateway, the workers and the last tasks."""
    kernel.run("%%mecapy --name seen\nx = 1")
    ran = kernel.run("%mecapy")
    text = ran.displays[0]["data"]["text/plain"]
    assert "local" in text and "workers" in text and "seen" in text


def test_commands(kernel: Kernel) -> None:
    """tasks, logs, get and attach find a finished task again."""
    kernel.run("%%mecapy --name looked_up\nprint('said')\ngone = [1]")
    assert "looked_up" in kernel.run("%mecapy tasks").stdout
    assert kernel.run("%mecapy logs last").stdout == "said\n"
    kernel.run("del gone")
    assert kernel.run("%mecapy get last gone").ok and kernel.value("gone") == "[1]"
    kernel.run("del gone")
    attached = kernel.run("%mecapy attach last")
    assert attached.stdout == "said\n" and kernel.value("gone") == "[1]"


def test_a_comment_on_the_line(kernel: Kernel) -> None:
    """As on any line of Python; a `#` in quotes or inside a word is none."""
    ran = kernel.run("%%mecapy --name 'case #7'  # don't wait for it\ny = 1\nprint(y)")
    assert ran.ok and ran.stdout == "1\n", ran
    assert magic_options.words("--files mesh#2.msh --name 'a # b' # it's") == [
        "--files",
        "mesh#2.msh",
        "--name",
        "a # b",
    ]
