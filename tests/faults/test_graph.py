"""Random graphs while workers are killed: every task ends as in a serial run, once."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ..gate import Gate
from ..graphs import Node, graphs, serial
from .asking import held
from .promises import settle
from .stack import Stack
from .task import Task

EXAMPLES = int(os.environ.get("MECAPY_EXAMPLES", "3"))
KILLED_EVERY_S = 1.5
CODE = """import time
time.sleep(0.05)
number = {number}
for value in [{values}]:
    number = (31 * number + value) % 1_000_003
{fail}number"""


def body(at: int, node: Node) -> dict[str, Any]:
    names = [f"v{parent}" for parent in node.parents]
    code = CODE.format(
        number=node.number, values=", ".join(names), fail="1 / 0\n" if node.fails else ""
    )
    needs = {name: f"node:n{name[1:]}:" for name in names}
    return {"code": code, "name": f"n{at}", "needs": needs}


def check(stack: Stack, nodes: list[Node]) -> None:
    tasks = {f"n{at}": body(at, node) for at, node in enumerate(nodes)}
    with stack.http() as http:
        answer = http.post("/workflows", json={"name": "random", "tasks": tasks})
        assert answer.status_code == 201, answer.text
    made = answer.json()
    ids = {task["name"]: task["task_id"] for task in made["tasks"]}
    for at, value in enumerate(serial(nodes)):
        state = "completed" if value is not None else "failed"
        stack.owed(Task(ids[f"n{at}"], value, state))
    killed_s = time.monotonic()

    def over() -> bool:
        nonlocal killed_s
        if time.monotonic() - killed_s > KILLED_EVERY_S:
            stack.of("worker")[0].kill()
            stack.worker()
            killed_s = time.monotonic()
        with stack.http() as http:
            return http.get(f"/workflows/{made['workflow_id']}").json()["status"] != "running"

    stack.until(over, "the end of the graph", within_s=240)
    settle(stack)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_random_graphs_with_kills(stack: Stack) -> None:
    """A worker is killed every 1.5 s; what a serial run completes is completed, with its value, and
    what fails there, or stands below it, fails. No attempt is counted twice.
    """

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck.__members__.values()],
    )
    @given(nodes=graphs(20, 40))
    def each(nodes: list[Node]) -> None:
        check(stack, nodes)

    each()


@pytest.mark.long
def test_a_graph_goes_on_when_its_worker_dies(stack: Stack, gate: Gate) -> None:
    """kill -9 of the worker of a parent: the parent runs again elsewhere, then its child does."""
    parent = stack.submit(held(gate, 20), 20)
    child = stack.submit("x + 1", 21, needs={"x": f"task:{parent.id}:"})
    stack.until_running(parent).kill()
    gate.open()
    stack.worker()
    assert stack.final(child)["attempt"] == 1
    assert stack.final(parent)["attempt"] == 2
