"""Results from worker to worker: a task opens what others returned."""

from __future__ import annotations

from typing import Any

from mecapy_backend.store.tasks import graph, settling
from mecapy_jupyter import wire
from mecapy_worker.run.consumer import Consumer

from .conftest import OWNER, Desk


def need(task_id: str, variable: str = "") -> str:
    return str(wire.Need(task_id, variable))


async def test_json_from_task_to_task(desk: Desk, worker: Consumer) -> None:
    """A need is the whole result, or one of its variables; the child waits, then has both."""
    mesh = await desk.submit("nodes = [1, 2, 3]\nname = 'plate'", outputs=("nodes", "name"))
    scale = await desk.submit("2.5")
    needs = {"nodes": need(mesh, "nodes"), "scale": need(scale)}
    child = await desk.submit("[scale * node for node in nodes]", enqueue=False, needs=needs)
    outcome = await desk.outcome(child)
    assert (outcome.state, outcome.result) == ("completed", [2.5, 5.0, 7.5])


async def test_a_failed_parent(desk: Desk, worker: Consumer) -> None:
    """Followers of the child hear that its parent failed, with the parent's own error."""
    parent = await desk.submit("1 / 0", name="mesh", enqueue=False)
    child = await desk.submit("x", enqueue=False, needs={"x": need(parent)})
    await desk.queue.enqueue(parent, OWNER)
    error = (await desk.outcome(child)).error
    assert error and (error.kind, error.type) == ("parent", "ZeroDivisionError")
    assert error.message.startswith(f"the task 'mesh' ({parent[:8]})")


async def test_a_variable_that_is_not_there(desk: Desk, worker: Consumer) -> None:
    """The error names the variable and the parent."""
    parent = await desk.submit("a = 1", outputs=("a",), name="mesh")
    error = await desk.failed("b", enqueue=False, needs={"b": need(parent, "b")})
    assert error.kind == "inputs" and "'mesh'" in error.message and "'b'" in error.message


async def test_an_end_that_nobody_settled(desk: Desk, worker: Consumer, monkeypatch: Any) -> None:
    """The reconciler releases children whose parent ended where nobody could settle it."""
    settle = settling.settle

    async def dies(*_: object, **__: object) -> graph.Settled:
        monkeypatch.setattr(settling, "settle", settle)
        raise OSError("the worker dies here")

    monkeypatch.setattr(settling, "settle", dies)
    parent = await desk.submit("20", enqueue=False)
    child = await desk.submit("x + 1", enqueue=False, needs={"x": need(parent)})
    await desk.queue.enqueue(parent, OWNER)
    assert (await desk.outcome(child)).result == 21
