"""Real workers on the servers of a small Scaleway: they come for tasks and go after them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.policy import Policy
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.fleet.scaleway_vm import ScalewayVmProvider
from mecapy_backend.store import machines

from ..conftest import RunningGateway
from ..gate import Gate
from .fake_scaleway import KEYS, ZONES, FakeScaleway
from .test_local_fleet import PATIENCE_S, POLICY, serving, settings_of
from .test_scaleway import NOTHING


@pytest.mark.parametrize("least, most", [(0, 2), pytest.param(3, 10, marks=pytest.mark.long)])
async def test_real_workers(
    gateway: RunningGateway,
    db: Any,
    queue: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gate: Gate,
    least: int,
    most: int,
) -> None:
    """Servers whose cloud-init starts real workers: they come for tasks and go after them. One that
    the provider takes away, with or without notice, costs its task one more attempt; nothing is
    left, and no credentials.
    """
    pool = MachineClass(
        "pool", provider="scaleway-vm", min=least, max=most, boot_s=200, hours=2,
        types=("DEV1-S",), zones=ZONES[:1], image="mecapy-worker",
    )  # fmt: skip
    fake = FakeScaleway(tmp_path)
    known = settings_of(gateway, tmp_path)
    plain = {name: known[name] for name in ("MECAPY_SANDBOX", "MECAPY_PRELOAD")}
    plain |= {"MECAPY_HEARTBEAT_S": "0.5", "MECAPY_LEASE_S": "5"}
    headers = {"Authorization": f"Bearer {gateway.token}"}
    with fake.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        provider = ScalewayVmProvider(ZONES[:1], gateway.url, plain, look_s=0.1)
        credentials = MachineCredentials(db, queue)
        scaler = Scaler(
            db, [pool], {"scaleway-vm": provider}, policy=POLICY, credentials=credentials
        )
        async with (
            asyncio.timeout(2 * PATIENCE_S),
            httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client,
        ):
            for number in range(2 * most):
                body = {"code": f"{gate.wait}{number}", "timeout": 600}
                made = await client.post("/tasks", json=body)
                for _ in range(20 if made.status_code == 503 else 0):  # busy: later, as it says
                    await asyncio.sleep(1)
                    made = await client.post("/tasks", json=body)
                    if made.status_code != 503:
                        break
                made.raise_for_status()

            async def tasks() -> list[Any]:
                return (await client.get("/tasks?limit=100")).json()["tasks"]

            async def until(wanted: Any) -> None:
                while not await wanted():
                    await scaler.look()
                    await asyncio.sleep(0.3)

            async def all_serve() -> bool:
                return await serving(db) == most

            lost: list[str] = []

            async def another_runs() -> bool:
                running = [one for one in await tasks() if one["status"] == "running"]
                return any(one["task_id"] not in lost for one in running)

            async def all_done() -> bool:
                return {one["status"] for one in await tasks()} == {"completed"}

            async def few_left() -> bool:
                return len(await machines.alive(db)) == least

            async def none_left() -> bool:
                return not await machines.alive(db)

            await until(all_serve)
            for notice_s in (0.0, 60.0):
                await until(another_runs)
                own = [one["task_id"] for one in await tasks() if one["status"] == "running"]
                lost.append(next(one for one in own if one not in lost))
                row = (await client.get(f"/tasks/{lost[-1]}")).json()
                serves = {r.worker: r for r in await machines.alive(db)}[row["worker"]]
                server = serves.handle.partition("/")[2]
                await asyncio.to_thread(fake.take_away, server, notice_s)
            gate.open()
            await until(all_done)
            for each in lost:
                assert (await client.get(f"/tasks/{each}")).json()["attempts"] == 2
            await until(few_left)
            assert all("cloud-init" not in one.user_data for one in fake.servers.values())
            await machines.set_stopped(db, True)
            await until(none_left)
        assert fake.left() == NOTHING


async def test_an_image_that_cannot_be_pulled(
    gateway: RunningGateway, db: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine says so itself, is destroyed at once, and the class shows why and waits."""
    pool = MachineClass(
        "pool", provider="scaleway-vm", min=1, max=1, boot_s=200, hours=2, types=("DEV1-S",),
        zones=ZONES[:1], image="missing",
    )  # fmt: skip
    fake = FakeScaleway(tmp_path)
    with fake.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        provider = ScalewayVmProvider(ZONES[:1], gateway.url, {}, look_s=0.05)
        scaler = Scaler(
            db, [pool], {"scaleway-vm": provider}, policy=Policy(),
            credentials=MachineCredentials(db, queue),
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            while not (why := await machines.refusals(db)):
                await scaler.look()
                await asyncio.sleep(0.1)
        assert why == {"pool": "its image missing cannot be pulled"}
        await scaler.look()
        assert fake.made == 1 and fake.left() == NOTHING
