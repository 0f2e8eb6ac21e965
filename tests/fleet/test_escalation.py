"""Where a task goes on that ran out of time."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.router import next_faster
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.tasks import StartedAttempt
from mecapy_jupyter import wire
from mecapy_jupyter.block.line import parts
from mecapy_jupyter.block.state import BlockState, advance, finished
from mecapy_jupyter.cells.magic_options import parser
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_worker.run import escalation

from ..backend.speak import events_of
from ..conftest import TOKEN, RunningGateway
from ..gate import Gate
from .test_local_fleet import scaling
from .test_resources import FILE, fleet_gateway  # noqa: F401  (a fixture)

GB = 10**9
POOL = MachineClass("pool", 2, 4 * GB, provider="local", min=1, max=3)
THIN = MachineClass("thin", 8, 2 * GB, price=0.01, provider="local", max=2)
LARGE = MachineClass("large", 8, 16 * GB, price=0.04, provider="local", max=2)


def test_the_next_faster_class() -> None:
    """More processors and no less memory, the cheapest; none for one that is the fastest."""
    assert next_faster("pool", (POOL, THIN, LARGE)) is LARGE
    assert next_faster("large", (POOL, THIN, LARGE)) is None


@pytest.fixture
def work(tmp_path: Path) -> Any:
    (tmp_path / "machines.toml").write_text(FILE)
    settings = Settings(machines=str(tmp_path / "machines.toml"), max_timeout_s=300.0)
    return SimpleNamespace(settings=settings)


def started(*earlier: str, escalate: bool = True) -> StartedAttempt:
    request = wire.TaskRequest("1", timeout=100.0, escalate=escalate)
    return StartedAttempt("t", "o", 1 + len(earlier), request, None, None, earlier=earlier)  # pyright: ignore[reportArgumentType]


TIMED_OUT = wire.Outcome(
    wire.FAILED, error=wire.ErrorInfo("timeout", "CellTimeout", "too long"), seconds=100.0
)


def test_out_of_time(work: Any) -> None:
    """With `--escalate` it goes on with more processors, and may run twice as long each time, up to
    the longest time there is; at most twice, moves for memory included.
    """
    further = escalation.next_place(work, started(), TIMED_OUT, 0)
    assert further is not None
    why, place = further
    assert (why, place.machine_class) == ("timeout", "large")
    assert place.why.startswith("out of time after 1 min 40 s on pool → large (on demand")
    assert escalation.next_place(work, started(escalate=False), TIMED_OUT, 0) is None
    assert escalation.next_place(work, started("timeout", "memory"), TIMED_OUT, 0) is None
    moves: list[tuple[str, ...]] = [(), ("worker_lost",), ("timeout",), ("timeout", "timeout")]
    allowed = [escalation.allowed_s(work.settings, started(*earlier)) for earlier in moves]
    assert allowed == [100, 100, 200, 300]
    assert escalation.allowed_s(work.settings, started("timeout", escalate=False)) == 100


def test_everywhere() -> None:
    """In the magic and in Python."""
    assert parser().parse_args(["--escalate"]).escalate
    assert CallOptions(escalate=True).request("1", "f", ()).escalate
    assert "escalate" not in CallOptions().request("1", "f", ()).as_json()


async def test_out_of_time_ends_on_the_next_class(
    fleet_gateway: RunningGateway,  # noqa: F811
    db: Any,
    tmp_path: Path,
    gate: Gate,
) -> None:
    """A task that outlives its limit on the pool ends on the next class, where it may run twice as
    long; its history has both attempts, and its block shows why in one line.
    """
    file = fleet_gateway.settings.machines
    known = classes.read(file).classes
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        scaling(fleet_gateway, db, tmp_path / "work", *known, MECAPY_MACHINES=file) as until,
        httpx.AsyncClient(base_url=fleet_gateway.url, headers=headers, timeout=60) as client,
    ):
        body = {"code": f"{gate.wait}'done'", "timeout": 4, "escalate": True}
        task = f"/tasks/{(await client.post('/tasks', json=body)).json()['task_id']}"

        async def moved() -> bool:
            return (await client.get(task)).json()["machine_class"] == "large"

        async def final() -> bool:
            return (await client.get(task)).json()["status"] in wire.FINAL

        await until(moved, "the next class")
        gate.open()
        await until(final, "the task")
        found = (await client.get(task)).json()
        events = events_of(await client.get(f"{task}/events?follow=false"))
    assert (found["status"], found["result"]) == ("completed", "done"), found
    assert [one["why"] for one in found["history"]] == ["timeout", "completed"]
    first, second = found["history"]
    assert first["worker"] != second["worker"]
    assert found["machine_class"] == "large"
    assert re.match(r"out of time after \d+ s on pool → large \(on demand", found["why_there"])
    block = BlockState()
    for event in events:
        block = advance(block, event, 0.0)
        if event.type == wire.STARTED:
            while_it_runs = [piece.text for piece in parts(block, 1.0)]
    assert while_it_runs.count(found["why_there"]) == 1
    last = finished(block, wire.Outcome(wire.COMPLETED, seconds=5.0), [], 0.0)
    assert [piece.text for piece in parts(last, 1.0)] == ["0:05", found["why_there"]]
