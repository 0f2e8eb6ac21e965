"""A notebook is left while its task runs, and taken up again: nothing is lost, nothing runs twice
unasked.
"""

from __future__ import annotations

import os
import queue
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from ..gate import Gate
from .conftest import CELL_S, Kernel

CELL = "%%mecapy\nprint('one', flush=True)\n{wait}print('two')\ntotal = sum(data)\ndata.append(4)\n"


@pytest.fixture
def kernels(kernel_environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Starts kernels in one folder: the same notebook, before and after a restart."""
    begun = list[Kernel]()

    def start() -> Kernel:
        state = {"XDG_STATE_HOME": str(tmp_path / "state")}
        manager, client = start_new_kernel(
            startup_timeout=240,
            env=kernel_environment | state,
            cwd=str(tmp_path),
            extra_arguments=["--log-level=ERROR"],
        )
        begun.append(Kernel(manager, client))
        assert begun[-1].run("%load_ext mecapy_jupyter").ok
        return begun[-1]

    yield start
    for kernel in begun:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


def left_behind(kernel: Kernel, cell: str) -> None:
    """Run a cell until it has printed, then kill the kernel with SIGKILL."""
    message = kernel.client.execute(cell, allow_stdin=False)
    while True:
        heard = kernel.client.get_iopub_msg(timeout=CELL_S)
        if heard["msg_type"] == "stream" and heard["parent_header"]["msg_id"] == message:
            break
    os.kill(kernel.manager.provisioner.process.pid, signal.SIGKILL)  # pyright: ignore


def running(kernel: Kernel, cell: str, answer: str | None = None) -> Iterator[str]:
    """Run a cell, answering its question, and give each piece of what it prints; what it asks comes
    as `? …`.
    """
    client = kernel.client
    message = client.execute(cell, allow_stdin=answer is not None)
    while True:
        if answer is not None and client.stdin_channel.msg_ready():
            yield "? " + client.get_stdin_msg(timeout=CELL_S)["content"]["prompt"]
            client.input(answer)
        try:
            heard = client.get_iopub_msg(timeout=0.1)
        except queue.Empty:
            continue
        if heard["parent_header"].get("msg_id") != message:
            continue
        if heard["msg_type"] == "stream":
            yield heard["content"]["text"]
        if heard["msg_type"] == "status" and heard["content"]["execution_state"] == "idle":
            client.get_shell_msg(timeout=CELL_S)
            return


def opening(gate: Gate, pieces: Iterator[str]) -> str:
    """All that is printed; the gate opens after the first piece that the
    waiting cell itself says.
    """
    said = ""
    for piece in pieces:
        said += piece
        if "one" in said:
            gate.open()
    return said


def names(kernel: Kernel, name: str) -> int:
    return sum(name in line for line in kernel.run("%mecapy tasks").stdout.splitlines())


def test_attach_after_the_kernel_was_killed(kernels: Any, gate: Gate) -> None:
    """The whole output is replayed, it goes on live, and the variables are bound, the changed input
    too.
    """
    first = kernels()
    first.run("data = [1, 2, 3]")
    left_behind(first, CELL.format(wait=gate.wait))
    second = kernels()
    assert opening(gate, running(second, "%mecapy attach last")) == "one\ntwo\n"
    assert second.value("(total, data)") == "(6, [1, 2, 3, 4])"


def test_the_same_cell_again_does_not_run_twice(kernels: Any, gate: Gate) -> None:
    """It asks, and attaches unless told otherwise; where nobody can be asked it attaches and says
    so; a yes submits a second task.
    """
    first, name = kernels(), uuid.uuid4().hex
    cell = CELL.format(wait=gate.wait).replace("%%mecapy", f"%%mecapy --name {name}")
    first.run("data = [1, 2, 3]")
    left_behind(first, cell)
    second = kernels()
    second.run("data = [1, 2, 3]")
    left_behind(second, cell)  # not asked: attached, and left again
    third = kernels()
    third.run("data = [1, 2, 3]")
    said = opening(gate, running(third, cell, "n"))
    assert said.startswith("? This cell's task") and "second time" in said
    assert "nothing was submitted" in said and said.endswith("one\ntwo\n")
    assert third.value("(total, data)") == "(6, [1, 2, 3, 4])" and names(third, name) == 1
    assert "?" not in "".join(running(third, cell, "n")) and names(third, name) == 2


def test_a_yes_submits_a_second_task(kernels: Any, gate: Gate) -> None:
    """Also of a background task of this kernel. Where nobody can be asked, this kernel's own do not
    stand in each other's way.
    """
    kernel, name = kernels(), uuid.uuid4().hex
    cell = f"%%mecapy --bg --name {name}\n{gate.wait}"
    assert kernel.run(cell).ok
    assert "second time" in "".join(running(kernel, cell, "y")) and names(kernel, name) == 2
    assert kernel.run(cell).ok and names(kernel, name) == 3


def test_a_notebook_run_twice_at_once_without_a_server(kernels: Any, gate: Gate) -> None:
    """Two runs in one folder, whom nobody tells apart: each gets the result of its own inputs."""
    cell = f"%%mecapy\nprint('one', flush=True)\n{gate.wait}y = 10 * k"
    first, second = kernels(), kernels()
    first.run("k = 1")
    second.run("k = 2")
    pieces = running(first, cell)
    assert next(pieces) == "one\n"
    said = opening(gate, running(second, cell))
    assert "".join(pieces) == "" and "attached" not in said
    assert (first.value("y"), second.value("y")) == ("10", "20")


def test_what_a_kernel_left_behind_with_other_inputs(kernels: Any, gate: Gate) -> None:
    """Where nobody can be asked, it is not taken for this cell's task."""
    cell = f"%%mecapy\nprint('one', flush=True)\n{gate.wait}y = 10 * k"
    first = kernels()
    first.run("k = 1")
    left_behind(first, cell)
    second = kernels()
    second.run("k = 2")
    assert "attached" not in opening(gate, running(second, cell))
    assert second.value("y") == "20"


def submitted_by_hundreds(kernel: Kernel, name: str, count: int, code: str) -> None:
    """So many tasks at once, and none is waited for."""
    ran = kernel.run(
        "from mecapy_jupyter import Client\ngateway = Client().gateway\n"
        f"for _ in range({count}): gateway.post('/tasks', {{'name': {name!r}, 'code': {code!r}}})"
    )
    assert ran.ok, ran.text


def test_a_task_older_than_the_last_page(kernel: Kernel) -> None:
    """It is found by its id, and by the beginning of it."""
    assert kernel.run("%%mecapy --name old\nprint('said long ago')\nold = 1").ok
    old = kernel.run("%mecapy tasks").stdout.split()[0]
    submitted_by_hundreds(kernel, "newer", 101, "1")
    for wanted in (old, old[:13]):
        assert kernel.run(f"%mecapy logs {wanted}").stdout == "said long ago\n"
    ran = kernel.run("%mecapy logs 00000000-0000-0000-0000-000000000000")
    assert ran.error == "NotFound" and kernel.run("%mecapy logs zebra").error == "NotFound"


def test_cancel_all_leaves_none(kernel: Kernel, gate: Gate) -> None:
    """However many wait and run."""
    submitted_by_hundreds(kernel, "held", 130, gate.wait)
    ran = kernel.run("%mecapy cancel all")
    assert ran.ok and ran.stdout.count(" held: cancelled") == 130, ran
    assert "nothing to cancel" in kernel.run("%mecapy cancel all").stdout


def test_an_underscore_that_the_cell_binds(kernel: Kernel) -> None:
    """It is a variable as here, and the shell's last value no more; where the cell leaves it alone
    it stays the last value.
    """
    assert kernel.run("5").results
    assert kernel.run("%%mecapy\nx = _ + 1\nx").results
    assert kernel.value("_") == "6"
    assert kernel.run("%%mecapy\nfor _ in range(3): pass").ok
    assert kernel.run("7").results
    assert kernel.value("_") == "2"
    kernel.run("del _")


def test_what_a_cell_registers_with_the_shell_is_said(kernel: Kernel) -> None:
    """Magics and callbacks of the user's, once; not what a library registers."""
    ran = kernel.run(
        "%%mecapy\nfrom IPython.core.magic import register_line_magic\nimport matplotlib.pyplot\n"
        "@register_line_magic\ndef rig(line): return line\n%alias_magic -c again time\n"
        "get_ipython().events.register('pre_run_cell', rig)"
    )
    said = "the magic %rig, the magic %%again, the callback of pre_run_cell, which the cell "
    assert f"mecapy: {said}registered with IPython, did not come home" in ran.stderr, ran
    assert "registered" not in kernel.run("%%mecapy\nimport matplotlib.pyplot\nx = 1").stderr
