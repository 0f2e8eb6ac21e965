"""A fleet of real workers on this machine: it grows under load and shrinks again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.local import LocalProvider
from mecapy_backend.fleet.policy import Policy
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.store import machines
from mecapy_backend.store.people import costs
from mecapy_jupyter import wire

from ..conftest import RunningGateway

POLICY = Policy(target_wait_s=2.0, votes=3, leave=1.0)
PATIENCE_S = 300.0


def settings_of(gateway: RunningGateway, folder: Path) -> dict[str, str]:
    """The environment of a worker beside that gateway."""
    return {name: value for name, value in os.environ.items() if "MECAPY" not in name} | {
        "MECAPY_DATABASE_URL": gateway.settings.database_url,
        "MECAPY_REDIS_URL": gateway.settings.redis_url,
        "MECAPY_BLOB_URL": gateway.settings.blob_url,
        "MECAPY_SANDBOX": "best-effort",
        "MECAPY_PRELOAD": "",
        "MECAPY_HEARTBEAT_S": "0.5",
        "TMPDIR": str(folder),
    }


@asynccontextmanager
async def scaling(
    gateway: RunningGateway,
    db: Any,
    folder: Path,
    *classes: MachineClass,
    provider: Any = None,
    **more: str,
) -> AsyncIterator[Callable[[Callable[[], Any], str], Any]]:
    """A scaler in this process: `until(condition, what)` looks until the condition holds."""
    await asyncio.to_thread(folder.mkdir, 0o711)
    settings = settings_of(gateway, folder) | more
    given = provider or LocalProvider(settings, folder / "log", grace_s=60.0)
    scaler = Scaler(db, classes, {classes[0].provider: given}, policy=POLICY)

    async def until(condition: Callable[[], Any], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not await condition():
            assert time.monotonic() < limit, f"{what}: {await machines.alive(db)}"
            await scaler.look()
            await asyncio.sleep(0.3)

    try:
        yield until
    finally:
        await scaler.end()
        stack = (await machines.fleet_row(db)).stack
        assert given.list(stack) == {}


async def serving(db: Any) -> int:
    return sum(row.state == wire.SERVING for row in await machines.alive(db))


async def test_one_to_three_to_one(gateway: RunningGateway, db: Any, tmp_path: Path) -> None:
    """One worker grows to three while tasks hold them, and one is left once these have ended."""
    pool = MachineClass("pool", provider="local", min=1, max=3, boot_s=120)
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with (
        scaling(gateway, db, tmp_path / "work", pool) as until,
        httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client,
    ):

        async def count_is(wanted: int) -> bool:
            return await serving(db) == wanted

        async def states() -> list[str]:
            answer = await client.get("/tasks")
            return [task["status"] for task in answer.json()["tasks"]]

        async def all_final() -> bool:
            return set(await states()) <= wire.FINAL

        async def one_left() -> bool:
            rows = await machines.alive(db)
            return [row.state for row in rows] == [wire.SERVING]

        await until(lambda: count_is(1), "the first machine")
        ids = list[str]()
        for _ in range(5):  # they end when they are told to, however slow this machine is
            body = {"code": "import time; time.sleep(3000)", "timeout": 3600}
            ids.append((await client.post("/tasks", json=body)).json()["task_id"])
        await until(lambda: count_is(3), "three machines")
        for each in ids:
            (await client.post(f"/tasks/{each}/cancel")).raise_for_status()
        (await client.post("/tasks", json={"code": "1 + 1"})).raise_for_status()
        await until(all_final, "the tasks")
        await until(one_left, "one machine left")
        assert sorted(await states()) == ["cancelled"] * 5 + ["completed"]


async def test_what_never_calls_home(db: Any) -> None:
    """A machine that does not call home in three times its boot time is replaced, and the reason
    stays.
    """
    import sqlalchemy as sa

    from mecapy_backend.store.tables import machines as table

    from .killed_scaler import SLEEPS

    local = LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    mute = MachineClass("pool", provider="local", min=1, max=1, boot_s=0.2)
    scaler = Scaler(db, [mute], {"local": local}, policy=POLICY)
    try:
        await scaler.look()
        (first,) = await machines.alive(db)
        limit = time.monotonic() + PATIENCE_S
        while first.id in (alive := {row.id for row in await machines.alive(db)}) or not alive:
            assert time.monotonic() < limit
            await scaler.look()
            await asyncio.sleep(0.1)
        async with db.connect() as connection:
            row = await connection.execute(sa.select(table).where(table.c.id == first.id))
            assert "never called home" in row.one().why
    finally:
        await scaler.end()
    assert local.list((await machines.fleet_row(db)).stack) == {}


class RefusingProvider:
    """Out of stock."""

    asked = 0

    def start(self, tag: Tag, machine: MachineClass, token: str) -> str:
        self.asked += 1
        raise ProviderRefused("no DEV1-M in stock")

    def stop(self, handle: str, tag: Tag) -> None:
        raise AssertionError("there is none")

    def list(self, stack: str) -> dict[str, str]:
        return {}


async def test_what_is_refused(db: Any) -> None:
    """A refusal is kept, and the provider is not asked again at once."""
    provider = RefusingProvider()
    pool = MachineClass("pool", provider="local", min=2, max=2)
    scaler = Scaler(db, [pool], {"local": provider}, policy=POLICY)
    await scaler.look()
    await scaler.look()
    assert provider.asked == 1
    assert await machines.refusals(db) == {"pool": "no DEV1-M in stock"}


async def test_a_budget(db: Any) -> None:
    """Once today's euros are spent no machine is started; what runs goes on."""
    from .killed_scaler import SLEEPS

    local = LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    dear = MachineClass("pool", provider="local", min=1, max=3, price=50.0, billing="hour")
    wanting = MachineClass("large", provider="local", min=1, max=1)
    try:
        await Scaler(db, [dear], {"local": local}, budget=40.0, policy=POLICY).look()
        assert await costs.spent_today(db) == 50.0
        await Scaler(db, [dear, wanting], {"local": local}, budget=40.0, policy=POLICY).look()
        assert [row.machine_class for row in await machines.alive(db)] == ["pool"]
    finally:
        await Scaler(db, [dear], {"local": local}).end()


