"""Short tasks on a worker whose slots are taken; what tasks took; shares that Redis has lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import Share
from mecapy_backend.store import tasks
from mecapy_backend.store.people import shares
from mecapy_backend.store.tables import users
from mecapy_jupyter import wire
from mecapy_worker.run import consumer as engines
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.upkeep import lease, reconciler

from .conftest import Desk, working
from .test_hostile import CHANNEL

HOLD = "import time\nprint('pid', __import__('os').getcwd(), flush=True)\ntime.sleep({})\n'held'"


async def queued(
    desk: Desk, owner: str, code: str = "1", *, short: bool = False, share: Share | None = None
) -> str:
    task_id = (
        await tasks.submit(desk.db, owner, wire.TaskRequest(code).as_json(), short=short)
    ).task_id
    await desk.queue.enqueue(task_id, owner, short=short, share=share)
    return task_id


async def test_long_ones_never_block_a_short_one(desk: Desk, worker: Consumer) -> None:
    """Ten long tasks hold and await the only slot; a short one runs meanwhile."""
    long = [await queued(desk, "ann", HOLD.format(600)) for _ in range(10)]
    await desk.pid(long[0])
    assert (await desk.outcome(await queued(desk, "ann", "40 + 2", short=True))).result == 42
    states = [task.state for task_id in long if (task := await tasks.get(desk.db, "ann", task_id))]
    assert states.count("running") == 1 and states.count("queued") == 9
    for task_id in long:
        await tasks.forget(desk.db, "ann", task_id)
        await desk.queue.withdraw(task_id)


async def test_who_is_not_short_takes_a_slot(
    desk: Desk, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that said it was short holds the extra place until it has a slot of its own; then that
    place is free for the next.
    """
    monkeypatch.setattr(
        engines, "WAIT_S", 0.05
    )  # how long the loop that serves the slot may keep it while nobody comes
    async with working(desk, pool, short_s=0.2) as consumer:
        long = await queued(desk, "ann", HOLD.format(600))
        await desk.pid(long)
        liar = await queued(desk, "ann", HOLD.format(600), short=True)
        await desk.pid(liar)
        assert await _place_taken(consumer)
        await desk.queue.announce_cancel(long)
        await desk.eventually(lambda: _place_free(consumer))
        waits = await queued(desk, "bob", "2")
        assert (await desk.outcome(await queued(desk, "bob", "1", short=True))).result == 1
        assert await desk.queue.position(waits) == 1
        await desk.queue.announce_cancel(liar)
        assert (await desk.outcome(waits)).result == 2


async def _place_free(consumer: Consumer) -> bool:
    return (
        not consumer.express._waiters
    )  # whoever would take the next short task does not wait for the place


async def _place_taken(consumer: Consumer) -> bool:
    return not await _place_free(consumer)


async def test_a_cap_on_a_real_worker(desk: Desk, pool: Any) -> None:
    """Who may run one at once has one, on a worker with two slots; the other goes to the next user;
    the end of one is the next's start.
    """
    async with desk.db.connect() as connection:
        await connection.execute(
            sa.insert(users).values(id="ann", issuer="here", subject="ann", max_running=1)
        )
    async with working(desk, pool, worker_slots=2):
        first, second = [
            await queued(desk, "ann", HOLD.format(600), share=Share(cap=1)) for _ in range(2)
        ]
        await desk.pid(first)
        assert (await desk.outcome(await queued(desk, "bob", "1"))).result == 1
        row = await tasks.get(desk.db, "ann", second)
        assert row and row.state == "queued"
        await desk.queue.announce_cancel(first)
        await desk.pid(second)
        await desk.queue.announce_cancel(second)
        await desk.until(second, "cancelled")


async def test_caps_follow_what_runs(desk: Desk) -> None:
    """Redis counts what a dead worker ran, or was emptied while tasks run: the reconciler makes it
    what PostgreSQL says.
    """
    context: Any = SimpleNamespace(
        db=desk.db,
        queue=desk.queue,
        settings=desk.settings.model_copy(update={"max_running_tasks": 1}),
        surplus=set(),
    )
    runs = await queued(desk, "ann")
    await tasks.start(desk.db, runs, "w", 60)
    await desk.queue.flushdb()
    await desk.queue.count_running("bob", Share(cap=1), ["00000000-0000-0000-0000-000000000000"])
    for _ in range(2):
        await reconciler.repair_queue(context)
    assert await desk.queue.counted_running() == {runs}


