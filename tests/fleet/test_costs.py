"""What tasks cost, by user and organisation; what a spent budget stops, and what a task says that
waits for a machine.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api import budgets
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.local import LocalProvider
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.store import audit, machines
from mecapy_backend.store.people import costs, shares
from mecapy_jupyter import wire
from mecapy_jupyter.client.overview import Overview
from mecapy_jupyter.commands.status import facts

from .killed_scaler import SLEEPS
from .test_local_fleet import POLICY, RefusingProvider
from .test_resources import TOKEN, RunningGateway, fleet_gateway  # noqa: F401  (a fixture)

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
HOUR = shares.Took(10.0, 1, 3600.0)


async def _in_acme(db: AsyncEngine, budget: float | None = None) -> None:
    """The user of the token belongs to an organisation."""
    async with db.connect() as connection:
        made = "INSERT INTO organisations (id, name, budget) VALUES ('acme', 'acme', :budget)"
        await connection.execute(sa.text(made), {"budget": budget})
        joins = "UPDATE users SET organisation = 'acme' WHERE id = 'local'"
        await connection.execute(sa.text(joins))


async def test_of_a_month(fleet_gateway: RunningGateway, db: AsyncEngine) -> None:  # noqa: F811
    """An hour on one of two slots costs half of the machine's hour, at the price it was bought for,
    else at its class's; `GET /me`, `GET /organisations`, its report and `%mecapy` show the sum.
    """
    await _in_acme(db, 100.0)
    bought = await machines.intend(db, "large", "local", 0.5, 0)
    await machines.change(db, bought, wire.SERVING, worker="w1")
    await shares.add_usage(db, {"local": HOUR}, "w1", 2, 9.0)
    await shares.add_usage(db, {"local": HOUR}, "by-hand", 1, 0.36)
    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=HEADERS, timeout=120
    ) as client:
        me = wire.Me.from_json((await client.get("/me")).json())
        (acme,) = (await client.get("/organisations")).json()
        (used,) = (await client.get("/organisations/usage")).json()
        (report,) = (await client.get("/organisations/report")).json()
    assert me.quotas["euros"].used == 0.61
    assert me.organisation_quotas and me.organisation_quotas["euros"].used == 0.61
    assert (acme["euros"], acme["euros_today"], acme["budget"]) == (0.61, 0.61, 100.0)
    assert (used["euros"], used["tasks"]) == (0.61, 2)
    assert (report["euros"], report["ended"]) == (0.61, {})
    assert dict(facts(Overview("u", "", me)))["used"].endswith(", €0.61 this month")


async def test_what_was_spent_yesterday(db: AsyncEngine) -> None:
    """Counts for the month, and not for today's budget."""
    await _in_acme(db, 1.0)
    await shares.add_usage(db, {"local": HOUR}, price=5.0)
    assert await costs.day_budgets(db) == {"acme": costs.DayBudget(5.0, 1.0)}
    async with db.connect() as connection:
        await connection.execute(sa.text("UPDATE usage SET day = day - 1"))
    assert await costs.day_budgets(db) == {"acme": costs.DayBudget(0.0, 1.0)}
    await shares.add_usage(db, {"local": HOUR}, price=0.5)
    assert await costs.day_budgets(db) == {"acme": costs.DayBudget(0.5, 1.0)}
    async with db.connect() as connection:
        row = (await connection.execute(sa.text("SELECT euros, day_euros FROM usage"))).one()
    assert tuple(row) == (5.5, 0.5)


