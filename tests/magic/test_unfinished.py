"""What a cell begins and does not wait for ends with it, and one line says so."""

from __future__ import annotations

import pytest

from .conftest import Kernel

FOREVER = "import threading, asyncio\nstop = threading.Event().wait\ndef w(): stop(600)\n"
UNFINISHED = {
    "a thread": ("threading.Thread(target=w).start()", "thread Thread-", "`.join()` it"),
    "a daemon": ("threading.Thread(target=w, daemon=True).start()", "thread Thread-", "`.join()`"),
    "a pool's work": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "for _ in range(2): (ex := ThreadPoolExecutor(1)).submit(w)\ndel ex, _",
        "threads ThreadPoolExecutor-",
        "`.result()` of its future",
    ),
    "a process": (
        "import multiprocessing\n"
        "multiprocessing.get_context('fork').Process(target=w, name='solver').start()",
        "process solver was",
        "`.join()` it",
    ),
    "an asyncio task": (
        "async def job(): await asyncio.sleep(600)\nasyncio.create_task(job());",
        "asyncio task job was",
        "`await` it",
    ),
}


@pytest.mark.cell("said", "Threads, processes, asyncio tasks that still run")
@pytest.mark.parametrize(("code", "what", "todo"), UNFINISHED.values(), ids=UNFINISHED)
def test_what_runs_on_is_named(kernel: Kernel, code: str, what: str, todo: str) -> None:
    """The message names it, and says what to do in the cell."""
    ran = kernel.run(f"%%mecapy\n{FOREVER}{code}")
    assert ran.ok, ran.text
    lines = [line for line in ran.stderr.splitlines() if "ended while" in line]
    assert len(lines) == 1 and what in lines[0] and todo in lines[0] and "lost" in lines[0], ran


DONE = """
import threading, asyncio
from concurrent.futures import ThreadPoolExecutor
thread = threading.Thread(target=lambda: None); thread.start(); thread.join(); del thread
ex = ThreadPoolExecutor(2); total = sum(ex.map(abs, range(5))); del ex
async def job(): return 3
three = await asyncio.create_task(job())
"""


@pytest.mark.cell("travels", "A running event loop")
def test_what_was_waited_for_is_not_mentioned(kernel: Kernel) -> None:
    """Nor is a pool that waits for work."""
    ran = kernel.run(f"%%mecapy{DONE}")
    assert ran.ok and ran.stderr == "", ran
    assert kernel.value("(total, three)") == "(10, 3)"


def test_a_loop_runs(kernel: Kernel) -> None:
    """So `asyncio.run` is refused as it is here, and a task can be made without `await`."""
    kernel.run("import asyncio\nasync def five(): return 5\ndef go(): return asyncio.run(five())")
    here, there = kernel.run("go()"), kernel.run("%%mecapy\ngo()")
    assert here.error == there.error == "RuntimeError", there
    assert "running event loop" in there.text
    assert kernel.run("%%mecapy\nrunning = asyncio.get_running_loop().is_running()").ok
    assert kernel.value("running") == "True"
