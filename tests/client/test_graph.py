"""Futures of ours as inputs: the graph is kept by the server."""

from __future__ import annotations

import time
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mecapy_jupyter import Client, Task, workflow
from mecapy_jupyter.client import task as tasks
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.workflow_picture import layers_of

from ..graphs import Node, graphs, mixed, serial


@dataclass
class Mesh:
    nodes: Any
    name: str = "plate"


def mesh(count: int) -> Mesh:
    return Mesh(np.linspace(0.0, 1.0, count))


def solve(mesh: Mesh, loads: list[float]) -> Any:
    assert isinstance(mesh, Mesh)
    return mesh.nodes * sum(loads)


def assemble(parts: dict[str, list[Any]], factor: float = 1.0) -> float:
    return factor * sum(float(part.max()) for part in parts["solutions"])


def fails(_: Any) -> None:
    raise ZeroDivisionError("no stiffness")


def test_a_chain_of_futures(client: Client) -> None:
    """Futures among arguments, also inside of lists and dicts, are the results there: large arrays,
    instances of the script's own classes. Nothing waits here.
    """
    plate = client.submit(mesh, 200_000)
    solutions = [client.submit(solve, plate, [load, 1.0]) for load in (1.0, 2.0)]
    total = client.submit(assemble, {"solutions": [*solutions]}, factor=2.0)
    assert total.result(timeout=300) == 2.0 * (2.0 + 3.0)
    assert plate.result(timeout=300).name == "plate"
    again = client.submit(assemble, {"solutions": [solutions[0]]})  # one that is done
    assert again.result(timeout=300) == 2.0


def test_a_failed_parent(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its children fail with its error and its name; here its own exception is the cause."""
    monkeypatch.setattr(tasks, "_STOPPED_S", 240.0)  # it is waited for longer: a busy machine
    broken = client.submit(fails, 1)
    child = client.submit(solve, broken, [1.0])
    below = client.submit(assemble, {"solutions": [child]})
    for future in (child, below):
        with pytest.raises(errors.ParentFailed, match=r"'fails' .*no stiffness") as failed:
            future.result(timeout=300)
        assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_cancelled_both_ways(client: Client) -> None:
    """`cancel()` ends one task, and what needs it fails; with `descendants` all is cancelled."""
    for descendants in (False, True):
        first = client.submit(time.sleep, 600)
        child = client.submit(solve, first, [1.0])
        below = client.submit(assemble, {"solutions": [child]})
        assert first.cancel(descendants=descendants)
        if descendants:
            assert not wait([first, child, below], timeout=300).not_done
            assert first.cancelled() and child.cancelled() and below.cancelled()
        else:
            with pytest.raises(errors.ParentFailed, match="was cancelled"):
                below.result(timeout=300)


def test_a_workflow(client: Client) -> None:
    """What is submitted inside `with` belongs to it: its states, edges and picture; what failed is
    run again with `retry`.
    """
    with workflow("nightly", client=client) as nightly:
        plate = client.submit(mesh, 10)
        solution = client.submit(solve, plate, [1.0])
        flaky = client.submit(fails, plate)
        last = client.submit(assemble, {"solutions": [solution, flaky]})
    outside = client.submit(solve, plate, [2.0])
    assert solution.result(timeout=300).max() == outside.result(timeout=300).max() / 2 == 1.0
    with pytest.raises(errors.ParentFailed):
        last.result(timeout=300)
    assert (nightly.status, nightly.progress) == ("failed", 0.5)
    names = [[task.name for task in layer] for layer in layers_of(nightly.look().tasks)]
    assert names == [["mesh"], ["solve", "fails"], ["assemble"]]
    shown = nightly.show()
    assert shown.svg.count("<rect") == 4 and shown.svg.count("<path") == 4
    assert "fails [failed] ← mesh" in str(shown)
    assert nightly.name in nightly._repr_html_() and "2 of 4 completed" in repr(nightly)
    again = nightly.retry()
    assert [future.name for future in again] == ["fails", "assemble"]
    with pytest.raises(ZeroDivisionError):
        again[0].result(timeout=300)
    found = workflow(id=nightly.id, client=client)
    assert [future.id for future in found.tasks()][:2] == [plate.id, solution.id]
    nightly.delete()
    with pytest.raises(errors.NotFound):
        found.look()


def number_of(number: int, fails: bool, values: list[int]) -> int:
    if fails:
        raise ZeroDivisionError
    return mixed(number, *values)


def test_random_graphs(client: Client) -> None:
    """Any graph of Futures ends as a serial run does: the same values, the same failures."""

    @settings(
        max_examples=3,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(nodes=graphs(4, 8))
    def each(nodes: list[Node]) -> None:
        futures: list[Task] = []
        for node in nodes:
            values = [futures[parent] for parent in node.parents]
            futures.append(client.submit(number_of, node.number, node.fails, values))
        ended = [(future, future.exception(timeout=300)) for future in futures]
        assert [None if error else future.result() for future, error in ended] == serial(nodes)

    each()
