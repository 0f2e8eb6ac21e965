"""The state machine on real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks
from mecapy_backend.store.people import shares
from mecapy_backend.store.tables import blobs
from mecapy_jupyter import wire

DONE = wire.Outcome(wire.COMPLETED, result=1, seconds=0.5)


def body(code: str = "1+1", **more: Any) -> dict[str, Any]:
    return wire.TaskRequest(code, **more).as_json()


async def submitted(db: Any, code: str = "1+1", owner: str = "ann", **more: Any) -> str:
    return (await tasks.submit(db, owner, body(code, **more))).task_id


async def sql(db: Any, text: str) -> Any:
    async with db.connect() as connection:
        return await connection.execute(sa.text(text))


async def test_straight_line(db: Any) -> None:
    """A task goes queued, running, completed; its outcome and log are kept."""
    task_id = await submitted(db, "x = 1", inputs={"b": 1, "a": [None, "é"]})
    started = await tasks.start(db, task_id, "w1", 10)
    assert started and (started.owner, started.attempt) == ("ann", 1)
    assert started.request == wire.TaskRequest("x = 1", inputs={"b": 1, "a": [None, "é"]})
    assert list(started.request.inputs) == ["b", "a"]
    log = [wire.Event("1-0", "stdout", {"text": "hi\0\ud800"})]
    assert await tasks.finish(db, task_id, 1, DONE, log)
    task = await tasks.get(db, "ann", task_id)
    assert (
        task and task.state == "completed" and task.outcome == DONE.as_json() and task.completed_at
    )
    assert await tasks.stored_log(db, "ann", task_id) == log


async def test_other_owner_sees_nothing(db: Any) -> None:
    """Another owner can neither read nor cancel nor forget a task."""
    task_id = await submitted(db)
    assert await tasks.get(db, "bob", task_id) is None
    assert await tasks.cancel(db, "bob", task_id) is None
    assert await tasks.forget(db, "bob", task_id) is None
    assert await tasks.page(db, "bob") == []


async def test_one_start_wins(db: Any) -> None:
    """Many workers start one task at once, and exactly one gets it."""
    task_id = await submitted(db)
    answers = await asyncio.gather(*[tasks.start(db, task_id, f"w{n}", 10) for n in range(8)])
    assert [answer.attempt for answer in answers if answer] == [1]


async def test_cancel_queued_and_running(db: Any) -> None:
    """A queued task is cancelled at once; a running one is marked, told at the renewal, and not run
    again when its worker is lost.
    """
    waits, runs = await submitted(db), await submitted(db)
    await tasks.start(db, runs, "w", 10)
    assert await tasks.cancel(db, "ann", waits) == tasks.Cancellation("cancelled", True)
    assert await tasks.start(db, waits, "w", 10) is None
    assert await tasks.cancel(db, "ann", waits) == tasks.Cancellation("cancelled", False)
    assert await tasks.cancel(db, "ann", runs) == tasks.Cancellation("running", False)
    assert await tasks.renew(db, "w", -1) == [tasks.Lease(runs, 1, True)]
    assert not await tasks.requeue(db, runs, 1)
    assert (await tasks.reclaim_expired(db)).cancelled == [(runs, 1)]
    task = await tasks.get(db, "ann", runs)
    assert (
        task and task.state == "cancelled" and task.outcome and task.outcome["state"] == "cancelled"
    )


async def test_cancel_and_finish_have_one_winner(db: Any) -> None:
    """A cancel that races a finish leaves one final state, and it stays."""
    for _ in range(10):
        task_id = await submitted(db)
        await tasks.start(db, task_id, "w", 10)
        finished, cancelled = await asyncio.gather(
            tasks.finish(db, task_id, 1, DONE), tasks.cancel(db, "ann", task_id)
        )
        assert finished and cancelled and cancelled.state in ("running", "completed")


async def test_idempotency(db: Any) -> None:
    """One key and one body are one task however often they come at once; another body conflicts;
    another owner is apart.
    """
    answers = await asyncio.gather(
        *[tasks.submit(db, "ann", body(), idempotency_key="k") for _ in range(15)]
    )
    assert (
        len({answer.task_id for answer in answers}) == 1
        and sum(answer.created for answer in answers) == 1
    )
    with pytest.raises(tasks.Conflict):
        await tasks.submit(db, "ann", body("other"), idempotency_key="k")
    assert (await tasks.submit(db, "bob", body("other"), idempotency_key="k")).created


async def test_queue_limit(db: Any) -> None:
    """An owner may queue so many tasks and no more; a repeated submission is still answered."""
    first = await tasks.submit(db, "ann", body(), idempotency_key="k", max_queued=1)
    with pytest.raises(tasks.TooManyQueued):
        await tasks.submit(db, "ann", body(), max_queued=1)
    assert await tasks.submit(
        db, "ann", body(), idempotency_key="k", max_queued=1
    ) == tasks.Submitted(first.task_id, False)
    assert (await tasks.submit(db, "bob", body(), max_queued=1)).created


async def test_blobs_must_be_there(db: Any) -> None:
    """A request that names a blob which is not stored is refused with its digest; finish names the
    blobs it made.
    """
    payload = wire.Payload(b"p", "", ("a" * 64, "a" * 64, "b" * 64))
    await sql(db, f"INSERT INTO blobs (owner, digest) VALUES ('ann', '{'a' * 64}')")
    with pytest.raises(tasks.BlobsNotStored) as caught:
        await submitted(db, payload=payload)
    assert caught.value.args[0] == ["b" * 64]
    await sql(db, f"INSERT INTO blobs (owner, digest) VALUES ('ann', '{'b' * 64}')")
    task_id = await submitted(db, payload=payload)
    await tasks.start(db, task_id, "w", 10)
    assert await tasks.finish(
        db,
        task_id,
        1,
        wire.Outcome(wire.COMPLETED, payload=wire.Payload(buffers=("c" * 64, "a" * 64))),
        log_blob="d" * 64,
    )
    async with db.connect() as connection:
        stored = set(
            (
                await connection.execute(sa.select(blobs.c.digest).where(blobs.c.owner == "ann"))
            ).scalars()
        )
    assert stored == {letter * 64 for letter in "abcd"}
    assert await tasks.forget(db, "ann", task_id) == [letter * 64 for letter in "abcd"]


async def test_outcome_that_is_not_json(db: Any) -> None:
    """What JSON cannot hold never stops a task from ending."""
    task_id = await submitted(db)
    await tasks.start(db, task_id, "w", 10)
    assert await tasks.finish(
        db, task_id, 1, wire.Outcome(wire.COMPLETED, result=[float("nan"), 10**5000, "\0", {1, 2}])
    )
    task = await tasks.get(db, "ann", task_id)
    assert (
        task
        and task.outcome
        and task.outcome["result"][0] == {"repr": "nan"}
        and task.outcome["result"][2] == "\0"
    )


async def test_order_of_waiting(db: Any) -> None:
    """What waits is told in the order it starts: priority first, then first come, first served."""
    low, first, second, high = [await submitted(db, priority=p) for p in (1, 5, 5, 9)]
    assert [(task.id, task.priority) for task in await tasks.queued_tasks(db)] == [
        (high, 9),
        (first, 5),
        (second, 5),
        (low, 1),
    ]
    assert [task.id for task in await tasks.queue_heads(db, 1)] == [high]


async def test_heads_of_all(db: Any) -> None:
    """The first few of each owner and lane, however long the others' queues are."""
    for owner in ("ann", "bob", "cat"):
        for n in range(4):
            await tasks.submit(db, owner, wire.TaskRequest("1", priority=n).as_json(), short=n == 0)
    found = [(task.owner, task.short, task.priority) for task in await tasks.queue_heads(db, 2)]
    assert found == [
        (owner, short, n)
        for owner in ("ann", "bob", "cat")
        for short, n in ((False, 3), (False, 2), (True, 0))
    ]


async def test_pages(db: Any) -> None:
    """Pages walk all tasks, newest first, each once; filters narrow them."""
    ids = [await submitted(db, name=f"n_{n}" if n % 2 else "other") for n in range(5)]
    seen: list[str] = []
    after = None
    while found := await tasks.page(db, "ann", limit=2, after=after):
        seen += [task.id for task in found]
        after = (found[-1].created_at, found[-1].id)
    assert seen == ids[::-1]
    assert [task.name for task in await tasks.page(db, "ann", name="n_*")] == ["n_3", "n_1"]
    assert await tasks.page(db, "ann", name="nx*") == []
    await tasks.start(db, ids[0], "w", 10)
    assert [task.id for task in await tasks.page(db, "ann", state="running")] == [ids[0]]
    own = (await shares.quota_status(db, "ann", Settings())).of_owner
    assert (own["queued"].used, own["running"].used) == (4, 1)
