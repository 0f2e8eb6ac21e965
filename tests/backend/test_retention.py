"""How long a finished task is kept, and that this is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks, workflows
from mecapy_backend.store.people import shares, usage
from mecapy_backend.store.tables import counts
from mecapy_backend.store.tasks import lookup, retention
from mecapy_jupyter import wire

from ..conftest import RunningGateway
from .test_deep_queue import fill

HOUR_S = 3600.0
_END = sa.text(
    "UPDATE tasks SET state = 'completed', outcome = '{}', completed_at = now() - "
    "make_interval(secs => :ago_s) WHERE id = :task"
)


async def ended(db: Any, owner: str, ago_s: float) -> str:
    task_id = (await tasks.submit(db, owner, wire.TaskRequest("1").as_json())).task_id
    async with db.connect() as connection:
        await connection.execute(_END, {"task": task_id, "ago_s": ago_s})
    return task_id


async def test_old_ones_go_and_no_others(db: Any) -> None:
    """Of any owner, what ended longer ago goes, in batches; what is younger, queued or running
    stays, however old.
    """
    old = {
        await ended(db, owner, HOUR_S + 60) for owner in ("ann", "bob", "cleo") for _ in range(3)
    }
    young = await ended(db, "bob", HOUR_S - 60)
    waiting = (await tasks.submit(db, "ann", wire.TaskRequest("1").as_json())).task_id
    await tasks.start(db, waiting, "w", 10)
    async with db.connect() as connection:
        await connection.execute(
            sa.text("UPDATE tasks SET created_at = now() - interval '1 year' WHERE id = :task"),
            {"task": waiting},
        )
    first = await retention.forget_old(db, HOUR_S, limit=5)
    assert len(first) == 5
    second = await retention.forget_old(db, HOUR_S, limit=5)
    assert {*first, *second} == old and await retention.forget_old(db, HOUR_S, limit=5) == []
    assert await lookup.get(db, "bob", young) and await lookup.get(db, "ann", waiting)


async def test_what_goes_stays_counted(db: Any) -> None:
    """Swept or forgotten, a task counts on under its owner, state and month; one that had not
    ended, as cancelled; each exactly once.
    """
    long_ago = 400 * 24 * HOUR_S
    for ago_s in (long_ago, long_ago, 2 * HOUR_S):
        await ended(db, "dora", ago_s)
    bobs = [await ended(db, "emil", ago_s) for ago_s in (long_ago, 0)]
    while await retention.forget_old(db, HOUR_S, limit=2):
        pass
    assert await tasks.forget(db, "dora", bobs[1]) is None  # not hers
    queued = (await tasks.submit(db, "emil", wire.TaskRequest("1").as_json())).task_id
    for task_id in (bobs[1], queued):
        assert (
            await tasks.forget(db, "emil", task_id) == []
            and await tasks.forget(db, "emil", task_id) is None
        )
    async with db.connect() as connection:
        rows = (
            await connection.execute(sa.select(counts).where(counts.c.owner.in_(["dora", "emil"])))
        ).all()
        (month,) = (
            await connection.execute(
                sa.text("SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date")
            )
        ).one()
    told = {
        (row.owner, row.month >= month - timedelta(days=31), row.state): row.tasks for row in rows
    }
    assert told == {
        ("dora", False, "completed"): 2, ("dora", True, "completed"): 1,
        ("emil", False, "completed"): 1, ("emil", True, "completed"): 1,
        ("emil", True, "cancelled"): 1,
    }  # fmt: skip


async def test_a_key_that_expired_with_its_task_is_new(db: Any) -> None:
    """The idempotency key lives as long as its task: afterwards it makes another one."""
    body = wire.TaskRequest("1").as_json()
    first = await tasks.submit(db, "ann", body, idempotency_key="k")
    async with db.connect() as connection:
        await connection.execute(_END, {"task": first.task_id, "ago_s": 2 * HOUR_S})
    assert await retention.forget_old(db, HOUR_S) == [first.task_id]
    assert (await tasks.submit(db, "ann", body, idempotency_key="k")).created


def test_the_api_says_until_when(gateway: RunningGateway) -> None:
    """`expires_at` once the task is final, null before; `GET /me` has the time as a figure."""
    with httpx.Client(
        base_url=gateway.url, headers={"Authorization": f"Bearer {gateway.token}"}, timeout=120
    ) as http:
        address = f"/tasks/{http.post('/tasks', json={'code': '1'}).json()['task_id']}"
        assert http.get(address).json()["expires_at"] is None
        http.post(f"{address}/cancel")
        said = http.get(address).json()
        kept = datetime.fromisoformat(said["expires_at"]) - datetime.fromisoformat(
            said["completed_at"]
        )
        assert (
            kept
            == timedelta(seconds=gateway.settings.keep_s)
            == timedelta(seconds=http.get("/me").json()["limits"]["keep_s"])
        )
        assert http.get("/tasks").json()["tasks"][0]["expires_at"] == said["expires_at"]


async def test_counting_ends(db: Any) -> None:
    """`GET /me` counts a queue of any length only so far, and says how far; a shorter one is
    counted exactly.
    """
    settings = Settings(max_queued_tasks=500)
    await fill(db, 510)
    assert (await shares.quota_status(db, "ann", settings)).of_owner["queued"].used == 500
    for _ in range(3):
        await tasks.submit(db, "bob", wire.TaskRequest("1").as_json())
    started = (await tasks.submit(db, "bob", wire.TaskRequest("1").as_json())).task_id
    await tasks.start(db, started, "w", 10)
    own = (await shares.quota_status(db, "bob", settings)).of_owner
    assert (own["queued"].used, own["running"].used) == (3, 1)


_WAITED = sa.text(
    "UPDATE tasks SET state = 'completed', outcome = '{}', created_at = now() - interval '1 hour', "
    "started_at = now() - interval '1 hour' + make_interval(secs => :waited_s), "
    "completed_at = now() WHERE id = :task"
)


async def test_a_months_report_outlives_its_tasks(db: Any) -> None:
    """States and waits of a month are the same before its tasks are swept, forgotten or deleted
    with their workflow, and after; a task that waited for its parent has no wait, a retried one
    that until its first start.
    """
    this_month = datetime.now(UTC).date().replace(day=1)
    body = wire.TaskRequest("1").as_json()
    made = [(await tasks.submit(db, "fay", body)).task_id for _ in range(100)]
    parent, child = made[0], made[1]
    needs = body | {"needs": {"x": parent}}
    retried = "jsonb_build_array(jsonb_build_object('started_at', created_at + interval '3 s'))"
    async with db.connect() as connection:
        for waited_s, task in enumerate(made[1:], 1):
            await connection.execute(_WAITED, {"task": task, "waited_s": waited_s})
        for change in (
            "INSERT INTO organisations (id, name, created_at) VALUES ('acme', '', now())",
            "INSERT INTO users (id, issuer, subject, organisation, created_at, seen_at) "
            "VALUES ('fay', '', 'fay', 'acme', now(), now())",
            "INSERT INTO workflows (id, owner, name, created_at) "
            f"VALUES ('{parent}', 'fay', '', now())",
            f"UPDATE tasks SET request = '{json.dumps(needs)}' WHERE id = '{child}'",
            f"UPDATE tasks SET earlier = {retried} WHERE id = '{made[99]}'",
            f"UPDATE tasks SET workflow = '{parent}' WHERE id = '{made[50]}'",
        ):
            await connection.execute(sa.text(change))

    async def report() -> usage.MonthlyEnds:
        return (await usage.monthly_ends(db, "acme", this_month))["acme"]

    before = await report()
    assert before.states == {"completed": 99}
    assert before.wait_p50_s == pytest.approx(49, rel=0.01)
    assert before.wait_p99_s == pytest.approx(98, rel=0.01)
    assert await tasks.forget(db, "fay", made[10]) == []
    assert (await workflows.delete(db, "fay", parent) or [()])[0] == [made[50]]
    assert await report() == before
    while await retention.forget_old(db, 0, limit=40):
        pass
    assert await lookup.get(db, "fay", child) is None
    assert await report() == before
    assert await usage.monthly_ends(db, "other", this_month) == {}
