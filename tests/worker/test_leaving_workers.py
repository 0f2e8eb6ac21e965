"""Workers that are told to leave: tasks end or are given back, folders are cleared away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from mecapy_backend.queue import queue as queues
from mecapy_backend.store import workers
from mecapy_worker.context import Context
from mecapy_worker.run import consumer as consumers
from mecapy_worker.run import readiness
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.upkeep import health

from ..faults.proxy import Loop, Proxy
from ..stack.running import until
from .conftest import LIMIT_S, Desk, content, gone, working
from .test_lifetime import SLOW, TOLD


async def test_sigterm_gives_back(desk: Desk, start_worker: Any) -> None:
    """SIGTERM: a worker gives its running task back without a loss, kills its children, and exits
    0.
    """
    worker = await start_worker()
    task_id = await desk.submit(SLOW.format(600))
    pid = await desk.pid(task_id)
    offspring = worker.offspring()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log.read_text()
    assert await asyncio.to_thread(gone, pid)
    await asyncio.to_thread(until, lambda: not any(map(_lives, offspring)))
    assert await desk.state(task_id) == "queued" and await desk.queue.position(task_id) == 1
    await desk.eventually(lambda: _nobody_lives(desk))


async def _nobody_lives(desk: Desk) -> bool:
    return not await workers.list_live(desk.db)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def test_sigterm_while_postgresql_is_away(desk: Desk, start_worker: Any) -> None:
    """One SIGTERM ends a worker all the same; its task is left to the end of its lease."""
    url = sa.make_url(desk.settings.database_url)
    socket = Path(str(url.query["host"])) / ".s.PGSQL.5432"
    loop = Loop()
    with tempfile.TemporaryDirectory() as folder:
        way = Proxy(loop, socket, Path(folder) / socket.name)
        through = url.update_query_dict({"host": folder}).render_as_string(hide_password=False)
        worker = await start_worker(database_url=through, lease_s=60.0)
        task_id = await desk.submit(SLOW.format(600))
        pid = await desk.pid(task_id)
        await asyncio.to_thread(way.mode, "cut")
        worker.signal(signal.SIGTERM)
        assert await worker.ended(90) == 0, worker.log.read_text()
        assert await asyncio.to_thread(gone, pid) and await desk.state(task_id) == "running"
        await asyncio.to_thread(way.close)
    loop.close()


async def test_its_folder_is_cleared_away(desk: Desk, worker: Consumer) -> None:
    """Something clears up /tmp, before a task and while it runs: the folder is made again, long
    logs are whole.
    """
    shutil.rmtree(worker.context.scratch)
    assert readiness.disk(worker.context).ok
    task_id = await desk.submit(f"{TOLD}\nprint('x' * 100_000, flush=True)")
    pid = await desk.pid(task_id)
    shutil.rmtree(worker.context.scratch)
    await asyncio.to_thread(Path(f"/proc/{pid}/cwd/enough").touch)
    assert (await desk.outcome(task_id)).state == "completed"
    assert len(await content(desk, (await desk.row(task_id)).log_blob)) > 100_000


async def test_its_folder_cannot_be_made_again(desk: Desk, pool: Any, tmp_path: Path) -> None:
    """A file stands in its way: a fault as any other, with what to do, and it ends nothing."""
    (tmp_path / "gone").touch()
    context = Context(
        "one", desk.settings, desk.db, desk.queue, desk.blobs, pool, tmp_path / "gone" / "logs"
    )
    found = await health.of(context).report()
    (part,) = (part for part in found.checks if part.name == "disk")
    assert (
        part.state == "gone"
        and "restart" in part.advice
        and readiness.unfit(context) == part.advice
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody else")
async def test_its_folder_was_made_by_somebody_else(desk: Desk, pool: Any, tmp_path: Path) -> None:
    """Gone, and a link in its place by the time it is made again: refused, and nothing ends."""
    logs = tmp_path / "logs"
    logs.symlink_to(tmp_path / "nowhere")
    os.lchown(logs, 65534, 65534)
    context = Context("one", desk.settings, desk.db, desk.queue, desk.blobs, pool, logs)
    assert "cannot be trusted" in readiness.unfit(context) and "TMPDIR" in readiness.unfit(context)


async def test_sigterm_lets_tasks_end(desk: Desk, start_worker: Any) -> None:
    """SIGTERM: a task that ends within the grace is recorded as usual, and nothing new is claimed;
    meanwhile the worker is listed as one that drains.
    """
    worker = await start_worker(grace_s=100.0)
    task_id = await desk.submit(TOLD)
    pid = await desk.pid(task_id)
    worker.signal(signal.SIGTERM)
    later = await desk.submit("1")
    await desk.eventually(lambda: _all_drain(desk))
    await asyncio.to_thread(Path(f"/proc/{pid}/cwd/enough").touch)
    assert await worker.ended() == 0
    assert (await desk.outcome(task_id)).result == "done"
    assert await desk.state(later) == "queued" and await desk.queue.position(later) == 1


async def _all_drain(desk: Desk) -> bool:
    return all(one.draining for one in await workers.list_live(desk.db))


async def test_a_worker_leaves_when_idle(desk: Desk, pool: Any) -> None:
    """Its task may take longer than it waits for one; then it ends by itself."""
    for idle_s in (2, 20):  # a busy machine may take longer than that to take the task
        task_id = await desk.submit(SLOW.format(idle_s + 1))
        async with asyncio.timeout(LIMIT_S), working(desk, pool, idle_s=idle_s) as consumer:
            await consumer.leaving.wait()
            await consumer.main_task  # pyright: ignore[reportGeneralTypeIssues]
        if not await desk.queue.withdraw(task_id):
            break
    assert (await desk.outcome(task_id)).result == "done"
    await desk.eventually(lambda: _nobody_lives(desk))


async def test_idle_worker_stops_at_once(
    desk: Desk, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle worker that is told to stop leaves the queue without waiting for its timeout, and
    takes nothing with it.
    """
    monkeypatch.setattr(consumers, "WAIT_S", 3600.0)  # else this test would take that long
    monkeypatch.setattr(queues, "SOCKET_TIMEOUT_S", 7200.0)
    patient = queues.connect(desk.settings.redis_url)
    async with working(Desk(desk.settings, desk.db, patient, desk.blobs), pool) as consumer:
        await desk.run("1")
        consumer.stop()
        await consumer.main_task  # pyright: ignore[reportGeneralTypeIssues]
    await patient.aclose(close_connection_pool=True)
    task_id = await desk.submit("2")
    assert await desk.queue.position(task_id) == 1
