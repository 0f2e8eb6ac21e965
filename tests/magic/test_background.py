"""`--bg`: the cell returns at once, its task lives on, and nothing that was changed here meanwhile
is overwritten.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from ..gate import Gate
from .conftest import CELL_S, Kernel, started


def heard_until_done(kernel: Kernel, job: str, message: str) -> list[dict[str, Any]]:
    """What the submitting cell shows after it had ended: its messages, until the job is done."""
    waiting = kernel.client.execute(f"import concurrent.futures as cf; _ = cf.wait([{job}], 240)")
    found: list[dict[str, Any]] = []
    while True:
        heard = kernel.client.get_iopub_msg(timeout=CELL_S)
        parent = heard["parent_header"].get("msg_id")
        if parent == message:
            found.append(heard)
        if parent == waiting and heard["content"].get("execution_state") == "idle":
            kernel.client.get_shell_msg(timeout=CELL_S)
            return found


def submit(kernel: Kernel, cell: str) -> str:
    """Run a cell to its end, which for a background cell comes at once; its message."""
    message = kernel.client.execute(cell, allow_stdin=False)
    while True:
        heard = kernel.client.get_iopub_msg(timeout=CELL_S)
        if (
            heard["parent_header"].get("msg_id") == message
            and heard["content"].get("execution_state") == "idle"
        ):
            assert kernel.client.get_shell_msg(timeout=CELL_S)["content"]["status"] == "ok"
            return message


def test_it_lives_on_in_its_own_cell(kernel: Kernel, gate: Gate) -> None:
    """Prints, displays and the live block appear in the cell that submitted it, whatever runs by
    then.
    """
    message = submit(
        kernel, f"%%mecapy --bg --as job\n{gate.wait}print('late')\ndisplay('shown')\ny = 7\ny + 1"
    )
    assert kernel.value("(job.done(), 'y' in globals())") == "(False, False)"
    gate.open()
    heard = heard_until_done(kernel, "job", message)
    text = "".join(m["content"]["text"] for m in heard if m["msg_type"] == "stream")
    assert "late\n" in text
    shown = [
        m["content"]["data"].get("text/plain", "")
        for m in heard
        if m["msg_type"] in ("display_data", "update_display_data")
    ]
    assert (
        "'shown'" in shown and "8" in shown and any("✔" in line and "y" in line for line in shown)
    )
    assert kernel.value("(y, job.result(), job.logs())") == "(7, 8, 'late\\n')"
    assert kernel.value("await job") == "8"


def test_what_changed_here_is_not_overwritten(kernel: Kernel, gate: Gate) -> None:
    """A name bound anew, a list changed in place, a name deleted: all wait in `.vars`, and it says
    so. The rest is bound.
    """
    kernel.run("a = 1; b = 2; mine = [0]; other = [0]; gone = 5")
    message = submit(
        kernel,
        f"%%mecapy --bg --as job\n{gate.wait}a = 10; b = 20; mine.append(1); other.append(1); "
        f"gone = 6; c = 30",
    )
    kernel.run("a = 3; mine.append(99); del gone")
    gate.open()
    said = str([m["content"] for m in heard_until_done(kernel, "job", message)])
    assert "a, gone, mine wait in `.vars`" in said
    assert (
        kernel.value("(a, b, c, mine, other, 'gone' in globals())")
        == "(3, 20, 30, [0, 99], [0, 1], False)"
    )
    assert (
        kernel.value("(job.vars['a'], job.vars['mine'], job.vars['gone'], job.vars['b'])")
        == "(10, [0, 1], 6, 20)"
    )


def test_a_part_that_changed_here_too(kernel: Kernel, gate: Gate) -> None:
    """What the task made of a list inside a dict waits under the way that leads to it, and it says
    so.
    """
    kernel.run("model = {'params': [1, 2], 'other': [0]}")
    message = submit(
        kernel,
        f"%%mecapy --bg --as job\n{gate.wait}model['params'].append(3); model['other'].append(4)",
    )
    kernel.run("model['params'].append(99)")
    gate.open()
    said = str([m["content"] for m in heard_until_done(kernel, "job", message)])
    assert "model['params'] waits in `.vars`" in said
    assert (
        kernel.value("""(model, job.vars["model['params']"])""")
        == "({'params': [1, 2, 99], 'other': [0, 4]}, [1, 2, 3])"
    )


def test_what_changed_here_in_a_module_too(kernel: Kernel, gate: Gate) -> None:
    """Its numbers and lists are treated as variables are."""
    kernel.run(
        "%%writefile laws.py\nn = 2\nm = 2\nsteps = [0]\ndel_me = 1\nclass Solver:\n    tol = 0.1\n"
    )
    kernel.run("import laws")
    message = submit(
        kernel,
        f"%%mecapy --bg --as job\n{gate.wait}laws.n = 20; laws.m = 20; laws.steps.append(1)\n"
        "laws.Solver.tol = 0.2; del laws.del_me",
    )
    kernel.run("laws.n = 3; laws.steps.append(99); laws.Solver.tol = 0.3; laws.del_me = 5")
    gate.open()
    said = str([m["content"] for m in heard_until_done(kernel, "job", message)])
    assert "wait in `.vars` of the job" in said
    for name in ("laws.n", "laws.steps", "laws.Solver.tol", "laws.del_me"):
        assert name in said
    assert "laws.m" not in said
    assert kernel.value("laws.n, laws.m, laws.steps, laws.Solver.tol, laws.del_me") == (
        "(3, 20, [0, 99], 0.3, 5)"
    )
    assert (
        kernel.value("job.vars['laws.n'], job.vars['laws.steps'], job.vars['laws.Solver.tol']")
        == "(20, [0, 1], 0.2)"
    )


def test_state_drawn_here_meanwhile_stays(kernel: Kernel, gate: Gate) -> None:
    """Random numbers drawn here since go on here; undisturbed, the task's go on."""
    kernel.run("import random; random.seed(1)")
    submit(
        kernel,
        f"%%mecapy --bg --as job\n{gate.wait}import random\nfirst = [random.random() for _ in "
        f"range(3)]",
    )
    kernel.run("random.seed(5); expected = random.Random(5).random()")
    gate.open()
    assert kernel.value("(len(job.vars['first']), random.random() == expected)") == "(3, True)"