async def test_emptied_redis_keeps_shares(desk: Desk) -> None:
    """2,000 rows of one user and one of another, put back from PostgreSQL: weights and turns are
    what they were.
    """
    async with desk.db.connect() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO users (id, issuer, subject, weight) VALUES ('ann', 'i', 'ann', 2), "
                "('bob', 'i', 'bob', 1)"
            )
        )
        await connection.execute(_FLOOD, {"owner": "ann", "count": 2000})
        await connection.execute(_FLOOD, {"owner": "bob", "count": 20})
    context: Any = SimpleNamespace(db=desk.db, queue=desk.queue, settings=desk.settings)
    await reconciler.enqueue_missing(context)
    latecomer = await queued(desk, "cat")
    assert await desk.queue.position(latecomer) in (2, 3)
    order = list[str]()
    for _ in range(31):
        order.append((await desk.queue.zpopmin(keys.QUEUE))[0][0].decode())
        await desk.queue.refill(keys.QUEUE)
    async with desk.db.connect() as connection:
        owners = dict(
            (
                await connection.execute(
                    sa.text("SELECT id::text, owner FROM tasks WHERE id::text = ANY(:ids)"),
                    {"ids": order},
                )
            ).all()
        )
    counts = [sum(owners[task_id] == owner for task_id in order) for owner in ("ann", "bob", "cat")]
    assert counts[2] == 1 and 19 <= counts[0] <= 21, counts


_FLOOD = sa.text(
    """INSERT INTO tasks (id, owner, name, priority, request, request_digest, digests, state)
       SELECT gen_random_uuid(), :owner, '', 5, '{}', '\\x00', '{}', 'queued'
       FROM generate_series(1, :count)"""
)


async def test_a_worker_that_died_with_the_last_of_a_user(desk: Desk) -> None:
    """A task that was taken and never started comes back, however many others' tasks wait before it
    in the table.
    """
    async with desk.db.connect() as connection:
        await connection.execute(_FLOOD, {"owner": "ann", "count": 3000})
    context: Any = SimpleNamespace(db=desk.db, queue=desk.queue, settings=desk.settings)
    await reconciler.enqueue_missing(context)
    taken = await queued(desk, "bob")
    await desk.queue.withdraw(taken)
    await reconciler.enqueue_missing(context)
    assert await desk.queue.position(taken) in (1, 2)


async def test_processor_time(desk: Desk, worker: Consumer) -> None:
    """What a task took of the processor is in its row, and in its owner's month; what is forgotten
    still counts.
    """
    busy = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    task_id = await desk.submit(busy)
    await desk.until(task_id, "completed")
    async with desk.db.connect() as connection:
        cpu_s = await connection.scalar(
            sa.text("SELECT cpu_s FROM tasks WHERE id::text = :id"), {"id": task_id}
        )
    assert 0.4 < cpu_s < 10
    await tasks.forget(desk.db, "ann", task_id)
    await lease.tell_usage(worker.context)
    used = await desk.eventually(lambda: _hours(desk))
    assert 0.4 < used * 3600 < 10


@pytest.mark.parametrize("end", ["send('usage')", ""], ids=["failed", "given back"])
async def test_processor_time_of_an_attempt_without_an_outcome(
    desk: Desk, pool: Any, end: str
) -> None:
    """It counts for its owner all the same."""
    busy = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    async with working(desk, pool) as consumer:
        task_id = await desk.submit(
            f"{busy}{CHANNEL}{end}\nprint('pid', 1, flush=True)\ntime.sleep(600)"
        )
        if end:
            assert (await desk.outcome(task_id)).state == wire.FAILED
        else:
            await desk.until(task_id, "stdout")
    assert (
        await desk.state(task_id) == (wire.FAILED if end else wire.QUEUED)
        and consumer.context.unsaved_usage == {}
    )
    assert 0.4 < await _hours(desk) * 3600 < 10


async def _hours(desk: Desk) -> float:
    return (await shares.quota_status(desk.db, "ann", desk.settings)).of_owner["cpu_hours"].used
