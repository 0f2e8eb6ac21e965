"""Cancels, timeouts and lost leases: who stops a task, how soon, and what comes home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import sqlalchemy as sa

from mecapy_backend.store import tasks
from mecapy_backend.store.tables import users
from mecapy_jupyter import wire
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload
from mecapy_worker.run.consumer import Consumer

from .conftest import OWNER, Desk, gone, text_of

SOON_S = 120.0  # a second, on a machine with nothing else to do
FOREVER = "import os, time\nprint('pid', os.getcwd())\nwhile True: time.sleep(0.05)"
DEAF = """import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('pid', os.getcwd())
while True: pass"""

# It stops at the interrupt, but what it has takes longer to come home than a cell may take to stop.
HEAVY = """import os, time
class Heavy:
    def __reduce__(self):
        time.sleep(1)
        return (int, ())
found, heavy = 42, Heavy()
print('pid', os.getcwd())
while True: time.sleep(0.05)"""
POLITE = """import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'tidied up'))
print('pid', os.getcwd())
while True: time.sleep(0.05)"""


async def test_cancel_running(desk: Desk, worker: Consumer) -> None:
    """A cancel ends the process, soon; the task is cancelled once."""
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    since = time.monotonic()
    await tasks.cancel(desk.db, OWNER, task_id)
    await desk.queue.announce_cancel(task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"
    assert time.monotonic() - since < SOON_S and gone(pid)
    assert await desk.state(task_id) == "cancelled"


async def test_cancel_without_redis_message(desk: Desk, worker: Consumer) -> None:
    """A cancel whose message got lost is found by the next lease renewal."""
    task_id = await desk.submit(FOREVER)
    await desk.pid(task_id)
    await tasks.cancel(desk.db, OWNER, task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"


async def test_cancel_of_a_deaf_cell(desk: Desk, worker: Consumer) -> None:
    """A cell that ignores every signal it can is dead soon after its cancel."""
    task_id = await desk.submit(DEAF)
    pid = await desk.pid(task_id)
    since = time.monotonic()
    await desk.queue.announce_cancel(task_id)
    assert (await desk.outcome(task_id)).state == "cancelled"
    assert time.monotonic() - since < SOON_S and gone(pid)


async def test_what_was_bound_comes_home(desk: Desk, worker: Consumer) -> None:
    """A cell that stops at the interrupt gets the time to send its variables home, and how long the
    stop took is told.
    """
    task_id = await desk.submit(HEAVY, payload=_no_inputs())
    await desk.pid(task_id)
    await desk.queue.announce_cancel(task_id)
    outcome = await desk.outcome(task_id)
    assert outcome.state == "cancelled" and outcome.stopped_s and outcome.stopped_s >= 1
    assert outcome.payload and b"found" in outcome.payload.pickle


def _no_inputs() -> wire.Payload:
    """As a notebook sends a cell that reads nothing: what it binds comes home pickled."""
    return wire.Payload(
        payload.pack([{}], {}, prelude=lambda own: prelude.make(own, {}, (), ())).stream
    )


async def test_sigterm_before_sigkill(desk: Desk, worker: Consumer) -> None:
    """A cell that is deaf to the interrupt hears SIGTERM before it is killed."""
    task_id = await desk.submit(POLITE)
    await desk.pid(task_id)
    await desk.queue.announce_cancel(task_id)
    seen = await desk.until(task_id, "cancelled")
    assert "tidied up" in text_of(seen)


async def test_cancelled_while_queued(desk: Desk, worker: Consumer) -> None:
    """An id that waits in the queue and was cancelled in the row is dropped; the next task runs."""
    task_id = await desk.submit("1", enqueue=False)
    await tasks.cancel(desk.db, OWNER, task_id)
    await desk.queue.enqueue(task_id, OWNER)
    assert (await desk.run("2")).result == 2
    assert (await desk.row(task_id)).attempt == 0


async def test_timeout(desk: Desk, worker: Consumer) -> None:
    """A cell past its timeout is interrupted and fails as `timeout`, with the number and what to
    do.
    """
    error = await desk.failed(FOREVER, timeout=0.3)
    assert error.kind == "timeout" and "0.3 s" in error.message and "--timeout" in error.message


async def test_timeout_of_a_deaf_cell(desk: Desk, worker: Consumer) -> None:
    """A cell that ignores the interrupt is killed a moment later."""
    for timeout_s in (3, 12, 48):  # a busy machine may take longer until it is seen to run
        task_id = await desk.submit(DEAF, timeout=timeout_s)
        with suppress(ProcessLookupError, TimeoutError):
            pid = await desk.pid(task_id)
            break
    else:
        raise AssertionError("it was never seen to run")
    outcome = await desk.outcome(task_id)
    assert (
        outcome.error and outcome.error.kind == "timeout" and outcome.seconds < SOON_S and gone(pid)
    )


async def test_forgotten_while_running(desk: Desk, worker: Consumer) -> None:
    """A task that is deleted while it runs loses its lease: its process is killed and nothing is
    recorded.
    """
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    await tasks.forget(desk.db, OWNER, task_id)
    assert await asyncio.to_thread(gone, pid)
    assert (await desk.run("5")).result == 5


async def test_stale_attempt(desk: Desk, worker: Consumer) -> None:
    """An attempt that lost its task to a newer one is stopped and can change nothing."""
    task_id = await desk.submit(FOREVER)
    pid = await desk.pid(task_id)
    assert await tasks.requeue(desk.db, task_id, 1)
    assert await tasks.start(desk.db, task_id, "another", 60)
    assert await asyncio.to_thread(gone, pid)
    row = await desk.row(task_id)
    assert (row.state, row.attempt, row.worker) == ("running", 2, "another")
    await tasks.forget(desk.db, OWNER, task_id)


async def test_unanswered_start_is_given_back(desk: Desk, worker: Consumer) -> None:
    """A task the store thinks we run, and we do not (the answer to `start` got lost), runs after
    all.
    """
    task_id = await desk.submit("7", enqueue=False)
    assert await tasks.start(desk.db, task_id, worker.context.worker_id, 60)
    assert (await desk.outcome(task_id)).result == 7
    assert (await desk.row(task_id)).attempt == 2


async def test_owner_disabled_while_it_waits(desk: Desk, worker: Consumer) -> None:
    """A worker starts nothing of a disabled owner: the task is cancelled without an attempt, and
    whoever follows it hears so.
    """
    mine = sa.insert(users).values(id=OWNER, issuer="test", subject=OWNER, disabled=True)
    async with desk.db.connect() as connection:
        await connection.execute(mine)
    try:
        task_id = await desk.submit("print('ran')")
        assert [event.type for event in await desk.until(task_id, *wire.FINAL)] == ["cancelled"]
        row = await desk.row(task_id)
        assert (row.state, row.attempt, row.outcome) == (
            "cancelled",
            0,
            wire.Outcome(wire.CANCELLED).as_json(),
        ) and row.completed_at
        async with desk.db.connect() as connection:
            await connection.execute(
                sa.update(users).where(users.c.id == OWNER).values(disabled=False)
            )
        assert (await desk.run("6 * 7")).result == 42
    finally:
        async with desk.db.connect() as connection:
            await connection.execute(sa.delete(users).where(users.c.id == OWNER))


async def _given_more(
    desk: Desk, announce: Callable[[str, float], Awaitable[object]]
) -> tuple[str, list[wire.Event], int]:
    """A task that outlasts its limit, and is given a minute more as soon as it runs: its id, events
    and first limit. A busy machine may take longer for that than the task has: then, once more.
    """
    for limit_s in (4, 16, 64):
        code = f"import time\nprint('runs')\ntime.sleep({limit_s} + 2)\n6 * 7"
        task_id = await desk.submit(code, timeout=limit_s)
        await desk.until(task_id, wire.STDOUT, *wire.FINAL)
        if extended := await tasks.extend(desk.db, OWNER, task_id, 60, 3600):
            assert extended == tasks.Extended("running", 60, limit_s + 60)
            await announce(task_id, extended.extra_s)
        seen = await desk.until(task_id, *wire.FINAL)
        if seen[-1].type == wire.COMPLETED:
            return task_id, seen, limit_s
    raise AssertionError(f"no task outlived its limit: {seen[-1].data}")


async def test_more_time_while_it_runs(desk: Desk, worker: Consumer) -> None:
    """A task that is given a minute more outlives the limit it had, and its readers hear the new
    one.
    """
    task_id, seen, limit_s = await _given_more(desk, desk.queue.announce_extra)
    assert wire.Outcome.from_json(seen[-1].data).result == 42
    told = [event.data for event in seen if event.type == wire.LIMIT]
    assert told == [{"timeout_s": limit_s + 60}]
    assert await tasks.extend(desk.db, OWNER, task_id, 60, 3600) is None


@pytest.mark.long
async def test_more_time_without_redis_message(desk: Desk, worker: Consumer) -> None:
    """More time whose message got lost comes with the next lease renewal."""
    await _given_more(desk, lambda *_: asyncio.sleep(0))


async def test_more_time_before_it_starts(desk: Desk, worker: Consumer) -> None:
    """A task that waits starts with its new limit, which is at most the operator's."""
    task_id = await desk.submit("import time\ntime.sleep(1)", timeout=0.1, enqueue=False)
    extended = await tasks.extend(desk.db, OWNER, task_id, 3600, 60)
    assert extended and extended.limit_s == 60
    assert await tasks.extend(desk.db, OWNER, task_id, 3600, 60) is None
    assert await tasks.extend(desk.db, "another", task_id, 3600, 3600) is None
    await desk.queue.enqueue(task_id, OWNER)
    seen = await desk.until(task_id, *wire.FINAL)
    assert seen[-1].type == "completed"
    started = next(event for event in seen if event.type == wire.STARTED)
    assert started.data["timeout_s"] == 60