async def test_a_clock_that_jumps(db: Any) -> None:
    """A machine that was started in what is now the future is neither late nor paid for, and stays;
    one that the clock made old is destroyed, with the reason.
    """
    import sqlalchemy as sa

    from .killed_scaler import SLEEPS

    local = LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    pool = MachineClass("pool", provider="local", min=1, max=1, price=1.0, boot_s=600)
    scaler = Scaler(db, [pool], {"local": local}, policy=POLICY)

    async def jumps(hours: int) -> None:
        async with db.connect() as connection:
            jump = "UPDATE machines SET created_at = now() + make_interval(hours => :hours)"
            await connection.execute(sa.text(jump), {"hours": hours})

    try:
        await scaler.look()
        (first,) = await machines.alive(db)
        await jumps(48)
        await scaler.look()
        (same,) = await machines.alive(db)
        assert (same.id, same.state) == (first.id, wire.BOOTING)
        assert await costs.spent_today(db) == 0.0
        await jumps(-48)
        limit = time.monotonic() + PATIENCE_S
        while first.id in [row.id for row in await machines.alive(db)]:
            assert time.monotonic() < limit
            await scaler.look()
        async with db.connect() as connection:
            query = sa.text("SELECT why FROM machines WHERE id = :id")
            why = (await connection.execute(query, {"id": first.id})).scalar_one()
        assert why.startswith("never called home in ")
    finally:
        await scaler.end()


async def test_the_first_sweep_only_reports(db: Any) -> None:
    """What carries the tag and has no row survives the first round of a stack, and no later one."""
    from .killed_scaler import SLEEPS

    local = LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    stack = (await machines.fleet_row(db)).stack
    pool = MachineClass("pool", provider="local", max=1)
    other = Tag("another", "m")
    local.start(Tag(stack, "strange"), pool)
    theirs = local.start(other, pool)
    try:
        scaler = Scaler(db, [pool], {"local": local}, policy=POLICY)
        await scaler.look()
        assert set(local.list(stack)) == {"strange"}
        await scaler.look()
        assert local.list(stack) == {}
        assert local.list("another") == {"m": theirs}  # another stack's is never touched
    finally:
        local.stop(theirs, other)
