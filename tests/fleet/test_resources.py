"""A task that asks for more goes to a machine that has it, and everybody is told why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects.postgresql import ARRAY

from mecapy_backend.fleet import classes
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import machines
from mecapy_jupyter import wire
from mecapy_jupyter.commands.machines import listed

from ..conftest import TOKEN, RunningGateway, served
from ..gate import Gate
from .test_local_fleet import scaling

FILE = """
[pool]
cpus = 1
memory = "1GB"
provider = "local"
min = 1
max = 1

[large]
cpus = 2
memory = "4GB"
price_per_hour = 0.36
provider = "local"
max = 1
boot_s = 120
"""
WHY = "3 GB asked → large (on demand, up in ~120 s, €0.36/h)"


@pytest.fixture
def fleet_gateway(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that knows two classes of machines."""
    (tmp_path / "machines.toml").write_text(FILE)
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN),
        machines=str(tmp_path / "machines.toml"),
    )
    with served(settings) as running:
        yield running


async def test_a_task_gets_the_machine_it_asks_for(
    fleet_gateway: RunningGateway, db: Any, tmp_path: Path, gate: Gate
) -> None:
    """What asks for 3 GB waits for a machine of the next class, which is started for it alone, may
    use what that has, and says so in its row; what asks for nothing runs in the pool meanwhile.
    """
    file = classes.read(fleet_gateway.settings.machines)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        scaling(fleet_gateway, db, tmp_path / "work", *file.classes) as until,
        httpx.AsyncClient(base_url=fleet_gateway.url, headers=headers, timeout=60) as client,
    ):
        body = {"code": "a + 1", "inputs": {"a": 1}}
        more = {"code": f"{gate.wait}a + 1", "resources": {"memory_bytes": 3 * 10**9}}
        asked = await client.post("/tasks", json=body | more)
        assert asked.status_code == 201
        assert asked.json()["why_there"] == WHY
        plain = (await client.post("/tasks", json=body)).json()
        scale = (await client.get("/system/scale")).json()
        assert (scale["large"]["queued"], scale["large"]["wanted"]) == (1, 1)

        async def task(answer: Any) -> Any:
            return (await client.get(f"/tasks/{answer['task_id']}")).json()

        async def states() -> list[str]:
            found = [(await task(one))["status"] for one in (asked.json(), plain)]
            assert "failed" not in found
            return found

        async def free() -> tuple[int, int]:
            machines = wire.MachinesInfo.from_json((await client.get("/machines")).json())
            pool, large = (one.free for one in machines.classes)
            return pool, large

        async def settled() -> bool:
            return await states() == ["running", "completed"] and await free() == (1, 0)

        async def both_end() -> bool:
            return await states() == ["completed", "completed"]

        await until(settled, "one runs on a machine of its own, the other has ended")
        live = {one["id"]: one["info"] for one in (await client.get("/workers")).json()}
        worker = live[(await task(asked.json()))["worker"]]
        assert (worker["machine_class"], worker["memory_bytes"]) == ("large", 4 * 10**9)
        text = listed(wire.MachinesInfo.from_json((await client.get("/machines")).json()))
        assert "large      2 CPUs, 4 GB · 0 free · €0.36/h · on demand" in text
        gate.open()
        await until(both_end, "both tasks")
        large, pool = await task(asked.json()), await task(plain)
        assert (large["machine_class"], large["why_there"]) == ("large", WHY)
        assert (pool["machine_class"], pool["why_there"]) == ("pool", "")
        assert large["cost"] >= 0 and pool["cost"] is None


async def test_scale_counts_what_a_deployment_serves(
    fleet_gateway: RunningGateway, db: Any
) -> None:
    """A token that may only read sees for each class how many workers it needs: for one Python
    only those for its tasks, and no more than its owners may run.
    """
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=fleet_gateway.url, headers=headers, timeout=60) as client:
        made = await client.post("/tokens", json={"name": "keda", "scopes": ["read"]})
        client.headers["Authorization"] = f"Bearer {made.json()['token']}"

        async def scale(**query: str) -> dict[str, tuple[int, int]]:
            answer = (await client.get("/system/scale", params=query)).json()
            return {name: (one["queued"], one["wanted"]) for name, one in answer.items()}

        assert await scale() == {"pool": (0, 1), "large": (0, 0)}
        await _queued(db, python="3.12", count=3)
        await _queued(db, python="3.13", count=4)
        await _queued(db, python="", count=1)
        await _queued(db, python="3.12", count=2, machine_class="large")
        assert await scale() == {"pool": (8, 1), "large": (2, 1)}
        assert await scale(python="3.12") == {"pool": (4, 1), "large": (2, 1)}
        assert await scale(python="3.14") == {"pool": (1, 1), "large": (0, 0)}
        async with db.connect() as connection:
            await connection.execute(sa.text("UPDATE users SET max_running = 2"))
        assert sum(queued for queued, _ in (await scale()).values()) == 2


