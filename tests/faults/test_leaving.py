"""SIGTERM, as every deploy sends it: workers hand back what they cannot finish, gateways end, and a
notebook notices nothing.
"""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client.client import Client

from ..gate import Gate
from .asking import balanced, held
from .processes import Process
from .proxy import Proxy
from .stack import TOKEN, Stack
from .task import Task, printed

LINES = [f"line {n}" for n in range(25)]
PRINTING = (
    "import time\nfor n in range(25):\n    print('line', n, flush=True)\n    "
    "time.sleep(0.1)\n'told'"
)


def test_a_leaving_worker_finishes_what_it_can(stack: Stack, gate: Gate) -> None:
    """A task that ends within the grace time ends there."""
    worker = stack.worker(GRACE_S="60")
    for other in stack.of("worker"):
        if other is not worker:
            stack.end(other)
    task = stack.submit(held(gate, "here"), "here")
    stack.until_running(task)
    worker.signal(signal.SIGTERM)
    gate.open()
    row = stack.final(task)
    assert row["attempt"] == 1 and worker.ended() == 0


def test_a_leaving_worker_hands_back_the_rest(stack: Stack, gate: Gate) -> None:
    """One that takes longer is handed back at once, at its old place: it runs elsewhere, and no
    attempt of its own is spent.
    """
    # It fails the first time that it comes to its end: that is its first failure, and `retries` has
    # one more try for it.
    code = f"print('up', flush=True)\n{gate.wait}1 / 0"
    task = stack.submit(code, state="failed", retries=1)
    worker = stack.until_running(task)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    gate.open()
    row = stack.final(task)
    assert (row["attempt"], row["losses"]) == (3, 0)
    with stack.http() as http:
        attempts = http.get(f"/tasks/{task.id}").json()["history"]
    assert [attempt["why"] for attempt in attempts] == ["worker_left", "cell", "cell"]
    assert str(worker.pid) in attempts[0]["worker"] and "ZeroDivision" not in attempts[0]["said"]
    assert all(attempt["started_at"] < attempt["ended_at"] for attempt in attempts)


@pytest.mark.long
def test_a_leaving_worker_takes_no_more(stack: Stack, gate: Gate) -> None:
    """A worker told to stop while the queue is long takes nothing more from it, and loses nothing
    of it.
    """
    busy = [stack.submit(held(gate, n), n) for n in range(4)]
    for task in busy:
        stack.until_running(task)
    waiting = [stack.submit(str(n), n) for n in range(20)]
    first, second = stack.of("worker")
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    gate.open()
    assert {stack.final(task)["losses"] for task in busy + waiting} == {0}
    assert all(str(second.pid) in stack.row(task)["worker"] for task in waiting)


@pytest.mark.long
def test_rolling_restart(stack: Stack) -> None:
    """Every gateway and every worker is replaced in turn while clients submit and follow printing
    tasks: no line is doubled or missing, no error reaches a client, and no attempt is spent.
    """
    gateways = [stack.of("gateway")[0], stack.gateway()]
    before = set(gateways + stack.of("worker"))
    with balanced(stack, gateways) as way:
        over = threading.Event()
        with ThreadPoolExecutor(4) as clients:
            followers = [clients.submit(_follow, stack, way, over) for _ in range(4)]
            try:
                for gateway in tuple(gateways):
                    _replace(stack, gateways, gateway)
                for worker in [one for one in stack.of("worker") if one in before]:
                    stack.worker(GRACE_S="1")
                    worker.signal(signal.SIGTERM)
                    assert worker.ended() == 0
            finally:
                over.set()
            told = [seen for follower in followers for seen in follower.result(100)]
    assert not before & set(stack.of("gateway") + stack.of("worker"))
    assert len(told) >= 8
    for task_id, events in told:
        stack.owed(Task(task_id, "told"))
        assert printed(events).splitlines() == LINES and [
            event.type for event in events if event.type in wire.FINAL
        ] == ["completed"]
    ids = [task_id for task_id, _ in told]
    assert stack.sql("SELECT count(*) FROM tasks WHERE id = ANY($1) AND losses > 0", ids)[0][0] == 0
    left = "SELECT count(*) FROM tasks WHERE id = ANY($1) AND jsonb_array_length(earlier) > 0"
    assert stack.sql(left, ids)[0][0] > 0, "no worker handed anything back"
    stack.end(stack.of("gateway")[-1])


def _follow(stack: Stack, way: Proxy, over: threading.Event) -> list[tuple[str, list[wire.Event]]]:
    """One notebook: a cell after another, until the restart is over. Its tasks, and all it heard of
    each.
    """
    client, told = Client(way.url, TOKEN), list[tuple[str, list[wire.Event]]]()
    while not over.is_set() or len(told) < 2:
        task = client.run(PRINTING, retries=0)
        try:
            assert task.result(240) == "told"
        except TimeoutError:
            raise AssertionError(
                f"{task.id} has no end: {task.outcome} "
                f"{stack.row(Task(task.id))['state']}\n{stack.logs()}"
            ) from None
        events = list[wire.Event]()
        while not events or events[-1].type not in wire.FINAL:
            event = task.events.get(timeout=120)
            assert isinstance(event, wire.Event), event
            events.append(event)
        told.append((task.id, events))
    client.shutdown()
    return told


def _replace(stack: Stack, gateways: list[Process], old: Process) -> None:
    """Another in its place, as a balancer sees it."""
    new = stack.gateway()
    gateways[gateways.index(old)] = new
    old.signal(signal.SIGTERM)
    assert old.ended() in (
        0,
        -signal.SIGTERM,
    )  # uvicorn ends itself by the signal it was sent, once all is closed
