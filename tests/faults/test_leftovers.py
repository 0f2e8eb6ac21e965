"""What a task may leave behind: nothing, also when it, its child, its zygote or its worker was
killed.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ..gate import Gate
from .processes import gone
from .promises import listed
from .stack import Stack

MESSY = """import os, tempfile, time
from multiprocessing import shared_memory
shared_memory.SharedMemory('left-' + os.urandom(8).hex(), create=True, size=1 << 20)
open(os.path.join(tempfile.gettempdir(), 'left'), 'wb').write(bytes(100_000))
os.open('/dev/null', os.O_RDONLY)
print('pid', os.getcwd(), flush=True)
{}
'left'"""


def shared() -> set[str]:
    """What our tasks made: programs of the whole machine come and go there."""
    return {path.name for path in Path("/dev/shm").glob("left-*")}


@pytest.mark.long
def test_nothing_is_left(stack: Stack, gate: Gate) -> None:
    """Tasks that make files, shared memory and open files; a third of them killed with their child,
    some with their worker. Then no file, no segment, no process and no descriptor is more than
    before.
    """
    stack.final(stack.submit("1", 1))
    worker = stack.of("worker")[0]
    shm, fds = shared(), psutil.Process(worker.pid).num_fds()
    for n in range(12):
        if n % 3:
            stack.final(stack.submit(MESSY.format(""), "left"))
        else:
            task = stack.submit(MESSY.format("time.sleep(600)"), state="failed")
            psutil.Process(pid := stack.pid_of(task)).kill()
            assert '"killed"' in stack.final(task)["outcome"] and gone(pid)
    task = stack.submit(MESSY.format(gate.wait), "left")
    pid = stack.pid_of(task)
    victim = stack.worker_of(task)
    offspring = victim.offspring()
    victim.kill()
    gate.open()
    assert stack.final(task)["attempt"] == 2 and gone(pid)
    assert psutil.wait_procs(offspring, timeout=120)[1] == []
    stack.worker()  # sweeps what its predecessor could not
    stack.until(lambda: not listed(stack.scratch, "**/left"), "no file is left")
    stack.until(lambda: shared() <= shm, "no shared memory is left")
    if worker.popen.poll() is None:
        stack.until(
            lambda: psutil.Process(worker.pid).num_fds() <= fds + 4, "no descriptor is left"
        )
