"""Workflows over REST, on a real gateway; a worker is played by the store's own functions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mecapy_backend.store import database, new_workflow, tasks, workflows
from mecapy_backend.store.tasks import graph
from mecapy_jupyter import wire

from ..conftest import RunningGateway
from .speak import events_of

DONE = wire.Outcome(wire.COMPLETED, result=1)
BROKEN = wire.Outcome(wire.FAILED, error=wire.ErrorInfo("cell", "ValueError", "no mesh"))
LOADS = {
    "mesh": {"code": "1"},
    "wind": {"code": "mesh + 1", "needs": {"mesh": "node:mesh:"}},
    "snow": {"code": "mesh + 2", "needs": {"mesh": "node:mesh:"}},
    "post": {"code": "a + b", "needs": {"a": "node:wind:", "b": "node:snow:"}},
}


@pytest.fixture
def http(gateway: RunningGateway) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=120) as client:
        yield client


class Worker:
    """Runs what is queued, with outcomes of the test's choice."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, task_id: str, outcome: wire.Outcome = DONE) -> None:
        asyncio.run(self._run(task_id, outcome))

    async def _run(self, task_id: str, outcome: wire.Outcome) -> None:
        db = database.connect(self._url, connect_s=60)
        try:
            started = await tasks.start(db, task_id, "w", 60)
            assert started, "not queued"
            done = await tasks.finish(db, task_id, started.attempt, outcome)
            if done and done.awaited:
                await graph.settle(db, [task_id])
        finally:
            await db.dispose()


@pytest.fixture
def worker(database_url: str) -> Worker:
    return Worker(database_url)


def states(workflow: Any) -> dict[str, str]:
    return {task["name"]: task["status"] for task in workflow["tasks"]}


def ids(workflow: Any) -> dict[str, str]:
    return {task["name"]: task["task_id"] for task in workflow["tasks"]}


def test_from_its_making_to_its_end(http: httpx.Client, worker: Worker) -> None:
    """A graph given at once: edges, states and progress, task by task; then it is deleted."""
    answer = http.post("/workflows", json={"name": "nightly", "tasks": LOADS})
    assert answer.status_code == 201
    made = answer.json()
    path, id_of = f"/workflows/{made['workflow_id']}", ids(made)
    assert answer.headers["location"] == path
    assert states(made) == {
        "mesh": "queued",
        "wind": "blocked",
        "snow": "blocked",
        "post": "blocked",
    }
    edges = {task["name"]: set(task["parents"]) for task in made["tasks"]}
    assert edges["post"] == {id_of["wind"], id_of["snow"]} and edges["mesh"] == set()
    assert (made["status"], made["progress"]) == ("running", 0.0)
    for name in ("mesh", "snow", "wind", "post"):
        worker.run(id_of[name])
    shown = http.get(path).json()
    assert (shown["status"], shown["progress"], shown["counts"]) == (
        "completed",
        1.0,
        {"completed": 4},
    )
    (listed,) = http.get("/workflows").json()["workflows"]
    assert listed == shown | {"tasks": []}
    look = http.get(f"/tasks/{id_of['post']}").json()
    assert set(look["parents"]) == edges["post"] and look["workflow"] == made["workflow_id"]
    assert http.delete(path).status_code == 204
    assert http.get(path).status_code == http.get(f"/tasks/{id_of['post']}").status_code == 404


def test_retry_from_what_failed(http: httpx.Client, worker: Worker) -> None:
    """What is completed is kept; the failed task and all below it run again, under their ids."""
    made = http.post("/workflows", json={"name": "n", "tasks": LOADS}).json()
    path, id_of = f"/workflows/{made['workflow_id']}", ids(made)
    worker.run(id_of["mesh"])
    worker.run(id_of["wind"], BROKEN)
    assert states(http.get(path).json())["post"] == "failed"
    retried = http.post(f"{path}/retry").json()
    assert states(retried) == {
        "mesh": "completed",
        "wind": "queued",
        "snow": "queued",
        "post": "blocked",
    }
    assert ids(retried) == id_of
    for name in ("wind", "snow", "post"):
        worker.run(id_of[name])
    assert http.get(path).json()["status"] == "completed"
    history = http.get(f"/tasks/{id_of['wind']}").json()["history"]
    assert [attempt["why"] for attempt in history] == ["retried", "completed"]


def test_cancelled_as_a_whole_and_retried(http: httpx.Client, worker: Worker) -> None:
    """What is completed stays; the rest is cancelled, and waits again when it is retried."""
    made = http.post("/workflows", json={"name": "n", "tasks": LOADS}).json()
    path, id_of = f"/workflows/{made['workflow_id']}", ids(made)
    worker.run(id_of["mesh"])
    cancelled = http.post(f"{path}/cancel").json()
    assert cancelled["counts"] == {"completed": 1, "cancelled": 3}
    assert cancelled["status"] == "cancelled"
    retried = http.post(f"{path}/retry").json()
    assert retried["counts"] == {"completed": 1, "queued": 2, "blocked": 1}


def test_a_parent_elsewhere_that_failed(http: httpx.Client, worker: Worker) -> None:
    """Retried without it, the children fail again at once, naming it."""
    outside = http.post("/tasks", json={"code": "1", "name": "outside"}).json()["task_id"]
    worker.run(outside, BROKEN)
    needs = {"x": f"task:{outside}:"}
    body = {"name": "n", "tasks": {"child": {"code": "x", "needs": needs}}}
    made = http.post("/workflows", json=body).json()
    assert made["counts"] == {"failed": 1}
    again = http.post(f"/workflows/{made['workflow_id']}/retry").json()
    assert again["counts"] == {"failed": 1}
    error = http.get(f"/tasks/{made['tasks'][0]['task_id']}").json()["error"]
    assert error["kind"] == "parent" and "'outside'" in error["message"]