async def test_an_organisation_without_money(
    fleet_gateway: RunningGateway,  # noqa: F811
    db: AsyncEngine,
) -> None:
    """No machine is started for its task, which says why it waits; others' get one. The alarm is
    one line of the audit a day for each threshold.
    """
    await _in_acme(db, 1.0)
    local = LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    large = MachineClass("large", provider="local", max=1, boot_s=1e6)
    scaler = Scaler(db, [large], {"local": local})
    body = {"code": "1", "resources": {"machine": "large"}}
    try:
        async with httpx.AsyncClient(
            base_url=fleet_gateway.url, headers=HEADERS, timeout=120
        ) as client:
            await shares.add_usage(db, {"local": HOUR}, price=1.5)
            task_id = (await client.post("/tasks", json=body)).json()["task_id"]
            await scaler.look()
            await scaler.look()
            assert await machines.alive(db) == []
            waits = (await client.get(f"/tasks/{task_id}")).json()
            assert waits["status"] == "queued"
            assert "the day's budget is spent" in waits["why_there"]
            lines = [line.what for line in await audit.page(db, act="spend", limit=10)]
            whole, near = (f"acme: {share} of the day's budget" for share in ("100%", "80%"))
            assert sorted(lines) == [whole, near]
            async with db.connect() as connection:
                await connection.execute(sa.text("UPDATE organisations SET budget = 2"))
            await scaler.look()
            assert [row.machine_class for row in await machines.alive(db)] == ["large"]
    finally:
        await scaler.end()


async def test_usual_resources(fleet_gateway: RunningGateway, db: AsyncEngine) -> None:  # noqa: F811
    """An organisation's tasks that ask for nothing get what it says; a class that does not exist
    is refused with those that do.
    """
    await _in_acme(db)

    async def changed(client: httpx.AsyncClient, machine: str) -> httpx.Response:
        return await client.patch("/organisations/acme", json={"resources": {"machine": machine}})

    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=HEADERS, timeout=120
    ) as client:
        refused = await changed(client, "huge")
        assert refused.status_code == 422
        assert "there is no class of machines 'huge'; there is pool" in refused.json()["detail"]
        assert (await changed(client, "large")).status_code == 204

        async def goes_to(**more: Any) -> str:
            answer = (await client.post("/tasks", json={"code": "1"} | more)).json()
            return (await client.get(f"/tasks/{answer['task_id']}")).json()["machine_class"]

        assert await goes_to() == "large"
        assert await goes_to(resources={"machine": "pool"}) == "pool"


async def test_a_task_says_why_no_machine_comes(
    fleet_gateway: RunningGateway,  # noqa: F811
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the provider answered, or that the fleet is stopped."""
    monkeypatch.setattr(budgets, "_CACHED_S", 0.0)
    large = MachineClass("large", provider="local", max=1)
    scaler = Scaler(db, [large], {"local": RefusingProvider()}, policy=POLICY)
    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=HEADERS, timeout=120
    ) as client:
        body = {"code": "1", "resources": {"machine": "large"}}
        task = f"/tasks/{(await client.post('/tasks', json=body)).json()['task_id']}"

        async def why() -> str:
            said: str = (await client.get(task)).json()["why_there"]
            return said.partition("; ")[2]

        assert await why() == ""
        await scaler.look()
        assert await why() == "no machine yet: no DEV1-M in stock"
        await machines.set_stopped(db, True)
        assert (await why()).startswith("the fleet is stopped: the task waits for")


async def test_boots_are_measured(fleet_gateway: RunningGateway, db: AsyncEngine) -> None:  # noqa: F811
    """What a class's last machines took until they first served stands instead of what the file
    says; one that serves again after it was drained counts once.
    """
    for took_s in (10, 20, 90):
        machine = await machines.intend(db, "large", "local", 0.5, 0)
        await machines.change(db, machine, wire.SERVING, worker=machine)
        async with db.connect() as connection:
            earlier = "UPDATE machines SET created_at = served_at - :took * interval '1 s'"
            await connection.execute(
                sa.text(f"{earlier} WHERE id = :id"), {"took": took_s, "id": machine}
            )
        await machines.change(db, machine, wire.SERVING)
    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=HEADERS, timeout=120
    ) as client:
        listed = (await client.get("/machines")).json()["classes"]
    assert {one["name"]: one["boot_s"] for one in listed}["large"] == 20.0
