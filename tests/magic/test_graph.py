"""A cell that reads a task of ours: the server waits for it, and the cell finds it finished."""

from __future__ import annotations

from .conftest import Kernel


def test_a_cell_reads_a_pending_task(kernel: Kernel) -> None:
    """Inside the cell the name is a finished Future; here it stays the task that it was."""
    kernel.run("%%mecapy --bg --as mesh\nimport time; time.sleep(2); list(range(4))")
    ran = kernel.run("%%mecapy\nnodes = mesh.result()\nready = mesh.done()\nsame = mesh")
    assert ran.ok, ran.text
    shown = kernel.run("print(nodes, ready, same is mesh, type(mesh).__name__)").stdout
    assert shown == "[0, 1, 2, 3] True True Task\n"


def test_a_cell_below_a_failed_task(kernel: Kernel) -> None:
    """It fails with the name and the error of what it needed."""
    kernel.run("%%mecapy --bg --as mesh --name plate\n1 / 0")
    ran = kernel.run("%%mecapy\nmesh.result()")
    assert ran.error == "ParentFailed" and "'plate'" in ran.text and "division by zero" in ran.text