def test_cycles_and_what_is_not_there(http: httpx.Client) -> None:
    """A circle is named in its order; nothing of a refused workflow is left."""

    def needs(*names: str) -> dict[str, Any]:
        return {"code": "1", "needs": {f"v{at}": f"node:{name}:" for at, name in enumerate(names)}}

    circle = {"a": needs("c"), "b": needs("a"), "c": needs("b"), "d": {"code": "1"}}
    answer = http.post("/workflows", json={"name": "n", "tasks": circle})
    assert answer.status_code == 422 and answer.json()["type"] == "urn:mecapy:problem:cycle"
    assert set(answer.json()["cycle"]) == {"a", "b", "c"}
    assert "a" in answer.json()["detail"] and "d" not in answer.json()["cycle"]
    missing = http.post("/workflows", json={"name": "n", "tasks": {"a": needs("nobody")}})
    assert missing.status_code == 422 and "'nobody'" in missing.json()["detail"]
    nowhere = {"code": "1", "needs": {"x": f"task:{'0' * 8}-0000-4000-8000-{'0' * 12}:"}}
    assert http.post("/workflows", json={"name": "n", "tasks": {"a": nowhere}}).status_code == 404
    assert http.get("/workflows").json()["workflows"] == []
    assert http.get("/tasks").json()["tasks"] == []


def test_tasks_that_name_their_workflow(http: httpx.Client) -> None:
    """An empty workflow grows by `POST /tasks`; the same key makes it once, and with another body
    it is refused.
    """
    key = {"Idempotency-Key": "once"}
    made, again = (
        http.post("/workflows", json={"name": "grows"}, headers=key).json() for _ in range(2)
    )
    assert made == again and made["status"] == "empty"
    for other in ({"name": "other"}, {"name": "grows", "tasks": {"a": {"code": "1"}}}):
        refused = http.post("/workflows", json=other, headers=key)
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith("this Idempotency-Key was used for another body")
    workflow = made["workflow_id"]
    parent = http.post("/tasks", json={"code": "1", "workflow": workflow}).json()
    body = {"code": "x", "needs": {"x": f"task:{parent['task_id']}:"}, "workflow": workflow}
    child = http.post("/tasks", json=body | {"name": "child"}).json()
    assert child["status"] == "blocked"
    (waits,) = events_of(http.get(f"/tasks/{child['task_id']}/events?follow=false"))
    assert waits.data["waits_for"] == parent["task_id"][:8]
    last = {"code": "x", "needs": {"x": f"task:{child['task_id']}:"}}
    with http.stream("POST", "/tasks", json=last, headers={"Accept": "text/event-stream"}) as live:
        assert any('"waits_for":"child"' in line for line in live.iter_lines())
    assert http.get(f"/workflows/{workflow}").json()["counts"] == {"queued": 1, "blocked": 1}
    lost = {"code": "1", "workflow": parent["task_id"]}
    assert http.post("/tasks", json=lost).json()["type"] == "urn:mecapy:problem:no-such-workflow"


def test_needed_by_tasks_elsewhere(http: httpx.Client, worker: Worker) -> None:
    """A workflow is not deleted while somebody outside waits for its results."""
    made = http.post("/workflows", json={"name": "n", "tasks": {"a": {"code": "1"}}}).json()
    parent = made["tasks"][0]["task_id"]
    worker.run(parent)
    child = http.post("/tasks", json={"code": "x", "needs": {"x": f"task:{parent}:"}}).json()
    refused = http.delete(f"/workflows/{made['workflow_id']}")
    assert refused.status_code == 409 and refused.json()["needed_by"] == [child["task_id"]]
    worker.run(child["task_id"])
    assert http.delete(f"/workflows/{made['workflow_id']}").status_code == 204


def test_more_than_may_wait(http: httpx.Client) -> None:
    """Blocked tasks count: a workflow above the owner's limit is refused as a whole."""
    nodes = {f"n{number}": {"code": "1"} for number in range(1001)}
    answer = http.post("/workflows", json={"name": "n", "tasks": nodes})
    assert answer.status_code == 429 and http.get("/workflows").json()["workflows"] == []


@pytest.mark.long
async def test_ten_thousand_tasks(db: Any) -> None:
    """A graph of 10,000 tasks in layers of a hundred is made at once, and cancelled at once."""

    def node(layer: int, at: int) -> new_workflow.Node:
        above = {"a": at, "b": (at + 1) % 100} if layer else {}
        needs = {name: (f"t{layer - 1}.{parent}", "") for name, parent in above.items()}
        return new_workflow.Node(wire.TaskRequest("1").as_json(), needs)

    nodes = {f"t{layer}.{at}": node(layer, at) for layer in range(100) for at in range(100)}
    made = await new_workflow.create(db, "ann", "large", nodes, max_queued=10_000)
    assert len(made.queued) == 100
    found = await workflows.get(db, "ann", made.workflow_id)
    assert found and found.counts == {"queued": 100, "blocked": 9_900}
    started = await tasks.start(db, made.queued[0].id, "w", 10)
    assert started and await tasks.finish(db, started.task_id, 1, BROKEN)
    below = await graph.settle(db, [started.task_id])
    assert len(below.failed) == sum(min(layer + 1, 100) for layer in range(1, 100))
    assert len(await workflows.cancel(db, "ann", made.workflow_id)) == 9_999 - len(below.failed)
