"""What the gateway knows of living workers: packages, Pythons, and when a task may start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.api import live_pythons
from mecapy_backend.api.problems import Problem
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import workers

from .speak import Worker, client
from .test_gateway import DONE


async def test_workers_and_eta(gateway: Any) -> None:
    """Living workers are listed with what they say of themselves; with them and a finished task, a
    wait is estimated.
    """
    with client(gateway) as http:
        first, *_, last = (
            http.post("/tasks", json={"code": "1"}).json()["task_id"] for _ in range(5)
        )
        assert http.get(f"/tasks/{last}").json()["eta_s"] is None
        async with Worker(gateway) as worker:
            await workers.heartbeat(worker.db, "w1", {"slots": 0})
            await workers.heartbeat(worker.db, "w1", {"slots": 2, "python": "3.12.1"})
            assert [one["info"] for one in http.get("/workers").json()] == [
                {"slots": 2, "python": "3.12.1"}
            ]
            await worker.start(first)
            await worker.finish(first, DONE)
            assert http.get(f"/tasks/{last}").json()["eta_s"] >= 0
            await workers.remove(worker.db, "w1")
            assert http.get("/workers").json() == []


async def test_what_all_workers_have(gateway: Any) -> None:
    """A package counts where every living worker has it, with each version; heartbeats keep it; one
    that has not told does not count.
    """
    with client(gateway) as http:
        folder = {"folder_bytes": 20_000_000, "folder_files": 1000, "adds": "off"}
        assert http.get("/workers/packages").json() == {"python": [], "packages": {}, **folder}
        async with Worker(gateway) as worker:
            assert not await workers.record_packages(worker.db, "w1", {})
            for name, version in (("w1", "2.1"), ("w2", "2.2"), ("w3", "")):
                await workers.heartbeat(worker.db, name, {"python": "3.12.1"})
                found = {"numpy": ["numpy", version], "PIL": ["pillow", "11"]} | (
                    {"only": ["only", "1"]} if name == "w2" else {}
                )
                assert not version or await workers.record_packages(worker.db, name, found)
                await workers.heartbeat(worker.db, name, {"python": "3.12.1", "running": 1})
            answer = http.get("/workers/packages").json()
            assert answer == {
                **folder,
                "python": ["3.12"],
                "packages": {"PIL": ["pillow", "11"], "numpy": ["numpy", "2.1", "2.2"]},
            }


async def test_a_python_that_no_worker_has(gateway: Any) -> None:
    """Refused, with the Pythons there are; accepted while no worker lives at all, or none is named.
    Packages are those of the Python that is asked for.
    """
    with client(gateway) as http:
        assert http.post("/tasks", json={"code": "1", "python": "3.14"}).status_code == 201
        async with Worker(gateway) as worker:
            for name, python in (("w1", "3.12.1"), ("w2", "3.13.0")):
                await workers.heartbeat(worker.db, name, {"slots": 1, "python": python})
                assert await workers.record_packages(worker.db, name, {name: ["numpy", python]})
            for mine in ("3.12", "3.13", ""):
                assert http.post("/tasks", json={"code": "1", "python": mine}).status_code == 201
            refused = await _until_refused(http, {"code": "1", "python": "3.14"})
            assert refused["type"].endswith("python-mismatch")
            assert "3.12 and 3.13" in refused["detail"] and "3.14" in refused["detail"]
            assert [one["python"] for one in http.get("/workers").json()] == ["3.12", "3.13"]
            for python, name in (("3.12", "w1"), ("3.13", "w2")):
                answer = http.get(f"/workers/packages?python={python}").json()
                assert answer["python"] == ["3.12", "3.13"] and [*answer["packages"]] == [name]


async def test_a_python_that_workers_have_costs_a_submission_no_look(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once; one that no worker has is looked for again, so that a new worker counts."""
    monkeypatch.setattr(live_pythons, "_CACHED_S", 0.0)
    looks = list[str]()
    async with Worker(gateway) as worker:

        @sa.event.listens_for(worker.db.sync_engine, "before_cursor_execute")
        def _note(*about: Any) -> None:
            looks.append(about[2])

        await workers.heartbeat(worker.db, "w1", {"python": "3.12.1"})
        known = live_pythons.LivePythons(worker.db)
        await known.check("3.12")
        looks.clear()
        for _ in range(3):
            await known.check("3.12")
        assert not looks
        with pytest.raises(Problem, match=r"needs Python 3\.13"):
            await known.check("3.13")
        await workers.heartbeat(worker.db, "w2", {"python": "3.13.0"})
        await known.check("3.13")


async def _until_refused(http: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The gateway looks at the workers every two seconds."""
    async with asyncio.timeout(300):
        while (answer := http.post("/tasks", json=body)).status_code != 422:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return answer.json()


def test_a_heartbeat_that_comes_too_rarely_is_refused() -> None:
    """Else the workers that live would count as gone; the error says which setting, and to what."""
    with pytest.raises(ValueError, match=r"MECAPY_HEARTBEAT_S is 20, .* 10 s .*set it to 3"):
        Settings(heartbeat_s=20.0)
    with pytest.raises(ValueError, match=r"HEARTBEAT_S is 3, .* 3 s .*LEASE_S.* set it to 1"):
        Settings(lease_s=3.0, heartbeat_s=3.0)
