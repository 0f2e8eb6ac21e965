"""Workers with different Pythons in one pool: each runs what it can open, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.store import tasks
from mecapy_backend.store.tables import tasks as table
from mecapy_jupyter import wire
from mecapy_jupyter.shared.version import minor
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.upkeep import reconciler

from .conftest import Desk, Process, working

REPOSITORY = Path(__file__).parents[2]
OTHER = sorted(
    python
    for python in REPOSITORY.glob(".venv-3.*/bin/python")
    if python.parents[1].name != f".venv-{minor()}"
)


class Claims:
    """The folder's pool, which says that it runs another Python."""

    def __init__(self, pool: Any, python: str) -> None:
        self._pool, self.report = pool, replace(pool.report, python=python)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


@asynccontextmanager
async def claiming(desk: Desk, pool: Any, python: str, **more: Any) -> AsyncIterator[Consumer]:
    stand_in: Any = Claims(pool, python)
    async with working(desk, stand_in, **more) as consumer:
        yield consumer


async def submitted(desk: Desk, python: str, *, short: bool = False) -> str:
    body = wire.TaskRequest("6 * 7", python=python).as_json()
    task_id = (await tasks.submit(desk.db, "ann", body, short=short)).task_id
    await desk.queue.enqueue(task_id, "ann", short=short, python=python)
    return task_id


async def worker_of(desk: Desk, task_id: str) -> str | None:
    outcome = await desk.outcome(task_id)
    assert (outcome.state, outcome.result) == ("completed", 42), outcome
    return (await desk.row(task_id)).worker


async def test_each_runs_its_own(desk: Desk, pool: Any) -> None:
    """Of two workers with different Pythons, each gets exactly the tasks of its own, short or not;
    a task that names none runs on either.
    """
    async with claiming(desk, pool, "3.12.4") as old, claiming(desk, pool, "3.13.1") as new:
        needed = {"3.12": old, "3.13": new}
        sent = [
            (await submitted(desk, python, short=short), needed[python].context.worker_id)
            for _ in range(6)
            for python in needed
            for short in (False, True)
        ]
        anywhere = [await submitted(desk, "", short=short) for short in (False, True)]
        for task_id, worker in sent:
            assert await worker_of(desk, task_id) == worker
        both = {consumer.context.worker_id for consumer in needed.values()}
        assert {await worker_of(desk, task_id) for task_id in anywhere} <= both


async def test_none_has_it_yet(desk: Desk, pool: Any) -> None:
    """A task waits for a worker with its Python, while others pass it; who comes takes it."""
    waits = await submitted(desk, "3.13")
    async with claiming(desk, pool, "3.12.4"):
        for python in ("3.12", ""):
            await worker_of(desk, await submitted(desk, python))
        assert await desk.state(waits) == "queued"
        assert await desk.queue.position(waits, python="3.13") == 1
        async with claiming(desk, pool, "3.13.1") as new:
            assert await worker_of(desk, waits) == new.context.worker_id


async def test_lost_and_put_back(desk: Desk, pool: Any, worker: Consumer) -> None:
    """What Redis lost, and what a vanished worker held, waits again for the Python it needs."""
    lost, held = [await submitted(desk, "3.99") for _ in range(2)]
    assert await tasks.start(desk.db, held, "vanished", 60)
    await desk.queue.flushdb()
    async with desk.db.connect() as connection:
        over = sa.func.now() - sa.text("interval '1 s'")
        await connection.execute(
            sa.update(table).values(lease_until=over).where(table.c.id == held)
        )
    await reconciler.take_back(worker.context)
    await reconciler.enqueue_missing(worker.context)
    places = {await desk.queue.position(task_id, python="3.99") for task_id in (lost, held)}
    assert places == {1, 2}
    assert {await desk.state(task_id) for task_id in (lost, held)} == {"queued"}


@pytest.mark.skipif(not OTHER, reason="no second Python: make install PYTHON=… VENV=.venv-3.13")
async def test_a_real_other_one(desk: Desk, worker: Consumer, tmp_path: Path) -> None:
    """Beside a worker with this Python, one of another: each task runs on the one it names."""
    python = OTHER[-1]
    other = python.parents[1].name.removeprefix(".venv-")
    process = Process(desk.settings, tmp_path / "other.log")
    await process.start(str(python))
    try:
        code = "import platform; platform.python_version()"
        for need in (other, minor()) * 3:
            body = wire.TaskRequest(code, python=need).as_json()
            task_id = (await tasks.submit(desk.db, "ann", body)).task_id
            await desk.queue.enqueue(task_id, "ann", python=need)
            assert minor((await desk.outcome(task_id)).result) == need
    finally:
        process.process.terminate()
        await process.ended()
