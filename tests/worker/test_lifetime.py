"""Workers that die, leave, or lose their services: no task is lost, none is recorded twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.queue import keys
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks, workers
from mecapy_jupyter import wire
from mecapy_worker import metrics
from mecapy_worker.context import Context
from mecapy_worker.egress import rules
from mecapy_worker.main import describe
from mecapy_worker.retry import retry_transient
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.upkeep import reconciler

from ..gate import Gate
from .conftest import LIMIT_S, OWNER, Desk, gone, working

SLOW = "import os, time\nprint('pid', os.getcwd())\ntime.sleep({})\n'done'"
TOLD = """import os, time
print('pid', os.getcwd())
while not os.path.exists('enough'): time.sleep(0.02)
'done'"""


async def test_killed_worker(desk: Desk, start_worker: Any, gate: Gate) -> None:
    """A worker dies by kill -9 in the middle of a task: its children die with it and another worker
    runs the task to its end.
    """
    processes = [await start_worker(lease_s=4.0), await start_worker(lease_s=4.0)]
    await desk.eventually(lambda: _alive(desk, 2))
    task_id = await desk.submit(f"import os\nprint('pid', os.getcwd())\n{gate.wait}'done'")
    pid, victim = await desk.pid(task_id), (await desk.row(task_id)).worker
    next(one for one in processes if f"-{one.process.pid}-" in str(victim)).signal(signal.SIGKILL)
    assert await asyncio.to_thread(gone, pid)
    gate.open()
    seen = await desk.until(task_id, "completed", "failed")
    assert [event.data["attempt"] for event in seen if event.type == "started"] == [1, 2]
    assert seen[-1].data["result"] == "done" and (await desk.row(task_id)).worker != victim


async def test_an_id_delivered_twice(
    desk: Desk, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the worker that runs it: it still counts as running, and is given back when the worker
    ends.
    """
    released, release = list[str](), desk.queue.release

    async def noted(*task_ids: str) -> None:
        released.extend(task_ids)
        await release(*task_ids)

    monkeypatch.setattr(desk.queue, "release", noted)
    async with asyncio.timeout(LIMIT_S):
        async with working(desk, pool, worker_slots=2) as consumer:
            task_id = await desk.submit(SLOW.format(600))
            await desk.pid(task_id)
            await desk.queue.zadd(
                keys.QUEUE, {task_id: int(time.time() * 1000) * 4 + 2}
            )  # as `fair.lua` puts one that counts
            await desk.eventually(lambda: _completes(consumer, 1))
            assert released == []
    assert await desk.state(task_id) == "queued"


async def _completes(consumer: Consumer, count: int) -> bool:
    return consumer.jobs_complete == count


async def test_redis_emptied(desk: Desk, worker: Consumer) -> None:
    """Redis loses everything: queued tasks run all the same."""
    await desk.queue.flushdb()
    ids = [await desk.submit(str(n), enqueue=False) for n in range(5)]
    assert [(await desk.outcome(task_id)).result for task_id in ids] == list(range(5))


async def test_queue_key_of_the_wrong_kind(desk: Desk, worker: Consumer) -> None:
    """An error from Redis does not end the worker; once it is over the next task starts."""
    await desk.queue.delete(keys.QUEUE)
    await desk.queue.set(keys.QUEUE, "nonsense")
    await desk.queue.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.3)
    await desk.queue.delete(keys.QUEUE)
    assert (await desk.run("8")).result == 8


async def test_connections_cut(desk: Desk, worker: Consumer) -> None:
    """All connections to Redis and PostgreSQL are cut while a task runs: its outcome is recorded,
    the next one starts.
    """
    task_id = await desk.submit("import time\nprint('pid', 1)\ntime.sleep(0.5)\n'done'")
    await desk.until(task_id, "stdout")
    await desk.queue.client_kill_filter(_type="normal", skipme=True)
    await desk.queue.client_kill_filter(_type="pubsub", skipme=True)
    async with desk.db.connect() as connection:
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            "current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute(sa.text(cut))
    assert (await desk.outcome(task_id)).result == "done"
    # our own connections are cut, too
    assert (await retry_transient("submit", lambda: desk.run("9"))).result == 9