def test_state_that_nobody_changed_here_comes_home(kernel: Kernel, gate: Gate) -> None:
    """Also where other state of the notebook differs from that of a new process; and what a library
    got here meanwhile stays.
    """
    setting = "import logging, os, signal\nlogging.disable(10)\ndef mine(*_): pass"
    assert kernel.run(f"{setting}\ndef theirs(*_): pass").ok
    cell = "os.environ['MESH'] = 'fine'\nsignal.signal(signal.SIGUSR2, theirs)"
    message = submit(kernel, f"%%mecapy --bg --as job\n{gate.wait}{cell}")
    assert kernel.run("_ = signal.signal(signal.SIGUSR2, mine)").ok
    gate.open()
    heard_until_done(kernel, "job", message)
    now = "(os.environ['MESH'], signal.getsignal(signal.SIGUSR2) is mine)"
    assert kernel.value(now) == "('fine', True)"
    back = "logging.disable(0); del os.environ['MESH']"
    assert kernel.run(f"{back}; _ = signal.signal(signal.SIGUSR2, signal.SIG_DFL)").ok


def test_state_of_the_thread_in_which_cells_run(kernel: Kernel, gate: Gate) -> None:
    """Print options, errors of NumPy and decimal contexts are another thread's own: they are set as
    the next cell begins, unless that thread has set one meanwhile.
    """
    kernel.run("import decimal, numpy as np; third = np.array([1 / 3]); two = decimal.Decimal(2)")
    try:
        submit(
            kernel,
            f"%%mecapy --bg --as job\n{gate.wait}import decimal, numpy as np\n"
            "np.set_printoptions(precision=3)\nnp.seterr(over='raise')\n"
            "decimal.getcontext().prec = 5\n",
        )
        kernel.run("_ = np.seterr(under='raise')")
        gate.open()
        assert kernel.run("job.result(240)").ok
        seen = "third, str(two / 3), np.geterr()['over'], np.geterr()['under']"
        assert kernel.value(seen) == "(array([0.333]), '0.66667', 'warn', 'raise')"
    finally:
        kernel.run("np.set_printoptions(precision=8); np.seterr(under='ignore')")
        kernel.run("decimal.getcontext().prec = 28")


def test_state_of_a_library_that_comes_with_the_result(
    kernel_environment: dict[str, str], tmp_path: Path
) -> None:
    """Nobody here has changed what was not loaded when the cell was submitted."""
    with started(kernel_environment, tmp_path) as kernel:
        assert kernel.run("%load_ext mecapy_jupyter").ok
        ran = kernel.run(
            "%%mecapy --bg --as job\nimport pandas as pd, numpy as np\n"
            "np.set_printoptions(precision=3)\npd.options.display.max_rows = 7"
        )
        assert ran.ok and kernel.run("job.result(240)").ok, ran.text
        seen = kernel.value("np.array([1 / 3]), pd.options.display.max_rows")
        assert seen == "(array([0.333]), 7)"


def test_several_at_once(kernel: Kernel, gate: Gate) -> None:
    """Each has its Future; `%mecapy` shows them with the names of their variables; one is
    cancelled, one fails, one ends well.
    """
    kernel.run("n = 4")
    submit(kernel, f"%%mecapy --bg --as long --name held\n{gate.wait}x = 1")
    submit(kernel, "%%mecapy --bg --as bad\nfirst = n\n1 / 0")
    submit(kernel, "%%mecapy --bg --as good\nsecond = n * 2")
    assert kernel.run("good.result(240)").ok
    ran = kernel.run("bad.result(240)")
    assert (
        ran.error == "ZeroDivisionError"
        and "----> 3" in re.sub(r"\x1b\[\d+m", "", ran.text)
        and "mecapy_jupyter" not in ran.text
    )
    assert kernel.value("(first, second, bad.done())") == "(4, 8, True)"
    text = kernel.run("%mecapy").displays[0]["data"]["text/plain"]
    assert "long" in text and "good" in text and "held" in text
    assert kernel.value("long.cancel()") == "True"
    assert kernel.run("import concurrent.futures as cf; cf.wait([long], 240)").ok
    assert kernel.value("(long.cancelled(), 'x' in globals())") == "(True, False)"


def test_saved_by_who_has_no_page(kernel_environment: dict[str, str], tmp_path: Path) -> None:
    """nbclient takes late updates from a running cell only: the one that runs when the task ends,
    or after, brings the last line.
    """
    sources = ["%load_ext mecapy_jupyter", "%%mecapy --bg --as job\ny = 7", "job.result()", "y"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(
        book, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    asyncio.run(client.async_execute(env=kernel_environment))
    blocks = [output for output in book.cells[1].outputs if output.output_type == "display_data"]
    assert [
        "✔" in output.data["text/plain"] and "y" in output.data["text/plain"] for output in blocks
    ] == [True]
