"""Attempts that ended without an outcome: what runs again, when, and what is known of them."""

from __future__ import annotations

from typing import Any

import pytest

from mecapy_backend.store import tasks
from mecapy_jupyter import wire

from .test_tasks import DONE, sql, submitted


async def test_stale_attempt_changes_nothing(db: Any) -> None:
    """After its lease ran out, an attempt can neither finish nor requeue the task; the next attempt
    can.
    """
    task_id = await submitted(db)
    await tasks.start(db, task_id, "w1", -1)
    assert [(task.id, task.priority) for task in (await tasks.reclaim_expired(db)).requeued] == [
        (task_id, 5)
    ]
    assert not await tasks.finish(db, task_id, 1, DONE)
    again = await tasks.start(db, task_id, "w2", 10)
    assert again and again.attempt == 2
    assert not await tasks.finish(db, task_id, 1, DONE) and not await tasks.requeue(db, task_id, 1)
    assert await tasks.finish(db, task_id, 2, DONE)
    assert not await tasks.finish(db, task_id, 2, wire.Outcome(wire.FAILED))


async def test_poison_task_fails_after_three_losses(db: Any) -> None:
    """Exactly the third lost worker makes a task fail, with a reason; giving it back counts no
    loss.
    """
    task_id = await submitted(db)
    await tasks.start(db, task_id, "w", 10)
    assert await tasks.requeue(db, task_id, 1)
    for attempt in (2, 3):
        await tasks.start(db, task_id, "w", -1)
        found = await tasks.reclaim_expired(db)
        assert [task.id for task in found.requeued] == [task_id] and not found.lost and attempt < 4
    await tasks.start(db, task_id, "w", -1)
    assert await tasks.reclaim_expired(db) == tasks.Expired([], [(task_id, 4)], [], [])
    task = await tasks.get(db, "ann", task_id)
    assert (
        task
        and task.state == "failed"
        and task.outcome
        and task.outcome["error"]["kind"] == "worker_lost"
    )
    assert [(attempt["attempt"], attempt["why"]) for attempt in task.earlier] == [
        (1, tasks.LEFT),
        (2, tasks.LOST),
        (3, tasks.LOST),
    ]


@pytest.mark.parametrize("how", ["vanished", "stopped"])
async def test_what_went_out_runs_once(db: Any, how: str) -> None:
    """A task that has used the network is not run again when its worker vanishes or is stopped,
    unless it asked for retries; one that has not is. A stale attempt notes nothing.
    """
    quiet, once, asked = await submitted(db), await submitted(db), await submitted(db, retries=1)
    for task_id in (quiet, once, asked):
        await tasks.start(db, task_id, "w", -1 if how == "vanished" else 10)
        assert task_id == quiet or await tasks.mark_network_used(db, task_id, 1)
    if how == "vanished":
        found = await tasks.reclaim_expired(db)
        assert ({task.id for task in found.requeued}, found.once, found.lost) == (
            {quiet, asked},
            [(once, 1)],
            [],
        )
        task = await tasks.get(db, "ann", once)
        assert (
            task
            and task.state == "failed"
            and task.worker == "w"
            and task.outcome == tasks.once_outcome().as_json()
        )
    else:
        answers = {task_id: await tasks.requeue(db, task_id, 1) for task_id in (quiet, once, asked)}
        assert answers == {quiet: "queued", once: "running", asked: "queued"}
        task = await tasks.get(db, "ann", once)
        assert task and (task.state, task.worker, task.earlier) == ("running", "w", [])
    assert not await tasks.mark_network_used(db, asked, 1)
    error = tasks.once_outcome().error
    assert error and "had used the network" in error.message and "`--retries 1`" in error.message


async def test_why_attempts_ended(db: Any) -> None:
    """Each attempt before the present one is kept: its worker, its times, why it ended and what it
    said, whatever a cell wrote there.
    """
    task_id = await submitted(db)
    for worker in ("w1", "w2"):
        started = await tasks.start(db, task_id, worker, 10)
        assert started and await tasks.requeue(
            db, task_id, started.attempt, "cell", f"\0{worker}: '\u2028\\u0000' {'x' * 1000}"
        )
    started = await tasks.start(db, task_id, "w3", 10)
    assert started and started.earlier == ("cell", "cell") and started.losses == 0
    task = await tasks.get(db, "ann", task_id)
    assert task and [attempt["worker"] for attempt in task.earlier] == ["w1", "w2"]
    first, second = task.earlier
    assert first["said"].startswith("w1: '\u2028") and len(first["said"]) == 300
    assert first["started_at"] <= first["ended_at"] <= second["started_at"]


async def test_a_retry_waits_for_its_pause(db: Any) -> None:
    """It is queued, but nobody puts it in line before its time; then it is due until it starts."""
    task_id = await submitted(db, retries=1)
    await tasks.start(db, task_id, "w1", 10)
    assert await tasks.requeue(db, task_id, 1, "cell", "no", 3600.0) == "queued"
    waiting = tasks.queued_tasks, tasks.queue_heads, tasks.due_again
    assert [await look(db) for look in waiting] == [[], [], []]
    await sql(db, "UPDATE tasks SET not_before = now() - interval '1 second'")
    assert [[each.id for each in await look(db)] for look in waiting] == [[task_id]] * 3
    started = await tasks.start(db, task_id, "w2", 10)
    assert started and started.attempt == 2 and await tasks.due_again(db) == []
    assert await tasks.requeue(db, task_id, 2, tasks.LEFT) == "queued"
    assert len(await tasks.queued_tasks(db)) == 1 and await tasks.due_again(db) == []
