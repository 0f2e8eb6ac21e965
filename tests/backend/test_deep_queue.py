"""A long queue costs those who submit, look and start nothing."""

from __future__ import annotations

from typing import Any, cast

import sqlalchemy as sa

from mecapy_backend.api.limits.allowance import TaskQuotas
from mecapy_backend.queue.queue import Queue, score
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks
from mecapy_jupyter import wire

DEEP = 20_000
_FILL = sa.text(
    """INSERT INTO tasks (id, owner, name, priority, request, request_digest, digests, state)
       SELECT gen_random_uuid(), 'ann', '', 5, '{}', '\\x00', '{}', 'queued'
       FROM generate_series(1, :count)"""
)


async def fill(db: Any, count: int) -> None:
    async with db.connect() as connection:
        await connection.execute(_FILL, {"count": count})
        await connection.execute(sa.text("ANALYZE tasks"))


async def rows_read(db: Any, statement: str) -> int:
    """How many rows PostgreSQL touched for it."""
    async with db.connect() as connection:
        plan = (
            await connection.execute(sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))
        ).scalar_one()[0]["Plan"]
    return count(plan)


def count(plan: dict[str, Any]) -> int:
    own = int(plan["Actual Rows"]) + int(plan.get("Rows Removed by Filter", 0))
    return own + sum(map(count, plan.get("Plans", ())))


async def test_far_below_the_limit_nothing_is_counted(db: Any) -> None:
    """The first submission looks, the next ones need not; near the limit each one is checked, and
    the limit holds.
    """
    settings = Settings(max_queued_tasks=10)
    allowances = TaskQuotas(settings)
    seen = [(await allowances.submission(db, "ann")).count_to for _ in range(10)]
    assert seen[:8] == [None] * 8 and seen[8:] == [10, 10]
    await fill(db, 10)
    assert (await TaskQuotas(settings).submission(db, "ann")).count_to == 10
    assert (await TaskQuotas(settings).submission(db, "bob")).count_to is None


async def test_looking_reads_few_rows(db: Any) -> None:
    """The estimate's last tasks, the head of the queue,
    and one task of 20,000 are found by index.
    """
    await fill(db, DEEP)
    ended = (
        "SELECT 1 FROM tasks WHERE owner = 'ann' AND completed_at IS NOT NULL ORDER BY "
        "completed_at DESC LIMIT 20"
    )
    head = (
        "SELECT id FROM tasks WHERE state = 'queued' ORDER BY priority DESC, created_at LIMIT 100"
    )
    newest = "SELECT id FROM tasks WHERE owner = 'ann' ORDER BY created_at DESC, id LIMIT 50"
    assert max([await rows_read(db, statement) for statement in (ended, head, newest)]) < 1000


async def test_starting_reads_one_row(db: Any) -> None:
    """A start among 20,000 touches its own task alone."""
    await fill(db, DEEP)
    submitted = await tasks.submit(db, "ann", wire.TaskRequest("1").as_json())
    update = (
        f"UPDATE tasks SET state = 'running' WHERE id = '{submitted.task_id}' AND state = 'queued'"
    )
    assert await rows_read(db, update) <= 2


async def test_a_place_does_not_ask_about_each_user(queue: Queue) -> None:
    """Where a newcomer stands is said with as many commands among 300 users who wait as among 3:
    none is looked at who comes after.
    """

    async def commands(users: int) -> int:
        for number in range(users):
            await queue.put_back(f"user-{number}", {f"{number}-{n}": score(5) for n in range(20)})
        assert await queue.enqueue("mine", "newcomer") is not None
        before = await _called(queue)
        position = await queue.position("mine")
        assert position is not None and position <= users + 2
        await queue.withdraw("mine")
        return await _called(queue) - before

    assert await commands(3) == await commands(300)


async def _called(queue: Queue) -> int:
    """How many commands Redis has carried out so far, those of scripts counted each."""
    stats: dict[str, dict[str, int]] = await cast(Any, queue).info("commandstats")
    return sum(
        one["calls"]
        for name, one in stats.items()
        if name.split("_")[1].split("|")[0] in ("zcard", "hget", "zrange", "zrank", "zscore")
    )
