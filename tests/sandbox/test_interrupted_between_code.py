"""IPython prints an interrupt that hits code of its own, and goes on. So it waits for the cell's
code, or for the cell's end.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

_TASK = """
import signal, sys
from mecapy_worker.child import shell

def send(message, body):
    print("sent", type(message).__name__, body, file=out)

out = sys.stdout
task = shell.build()
shell.connect(task, send)

def stop(*_):
    signal.raise_signal(signal.SIGINT)

class Unshown(Exception):
    def __str__(self):
        stop()
        return "late"

task.user_ns.update(stop=stop, Unshown=Unshown, sys=sys)
{before}
try:
    task.run({code!r})
except KeyboardInterrupt as error:
    task.failure = error, []
ran = [name for name in ("first", "second") if name in task.user_ns]
print(type(task.failure[0]).__name__, ran, file=out)
"""
_WHILE_READ = "task.input_transformers_post.append(lambda lines: stop() or lines)"
_WHILE_COMPILED = """
class Visitor:
    def visit(self, tree):
        stop()
        return tree

task.ast_transformers.append(Visitor())
"""
_ASYNC = "import asyncio\nfirst = 1\nawait asyncio.sleep(0)\nstop()\nsecond = 2"


@pytest.mark.parametrize(
    ("before", "code", "ran"),
    [
        pytest.param(
            "task.events.register('pre_execute', stop)", "first = 1", [], id="before a cell"
        ),
        pytest.param(_WHILE_READ, "first = 1", [], id="while it is read"),
        pytest.param(_WHILE_COMPILED, "first = 1", [], id="while it is compiled"),
        pytest.param("", "first = 1\nraise Unshown", ["first"], id="while an error is formatted"),
        pytest.param("", "first = 1\nstop()\nsecond = 2", ["first"], id="in its code"),
        pytest.param("", _ASYNC, ["first"], id="in its loop"),
        pytest.param(_WHILE_READ, "first =", [], id="without code that runs"),
    ],
)
def test_it_is_not_printed(before: str, code: str, ran: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TASK.format(before=before, code=code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"KeyboardInterrupt {ran}\n", done.stderr