async def _queued(db: Any, *, python: str, count: int, machine_class: str = "pool") -> None:
    statement = sa.text(
        """INSERT INTO tasks (id, owner, name, state, priority, created_at, request,
                              request_digest, python, machine_class)
           SELECT gen_random_uuid(), 'local', '', 'queued', 5, now(), '{"code": "1"}', '',
                  :python, :machine_class
           FROM generate_series(1, :count)"""
    )
    async with db.connect() as connection:
        values = {"python": python, "count": count, "machine_class": machine_class}
        await connection.execute(statement, values)


async def test_a_long_history_gets_a_machine_of_its_own(
    fleet_gateway: RunningGateway, db: Any, tmp_path: Path
) -> None:
    """Code whose last two runs took twelve minutes goes to a machine that is started for it, by
    what its history says; nothing of the machine is left.
    """
    file = classes.read(fleet_gateway.settings.machines)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        scaling(fleet_gateway, db, tmp_path / "work", *file.classes) as until,
        httpx.AsyncClient(base_url=fleet_gateway.url, headers=headers, timeout=60) as client,
    ):
        body = {"code": "sum(range(10))"}
        ran = [(await client.post("/tasks", json=body)).json()["task_id"] for _ in range(2)]
        await _as_if_run(db, ran, minutes=12)
        last = (await client.post("/tasks", json=body)).json()
        about = "about 12 min expected → large (on demand, up in ~120 s, €0.36/h)"
        assert last["why_there"] == about
        assert last["estimate"] == "~12 min · about €0.072 · large"

        async def ended() -> bool:
            found = (await client.get(f"/tasks/{last['task_id']}")).json()
            return found["status"] == "completed" and found["result"] == 45

        async def left() -> bool:
            return [row.machine_class for row in await machines.alive(db)] == ["pool"]

        await until(ended, "the task")
        await until(left, "the pool alone")


async def _as_if_run(db: Any, task_ids: list[str], minutes: int) -> None:
    """A history: tasks that completed, after so many minutes each."""
    ran = sa.text(
        "UPDATE tasks SET state = 'completed', completed_at = now(), outcome = '{}', "
        "started_at = now() - make_interval(mins => :minutes) WHERE id = ANY(:ids)"
    ).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Uuid(as_uuid=False))))
    async with db.connect() as connection:
        await connection.execute(ran, {"minutes": minutes, "ids": task_ids})


async def test_out_of_memory_ends_on_the_next_class(
    fleet_gateway: RunningGateway, db: Any, tmp_path: Path, gate: Gate
) -> None:
    """A task that needs 1.5 GB on a class of 1 GB runs again on the next, which has twice that; its
    history has both attempts, and its events say why in one line.
    """
    file = classes.read(fleet_gateway.settings.machines)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        scaling(
            fleet_gateway,
            db,
            tmp_path / "work",
            *file.classes,
            MECAPY_MACHINES=fleet_gateway.settings.machines,
        ) as until,
        httpx.AsyncClient(base_url=fleet_gateway.url, headers=headers, timeout=60) as client,
    ):
        code = f"held = b'x' * 1_500_000_000\n{gate.wait}len(held)"
        task_id = (await client.post("/tasks", json={"code": code})).json()["task_id"]

        async def moved() -> bool:
            return (await client.get(f"/tasks/{task_id}")).json()["machine_class"] == "large"

        async def final() -> bool:
            return (await client.get(f"/tasks/{task_id}")).json()["status"] in wire.FINAL

        await until(moved, "the next class")
        gate.open()
        await until(final, "the task")
        found = (await client.get(f"/tasks/{task_id}")).json()
        assert (found["status"], found["result"]) == ("completed", 1_500_000_000), found
        assert [one["why"] for one in found["history"]] == ["memory", "completed"]
        assert found["machine_class"] == "large"
        assert found["why_there"].startswith("out of memory at 1")
        assert " on pool → large (on demand" in found["why_there"]
        events = (await client.get(f"/tasks/{task_id}/events?follow=false")).text
        assert '"why_there":"out of memory at 1' in events


async def test_what_no_class_offers(fleet_gateway: RunningGateway) -> None:
    """Refused at once, with what there is; the same in `Client` and in the magic."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = {"code": "1", "resources": {"memory_bytes": 64 * 10**9}}
    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=headers, timeout=120
    ) as client:
        refused = await client.post("/tasks", json=body)
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("no-such-machine")
        assert refused.json()["detail"] == (
            "no class of machines offers 64 GB; there is pool (1 CPU, 1 GB) and large "
            "(2 CPUs, 4 GB, €0.36/h)"
        )
        odd = await client.post("/tasks", json={"code": "1", "resources": {"memory": "lots"}})
        assert odd.status_code == 422
