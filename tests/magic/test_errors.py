"""Every error a user of the magic can meet says what happened, where, and what to do; and nothing
is lost.
"""

from __future__ import annotations

import contextlib
import re
import time

import psutil
import pytest

from ..outside import leader_in
from .conftest import CELL_S, Kernel, Ran


def test_the_cells_own_exception(kernel: Kernel) -> None:
    """Its class, its line of the cell as the user counts, and what was bound before came back."""
    ran = kernel.run("%%mecapy\nbefore = 1\nx = 1 / 0\nafter = 2")
    assert (
        ran.error == "ZeroDivisionError" and "----> 3" in strip(ran.text) and "%%mecapy" in ran.text
    )
    assert "mecapy_jupyter" not in ran.text and "run_cell_magic" not in ran.text
    assert kernel.value("(before, 'after' in globals())") == "(1, False)"


def test_a_syntax_error_is_local(kernel: Kernel) -> None:
    """Nothing is sent, the line is right, no machinery is shown."""
    ran = kernel.run("%%mecapy\na = 1\nfoo = = 3")
    assert (
        ran.error == "SyntaxError"
        and "line 3" in strip(ran.text)
        and "run_cell_magic" not in ran.text
    )
    assert kernel.value("'a' in globals()") == "False"


def test_a_missing_name_is_local(kernel: Kernel) -> None:
    """It fails as the NameError it would be, before anything is sent; not so in a branch or under
    try.
    """
    ran = kernel.run("%%mecapy --name not_sent\na = 1\nprint(not_there)")
    assert ran.error == "NameError" and "----> 3 print(not_there)" in strip(ran.text)
    assert "not_sent" not in kernel.run("%mecapy tasks").stdout
    assert kernel.value("'a' in globals()") == "False"
    assert kernel.run(
        "%%mecapy\ntry:\n    not_there\nexcept NameError:\n    b = 2\nif False:\n    not_there"
    ).ok


CANNOT_TRAVEL = {
    "generator": ("v = (i for i in range(3))", "list(v)", "v", "generator"),
    "file": ("v = {'log': open('x.txt', 'w')}", "len(v)", "v['log']", "file"),
    "lock": (
        "import threading\nclass M: pass\nv = M(); v.guard = threading.Lock()",
        "v",
        "v.guard",
        "lock",
    ),
    "thread": ("import threading\nv = [threading.Thread()]", "v", "v[0]", "thread"),
    "socket": ("import socket\nv = socket.socket()", "v", "v", "socket"),
}


@pytest.mark.parametrize(
    ("setup", "use", "path", "kind"), CANNOT_TRAVEL.values(), ids=CANNOT_TRAVEL
)
def test_what_cannot_travel_is_named(
    kernel: Kernel, setup: str, use: str, path: str, kind: str
) -> None:
    """The variable, the path to the part, what it is, and what to do."""
    kernel.run(setup)
    ran = kernel.run(f"%%mecapy\n{use}")
    assert ran.error == "CannotSend" and path in ran.text and kind in ran.text.lower()


def test_a_variable_too_large_is_named(kernel: Kernel) -> None:
    """2 GB: refused before anything is packed, with the name and the size."""
    kernel.run("import numpy as np\nbig = np.zeros(2 * 10**9, dtype='u1')")
    ran = kernel.run("%%mecapy\nbig.sum()")
    assert ran.error == "CannotSend" and "big" in ran.text and "GB" in ran.text
    kernel.run("del big")


def test_a_result_that_cannot_travel_stays(kernel: Kernel) -> None:
    """It is named with the reason; everything else comes home."""
    ran = kernel.run("%%mecapy\ngen = (i for i in range(3))\ngood = 5")
    assert (
        ran.ok and "gen" in ran.stderr and "generator" in ran.stderr and kernel.value("good") == "5"
    )


def test_the_timeout(kernel: Kernel) -> None:
    """It ends with a reason, and what was bound before comes home."""
    ran = out_of_time(kernel, "part = 3\nimport time\ntime.sleep(90)", "----> 4 time.sleep(90)")
    assert "--timeout" in ran.text and kernel.value("part") == "3"


def out_of_time(kernel: Kernel, cell: str, line: str) -> Ran:
    """A cell that ends at that line, with the shortest limit that it comes there in: a busy machine
    takes longer to begin.
    """
    for limit_s in (1, 8, 64):
        ran = kernel.run(f"%%mecapy --timeout {limit_s}\n{cell}")
        assert ran.error == "TaskTimeout", ran.text
        if line in strip(ran.text):
            return ran
    raise AssertionError(f"it does not end at {line!r}: {ran.text}")


