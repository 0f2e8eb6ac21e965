"""Sweeps over REST: points, the tasks that compute them, and what pause and cancel end."""

from __future__ import annotations

from typing import Any

from mecapy_backend.store import sweeps
from mecapy_jupyter import wire

from .speak import Worker, client

KEYS = [f"{number:032x}" for number in range(4)]


async def test_a_sweep_keeps_its_points_and_its_tasks(gateway: Any) -> None:
    """In order, each task with its points; `since` brings only what ended; the same name again
    has new points and keeps its tasks. A deleted task is no part any more.
    """
    with client(gateway) as http:
        sweep = {"name": "beam study", "points": KEYS, "about": {"code": "ab"}}
        assert http.post("/sweeps", json=sweep).json()["tasks"] == []
        parts = KEYS[:3], KEYS[3:]
        first, second = (
            http.post("/tasks", json={"code": "1", "sweep": "beam study", "points": part}).json()
            for part in parts
        )
        found = http.get("/sweeps/beam study").json()
        assert (found["points"], found["about"], found["state"]) == (
            KEYS,
            {"code": "ab"},
            "running",
        )
        assert [(each["task_id"], each["points"]) for each in found["tasks"]] == [
            (first["task_id"], KEYS[:3]),
            (second["task_id"], KEYS[3:]),
        ]
        async with Worker(gateway) as worker:
            await worker.start(first["task_id"])
            await worker.finish(first["task_id"], wire.Outcome(wire.COMPLETED, result=1))
        new = http.get("/sweeps/beam study", params={"since": found["at"]}).json()
        assert [each["status"] for each in new["tasks"]] == ["completed"] and new["points"] == []
        again = http.post("/sweeps", json=sweep | {"points": KEYS[1:]}).json()
        assert again["points"] == KEYS[1:] and len(again["tasks"]) == 2
        http.delete(f"/tasks/{second['task_id']}")
        assert len(http.get("/sweeps/beam study").json()["tasks"]) == 1
        (listed,) = http.get("/sweeps").json()["sweeps"]
        assert (listed["name"], listed["point_count"], listed["tasks"]) == ("beam study", 3, [])


async def test_pause_ends_what_waits_and_cancel_what_runs(gateway: Any) -> None:
    """A task outside the sweep is left alone; another owner's sweep of that name, too."""
    with client(gateway) as http:
        http.post("/sweeps", json={"name": "s", "points": KEYS})
        runs, waits = (
            http.post("/tasks", json={"code": "1", "sweep": "s", "points": [key]}).json()["task_id"]
            for key in KEYS[:2]
        )
        other = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        async with Worker(gateway) as worker:
            await worker.start(runs)

            def states() -> list[Any]:
                return [
                    http.get(f"/tasks/{task}").json()["status"] for task in (runs, waits, other)
                ]

            assert http.post("/sweeps/s/pause").json()["state"] == "paused"
            assert states() == ["running", "cancelled", "queued"]
            assert http.post("/sweeps/s/resume").json()["state"] == "running"
            assert http.post("/sweeps/s/cancel").json()["state"] == "cancelled"
            assert http.get(f"/tasks/{runs}").json()["cancel_requested"]
            assert states() == ["running", "cancelled", "queued"]
            assert not await sweeps.change_state(worker.db, worker.redis, "bob", "s", "cancelled")
        assert http.get("/sweeps/none").json()["type"].endswith("no-such-sweep")


async def test_a_sweep_without_tasks_is_forgotten_in_time(gateway: Any) -> None:
    """As long as tasks are kept; one that has a task stays."""
    with client(gateway) as http:
        for name in ("with", "without"):
            http.post("/sweeps", json={"name": name, "points": KEYS})
        http.post("/tasks", json={"code": "1", "sweep": "with", "points": KEYS})
        async with Worker(gateway) as worker:
            await sweeps.forget_old(worker.db, 3600)
            assert len(http.get("/sweeps").json()["sweeps"]) == 2
            await sweeps.forget_old(worker.db, 0)
        assert [each["name"] for each in http.get("/sweeps").json()["sweeps"]] == ["with"]
