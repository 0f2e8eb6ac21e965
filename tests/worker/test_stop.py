"""Cancels, timeouts and lost leases: who stops a task, how soon, and what comes home."""

from __future__ import annotations

import asyncio
import time

from mecapy_backend.store import tasks
from mecapy_worker.engine import Engine

from .conftest import OWNER, Desk, gone

FOREVER = "import os, time\nprint('pid', os.getpid())\nwhile True: time.sleep(0.05)"
DEAF = """import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('pid', os.getpid())
while True: pass"""


async def test_cancel_running(desk: Desk, worker: Engine) -> None:
    """A cancel ends the process within a second; the task is cancelled once."""
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    since = time.monotonic()
    await tasks.cancel(desk.db, OWNER, task_id)
    await desk.queue.announce_cancel(task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"
    assert time.monotonic() - since < 1 and gone(pid, 0.5)
    assert await desk.state(task_id) == "cancelled"


async def test_cancel_without_redis_message(desk: Desk, worker: Engine) -> None:
    """A cancel whose message got lost is found by the next lease renewal."""
    task_id = await desk.submit(FOREVER)
    await desk.pid(task_id)
    await tasks.cancel(desk.db, OWNER, task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"


async def test_cancel_of_a_deaf_cell(desk: Desk, worker: Engine) -> None:
    """A cell that ignores every signal it can is dead a second after its cancel."""
    task_id = await desk.submit(DEAF)
    pid = await desk.pid(task_id)
    since = time.monotonic()
    await desk.queue.announce_cancel(task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"
    assert time.monotonic() - since < 1.2 and gone(pid, 0.5)


async def test_cancelled_while_queued(desk: Desk, worker: Engine) -> None:
    """An id that waits in the queue and was cancelled in the row is dropped; the next task runs."""
    task_id = await desk.submit("1", enqueue=False)
    await tasks.cancel(desk.db, OWNER, task_id)
    await desk.queue.enqueue(task_id)
    assert (await desk.run("2")).result == 2
    assert (await desk.row(task_id)).attempt == 0


async def test_timeout(desk: Desk, worker: Engine) -> None:
    """A cell past its timeout is interrupted and fails as `timeout`, with the number and what to do."""
    error = await desk.failed(FOREVER, timeout=0.3)
    assert error.kind == "timeout" and "0.3 s" in error.message and "--timeout" in error.message


async def test_timeout_of_a_deaf_cell(desk: Desk, worker: Engine) -> None:
    """A cell that ignores the interrupt is killed half a second later."""
    task_id = await desk.submit(DEAF, timeout=0.5)
    pid = await desk.pid(task_id)
    outcome = await desk.outcome(task_id)
    assert outcome.error and outcome.error.kind == "timeout" and outcome.seconds < 2 and gone(pid)


async def test_forgotten_while_running(desk: Desk, worker: Engine) -> None:
    """A task that is deleted while it runs loses its lease: its process is killed and nothing is recorded."""
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    await tasks.forget(desk.db, OWNER, task_id)
    assert await asyncio.to_thread(gone, pid)
    assert (await desk.run("5")).result == 5


async def test_stale_attempt(desk: Desk, worker: Engine) -> None:
    """An attempt that lost its task to a newer one is stopped and can change nothing."""
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    assert await tasks.requeue(desk.db, task_id, 1)
    assert await tasks.start(desk.db, task_id, "another", 60)
    assert await asyncio.to_thread(gone, pid)
    row = await desk.row(task_id)
    assert (row.state, row.attempt, row.worker) == ("running", 2, "another")
    await tasks.forget(desk.db, OWNER, task_id)


async def test_unanswered_start_is_given_back(desk: Desk, worker: Engine) -> None:
    """A task the store thinks we run, and we do not (the answer to `start` got lost), runs after all."""
    task_id = await desk.submit("7", enqueue=False)
    assert await tasks.start(desk.db, task_id, worker.context.worker_id, 60)
    assert (await desk.outcome(task_id)).result == 7
    assert (await desk.row(task_id)).attempt == 2