def test_a_crash_in_native_code(kernel: Kernel) -> None:
    """A segfault fails that cell alone, with the signal's name; the worker serves on."""
    ran = kernel.run("%%mecapy\nimport ctypes\nctypes.string_at(1)")
    assert (
        ran.error == "TaskKilled"
        and "SIGSEGV" in ran.text
        and "----> 3 ctypes.string_at(1)" in strip(ran.text)
    )
    assert "mecapy_jupyter" not in ran.text
    assert kernel.run("%%mecapy\nalive = 1").ok


def test_interrupting_the_kernel(kernel: Kernel) -> None:
    """The task is cancelled and its process dead soon; a KeyboardInterrupt ends the run;
    what was bound is here.
    """
    client = kernel.client
    message = client.execute(
        "%%mecapy\nimport os, time\nmine = 1\nprint(*os.getcwd(), flush=True)\ntime.sleep(600)"
    )
    while True:
        heard = client.get_iopub_msg(timeout=CELL_S)
        if heard["msg_type"] == "stream" and heard["parent_header"]["msg_id"] == message:
            break
    folder = heard["content"]["text"].strip()[::2]  # apart, or it would be the notebook's
    started = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=CELL_S)["content"]
    assert reply["status"] == "error" and reply["ename"] == "TaskCancelled"
    assert time.monotonic() - started < 300  # not by the end of its sleep
    assert kernel.value("mine") == "1"
    assert (
        kernel.value(
            "issubclass(__import__('mecapy_jupyter').errors.TaskCancelled, KeyboardInterrupt)"
        )
        == "True"
    )
    with contextlib.suppress(ProcessLookupError):
        psutil.Process(leader_in(folder)).wait(timeout=CELL_S)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--timeout soon", "duration"),
        ("--priority 12", "priority"),
        ("--nonsense", "nonsense"),
        ("-i nowhere", "nowhere"),
    ],
)
def test_a_wrong_line(kernel: Kernel, line: str, says: str) -> None:
    """An option that cannot be is named, and nothing runs."""
    ran = kernel.run(f"%%mecapy {line}\nran = 1")
    assert ran.error == "ConfigError" and says in ran.text
    assert kernel.value("'ran' in globals()") == "False"


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("MECAPY_TOKEN", "wrong", "NotAuthorized"),
        ("MECAPY_URL", "http://127.0.0.1:9", "ConnectionFailed"),
        ("MECAPY_URL", "ftp://x", "ConfigError"),
    ],
)
def test_a_wrong_address_or_token(
    kernel: Kernel, kernel_environment: dict[str, str], variable: str, value: str, error: str
) -> None:
    """Each says what is wrong and what to do, in one sentence; set right again,
    the next cell runs.
    """
    right = kernel_environment[variable]
    kernel.run(f"import os; os.environ[{variable!r}] = {value!r}")
    ran = kernel.run("%%mecapy\nx = 1")
    assert ran.error == error and len(ran.text.splitlines()) == 1
    kernel.run(f"os.environ[{variable!r}] = {right!r}")
    assert kernel.run("%%mecapy\nx = 1").ok


def strip(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_out_of_memory(kernel: Kernel) -> None:
    """What it used by then, what it may use, and the line; said by the worker that had to stop it,
    or, where the limit on the process itself was hit before the worker looked, by the cell's own
    error.
    """
    fill = "def fill(held):\n    while True:\n        held.append(bytearray(50_000_000))\n"
    ran = kernel.run(f"%%mecapy\n{fill}fill([])")
    assert "----> 4         held.append" in strip(ran.text), strip(ran.text)
    if ran.error == "MemoryError":
        assert "A task here may use" in ran.text
        return
    assert ran.error == "TaskOutOfMemory"
    used, most = (float(number) for number in re.findall(r"([\d.]+) GB", ran.text))
    assert used >= most == 4 and "smaller pieces" in ran.text


def test_stopped_while_its_error_is_shown(kernel: Kernel) -> None:
    """The line is where the error arose."""
    cell = (
        "import functools, time\nclass Slow(Exception):\n    __str__ = "
        "functools.partial(time.sleep, 90)\n\nraise Slow"
    )
    out_of_time(kernel, cell, "----> 6 raise Slow")


def test_an_array_larger_than_memory(kernel: Kernel) -> None:
    """NumPy's own MemoryError, at its line, with what a task may use."""
    ran = kernel.run("%%mecapy\nimport numpy as np\nnp.ones(10**14)")
    assert (
        ran.error == "MemoryError"
        and "----> 3" in strip(ran.text)
        and "A task here may use" in ran.text
    )


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "SIGABRT"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_a_process_that_ends(kernel: Kernel, code: str, says: str) -> None:
    """The signal or the exit code, and one thing to do."""
    ran = kernel.run(f"%%mecapy\n{code}")
    assert ran.error == "TaskKilled" and says in ran.text and ";" in ran.text
