"""Kills the scaler again and again, each time at another step, and reports what is left over. A
program, because it forks: `python -m tests.fleet.killed_scaler DATABASE_URL KILLS SEED PROVIDER`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.local import LocalProvider
from mecapy_backend.fleet.policy import Policy
from mecapy_backend.fleet.provider import Provider
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.shared import logs
from mecapy_backend.store import database, machines, workers
from mecapy_jupyter import wire

SLEEPS = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)")
POLICY = Policy(votes=1, leave=1.0)
PROVIDER = sys.argv[4] if len(sys.argv) > 4 else "local"
ZONES = ("fr-par-1", "fr-par-2")
STEPS = ("fleet_row", "alive", "intend", "change", "loads", "running_by_worker", "set_swept")


def classes(least: int) -> list[MachineClass]:
    return [
        MachineClass(
            "pool", provider=PROVIDER, min=least, max=4, boot_s=1e6, types=("DEV1-S",), zones=ZONES,
            image="mecapy-worker",
        )
    ]  # fmt: skip


def provider() -> Provider:
    """At Scaleway: a fake one, which SCW_API_URL names."""
    if PROVIDER == "local":
        return LocalProvider(dict(os.environ), command=SLEEPS, grace_s=5.0)
    from mecapy_backend.fleet.scaleway_vm import ScalewayVmProvider

    return ScalewayVmProvider(ZONES, "https://gateway", {}, answer_s=30.0, look_s=0.02)


class DeadlyStep:
    """Kills this process before or after its n-th step."""

    def __init__(self, at: int) -> None:
        self._at, self._lock = at, threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._at -= 1
            if not self._at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(call):

            async def stepped(*args: Any, **named: Any) -> Any:
                self.count()
                found = await call(*args, **named)
                self.count()
                return found

            return stepped

        def step(*args: Any, **named: Any) -> Any:
            self.count()
            found = call(*args, **named)
            self.count()
            return found

        return step


async def looks(url: str, least: int, count: int, deadly: DeadlyStep | None = None) -> None:
    db, local = database.connect(url, connect_s=60), provider()
    given: Any = local
    if deadly:
        for name in STEPS:
            setattr(machines, name, deadly.around(getattr(machines, name)))
        for name in ("start", "stop", "list"):
            setattr(given, name, deadly.around(getattr(local, name)))
    try:
        if deadly and PROVIDER != "local":
            core = importlib.import_module("scaleway_core.api")
            core.API._request = deadly.around(core.API._request)
        scaler = Scaler(db, classes(least), {PROVIDER: given}, policy=POLICY)
        for _ in range(count):
            await scaler.look()
            await call_home(db)
    finally:
        await db.dispose()


async def call_home(db: Any) -> None:
    """What their workers would do: report, and say that they are drained where they drain."""
    for row in await machines.alive(db):
        info = wire.WorkerInfo(machine=row.id, drained=row.state == wire.DRAINING)
        await workers.heartbeat(db, f"worker-{row.id}", info.as_json())


async def left_over(url: str) -> tuple[set[str], set[str]]:
    """Machines without a row, and rows without a machine."""
    db = database.connect(url, connect_s=60)
    try:
        stack = (await machines.fleet_row(db)).stack
        there = set(provider().list(stack))
        rows = {row.id: row.state for row in await machines.alive(db)}
        # One that was stopped in the last round is gone once the next has looked.
        lasting = {machine for machine, state in rows.items() if state != wire.STOPPING}
        return there - rows.keys(), lasting - there
    finally:
        await db.dispose()


def forked(
    url: str,
    least: int,
    count: int,
    deadly: DeadlyStep | None = None,
    kill_after_s: float | None = None,
) -> bool:
    """A scaler in a process of its own. Returns whether it was killed."""
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(looks(url, least, count, deadly))
        finally:
            os._exit(0)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def main(url: str, kills: int, seed: int) -> int:
    logs.configure("json", "fleet")
    dice, killed, tried, wrong = random.Random(seed), 0, 0, 0
    forked(url, 0, 1)
    while killed < kills and tried < 3 * kills + 30:
        tried += 1
        least = dice.choice([0, 2, 3, 4])
        if dice.random() < 0.7:
            deadly = DeadlyStep(dice.randint(1, 60))
            killed += forked(url, least, 4, deadly)
        else:
            after_s = dice.uniform(0.02, 0.4)
            killed += forked(url, least, 50, None, after_s)
        forked(url, least, 2)  # the next scaler's two rounds
        there, rows = asyncio.run(left_over(url))
        wrong += len(there) + len(rows)
        if there or rows:
            print(f"kill {killed}: without a row {there}, without a machine {rows}", flush=True)
    forked(url, 0, 12)
    there, rows = asyncio.run(left_over(url))
    total = asyncio.run(count_all(url))
    print(f"killed {killed}, machines {total}, left over {wrong + len(there) + len(rows)}")
    return 0


async def count_all(url: str) -> int:
    import sqlalchemy as sa

    db = database.connect(url, connect_s=60)
    try:
        row = await database.first(db, sa.text("SELECT count(*) AS n FROM machines"))
        alive = await machines.alive(db)
    finally:
        await db.dispose()
    assert row is not None and not alive, alive
    return int(row.n)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