async def test_poison(desk: Desk, pool: Any, tmp_path: Path) -> None:
    """A task whose workers keep vanishing ends as `worker_lost`, with a final event, and counts
    against the objective; before that it is queued again each time.
    """
    lost = metrics.ended.labels("failed", "worker_lost")
    (before,) = (one.value for one in lost.collect()[0].samples if one.name.endswith("_total"))
    alone = Context("none", desk.settings, desk.db, desk.queue, desk.blobs, pool, tmp_path)
    task_id = await desk.submit("1")
    for _ in range(desk.settings.max_losses):
        assert await desk.queue.withdraw(task_id)
        assert await tasks.start(desk.db, task_id, "ghost", 0.001)
        await desk.eventually(lambda: _taken_back(alone, task_id))
    outcome = await desk.outcome(task_id)
    assert outcome.error and outcome.error.kind == "worker_lost"
    assert (await desk.row(task_id)).attempt == desk.settings.max_losses
    (after,) = (one.value for one in lost.collect()[0].samples if one.name.endswith("_total"))
    assert after == before + 1


async def test_known_to_operators(desk: Desk, worker: Consumer) -> None:
    """A worker says who it is, what it can run, and how its tasks are confined."""
    found = await desk.eventually(lambda: workers.list_live(desk.db))
    info = found[0].info
    assert found[0].id == worker.context.worker_id and info.pid == os.getpid()
    assert info.slots and info.python and info.confinement
    assert info.running == 0


async def test_start_is_prompt(desk: Desk, worker: Consumer) -> None:
    """From enqueue to start there is no polling delay: between tasks the worker stands in Redis
    itself, which wakes it.
    """
    number = str(desk.queue.connection_pool.connection_kwargs["db"])
    for n in range(3):
        assert (await desk.run(str(n))).result == n
        async with asyncio.timeout(LIMIT_S):
            while not [
                one
                for one in await desk.queue.client_list()
                if one["db"] == number and "b" in one["flags"]
            ]:
                pass


@pytest.mark.parametrize("count", [40])
async def test_two_workers_share(
    desk: Desk, pool: Any, worker: Consumer, count: int, gate: Gate
) -> None:
    """Two workers with one queue run each task exactly once."""
    async with working(desk, pool) as other:
        ids = [await desk.submit(f"{gate.wait}{n}") for n in range(2)]  # one for each
        for task_id in ids:
            await desk.until(task_id, wire.STARTED)
        gate.open()
        ids += [await desk.submit(str(n)) for n in range(2, count)]
        assert [(await desk.outcome(task_id)).result for task_id in ids] == list(range(count))
        rows = [await desk.row(task_id) for task_id in ids]
    assert {row.attempt for row in rows} == {1}
    assert {row.worker for row in rows} == {worker.context.worker_id, other.context.worker_id}


async def _taken_back(context: Context, task_id: str) -> bool:
    await reconciler.take_back(context)
    row = await tasks.get(context.db, OWNER, task_id)
    return row is not None and row.state != "running"


async def _alive(desk: Desk, count: int) -> bool:
    return len(await workers.list_live(desk.db)) == count


@pytest.mark.parametrize(
    ("entries", "through", "said"),
    [
        ("", (), []),
        ("a.example.org:443,[2001:db8::7]:80", (), ["a.example.org:443", "[2001:db8::7]:80"]),
        ("a.example.org:443", ("network",), "open"),
    ],
)
async def test_what_it_says_of_the_network(
    desk: Desk,
    pool: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entries: str,
    through: tuple[str, ...],
    said: object,
) -> None:
    """None, the list, or that nothing keeps a task from it, whatever is listed."""
    listed = rules.of(Settings(egress=entries))  # pyright: ignore[reportCallIssue, reportArgumentType]
    monkeypatch.setattr(pool, "report", replace(pool.report, through=through))
    context = Context("one", desk.settings, desk.db, desk.queue, desk.blobs, pool, tmp_path, listed)
    assert describe(context)["network"] == said
