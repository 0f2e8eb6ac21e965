"""Each error a user can meet is reached, and says what to do. Errors that take a whole machine to
reach are tried by their sentence here, and for real where the machine is: tests/worker,
tests/faults, tests/stack, tests/data.
"""

from __future__ import annotations

import inspect
import re
import signal
from pathlib import Path

import pytest

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import wire
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors
from mecapy_worker.run import failure_messages
from mecapy_worker.shared.messages import ExitStatus

from .conftest import Kernel
from .test_errors import strip

SETTINGS = Settings(
    max_memory_bytes=2 * 10**9, max_disk_bytes=10**9, max_output_bytes=10**8, max_result_bytes=10**9
)
SENTENCES: dict[str, tuple[wire.ErrorInfo, type[errors.MecapyError], str]] = {
    "memory": (
        failure_messages.limit("memory", 2_100_000_000, SETTINGS),
        errors.TaskOutOfMemory,
        "2.1 GB.*2 GB; work on smaller pieces",
    ),
    "disk": (
        failure_messages.limit("disk", 0, SETTINGS),
        errors.TaskDiskLimit,
        "1 GB.*; remove temporary files",
    ),
    "processes": (
        failure_messages.limit("processes", 0, SETTINGS),
        errors.TaskKilled,
        "limit of processes; start fewer",
    ),
    "output": (failure_messages.output(SETTINGS), errors.TaskOutputLimit, "100 MB.*; print less"),
    "timeout": (failure_messages.timeout(300.0), errors.TaskTimeout, "300 s.*--timeout 2h"),
    "no child": (failure_messages.no_child(30.0), errors.WorkerLost, "30 s; run it again later"),
    "lost": (
        failure_messages.died(ExitStatus(lost=True)),
        errors.WorkerLost,
        "died.*; run it again",
    ),
    "exit": (
        failure_messages.died(ExitStatus(code=3)),
        errors.TaskKilled,
        "exit code 3.*; look for os._exit",
    ),
    "result": (
        failure_messages.result_too_large(2 * 10**9, SETTINGS),
        errors.ResultTooLarge,
        "2 GB.*1 GB; bring home less with `-o`",
    ),
    "protocol": (
        failure_messages.protocol("no frame"),
        errors.ProtocolError,
        "no frame.*; do not write to file descriptors",
    ),
    "ours": (
        failure_messages.ours(ValueError()),
        errors.ProtocolError,
        "ValueError.*; run the cell again",
    ),
    "packages": (
        failure_messages.info(
            "packages",
            "The cell adds meshio, but this deployment does not install packages for tasks; "
            "ask its operators to install it on the workers.",
        ),
        errors.PackagesFailed,
        "meshio.*; ask its operators",
    ),
    "storage": (
        failure_messages.info(
            "storage", "The result could not be stored (disk); run the cell again."
        ),
        errors.StorageFailed,
        "; run the cell again",
    ),
    "python": (
        failure_messages.python("3.11", "3.13"),
        errors.PythonMismatch,
        "3.11.*3.13; use a kernel with Python 3.13",
    ),
    **{
        name: (
            failure_messages.died(ExitStatus(signal=getattr(signal, name))),
            errors.TaskKilled,
            f"{name}.*(;|most often)",
        )
        for name in (
            "SIGSEGV",
            "SIGBUS",
            "SIGABRT",
            "SIGFPE",
            "SIGKILL",
            "SIGSYS",
            "SIGXFSZ",
            "SIGTERM",
        )
    },
}
"""What a worker says: (its error, the class raised in the notebook, what the sentence holds)."""

CELLS = {
    "InputsNotOpened": (
        "def no(): raise ImportError('no module nolib')\nclass Odd:\n    def __reduce__(self): "
        "return no, ()\nodd = Odd()",
        "odd",
        "the variable 'odd': ImportError: no module nolib; install it on the workers",
    ),
    "CellError": (
        "",
        "class Odd(Exception):\n    def __reduce_ex__(self, _): raise TypeError('stays')\nraise "
        "Odd('overload')",
        "Odd: overload",
    ),
    "ProtocolError": (
        "",
        "import os\nfor fd in range(3, 40):\n    try: os.write(fd, b'x' * 64)\n    except "
        "OSError: pass",
        "do not write to file",
    ),
    "CannotSend": ("waiting = (n for n in range(3))", "list(waiting)", "waiting"),
    "TaskTimeout": ("", "%%mecapy --timeout 1\nwhile True: pass", "--timeout"),
    "TaskKilled": ("", "import os\nos._exit(3)", "look for os._exit"),
    "TaskCancelled": ("", "raise KeyboardInterrupt", "cancelled"),
    "ConfigError": ("", "%%mecapy --as\n1", "--help"),
    "NotFound": ("", "%mecapy attach 00000000", "%mecapy tasks"),
}
"""error: (what the notebook has, a cell that meets it, what to do)."""


@pytest.mark.parametrize(("info", "kind", "says"), SENTENCES.values(), ids=SENTENCES)
def test_what_a_worker_says(
    info: wire.ErrorInfo, kind: type[errors.MecapyError], says: str
) -> None:
    """The class names the reason, and the sentence, with its numbers, ends in one thing to do, also
    with the line it was at.
    """
    raised = bind.raised(wire.Outcome(wire.FAILED, error=failure_messages.at(info, 7)), bind.Home())
    assert type(raised) is kind
    assert re.search(says, str(raised)), str(raised)
    assert str(raised).endswith("It was at line 7.")


@pytest.mark.parametrize(("error", "cell"), CELLS.items(), ids=CELLS)
def test_met_in_a_notebook(kernel: Kernel, error: str, cell: tuple[str, str, str]) -> None:
    """Shown by its name, with what to do."""
    before, source, says = cell
    kernel.run(before)
    ran = kernel.run(source if source.startswith("%") else f"%%mecapy\n{source}")
    assert ran.error == error, ran.text
    assert says in strip(ran.text), ran.text


def test_every_class_has_a_test() -> None:
    """Each class of errors.py is named by a test, here or where what it takes is; the two roots are
    raised by nobody.
    """
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.MecapyError)
    }
    tests = "\n".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert {
        name for name in classes - {"MecapyError"} if not re.search(rf"\b{name}\b", tests)
    } == set()


def test_a_failure_without_a_reason() -> None:
    """Even then there is one thing to do."""
    raised = bind.raised(wire.Outcome(wire.FAILED), bind.Home())
    assert type(raised) is errors.TaskFailed and "run it again" in str(raised)


def test_each_kind_is_a_class_of_its_own() -> None:
    """No two reasons of a worker look the same in a notebook."""
    assert len(set(errors.BY_KIND.values())) == len(errors.BY_KIND)
