"""The cache of results over REST: one run for equal keys, its result for all later ones, and when
it is found no more.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.store import result_cache, tables
from mecapy_backend.store.tasks import mark_network_used
from mecapy_jupyter import wire

from .speak import Worker, client

KEYS = {"key": "k" * 64, "seeded": "s" * 64}
BODY = {"code": "solve()", "cache": KEYS}
DONE = wire.Outcome(wire.COMPLETED, result=7, seconds=3.5)


async def _ran(gateway: Any, http: Any, key: str | None = KEYS["key"]) -> str:
    """A task with these keys, finished, its result kept under `key`."""
    task_id = http.post("/tasks", json=BODY).json()["task_id"]
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await worker.finish(task_id, DONE, cache_key=key)
    return task_id


@pytest.mark.parametrize("key", [KEYS["key"], KEYS["seeded"]])
async def test_a_kept_result_answers_the_next_submission(gateway: Any, key: str) -> None:
    """Either key finds it: with the first task's id and when it ran, and no task more; `again`
    runs.
    """
    with client(gateway) as http:
        first = await _ran(gateway, http, key)
        found = http.post("/tasks", json=BODY).json()
        assert found["task_id"] == first and found["status"] == "completed"
        assert found["cached"]["seconds"] == 3.5 and found["cached"]["request"]["code"] == "solve()"
        assert len(http.get("/tasks").json()["tasks"]) == 1
        kept = http.get("/cache").json()
        assert (kept["count"], kept["entries"][0]["code"]) == (1, "solve()")
        more = http.post("/tasks", json=BODY | {"cache": KEYS | {"again": True}}).json()
        assert more["task_id"] != first and "cached" not in more


async def test_what_is_not_kept_is_not_found(gateway: Any) -> None:
    """No key at the end, the network used, cleared, or a blob gone: each is a miss."""
    with client(gateway) as http:
        seen = [await _ran(gateway, http, None)]
        seen.append(http.post("/tasks", json=BODY).json()["task_id"])
        async with Worker(gateway) as worker:
            await worker.start(seen[-1])
            await mark_network_used(worker.db, seen[-1], 1)
            await worker.finish(seen[-1], DONE, cache_key=KEYS["key"])
        seen.append(await _ran(gateway, http))
        assert http.delete("/cache").json() == {"cleared": 1}
        seen.append(await _ran(gateway, http))
        assert http.delete(f"/cache/{seen[-1]}").json() == {"cleared": 1}
        seen.append(await _ran(gateway, http))
        async with Worker(gateway) as worker, worker.db.connect() as connection:
            one = tables.tasks.c.id == seen[-1]
            await connection.execute(sa.update(tables.tasks).where(one).values(digests=["0" * 64]))
        seen.append(http.post("/tasks", json=BODY).json()["task_id"])
        assert len(set(seen)) == 6


async def test_another_owner_finds_nothing(gateway: Any) -> None:
    """Whatever the keys, and a stranger clears nothing."""
    with client(gateway) as http:
        first = await _ran(gateway, http)
        async with Worker(gateway) as worker:
            keys = wire.CacheKeys(**KEYS)
            assert await result_cache.find(worker.db, "bob", keys) is None
            assert await result_cache.clear(worker.db, "bob", [first]) == 0
            found = await result_cache.find(worker.db, "local", keys)
            assert found and found.task_id == first


async def test_equal_keys_at_once_are_one_task(gateway: Any) -> None:
    """Of eight submissions at the same moment one makes the task, and the others name it; once it
    has ended without a kept result, the next one makes another.
    """
    with client(gateway) as http:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: http.post("/tasks", json=BODY).json(), range(8)))
        (task_id,) = {answer["task_id"] for answer in answers}
        assert sum("same_runs" not in answer for answer in answers) == 1
        assert http.post(f"/tasks/{task_id}/cancel").json()["status"] == "cancelled"
        assert http.post("/tasks", json=BODY).json()["task_id"] != task_id


async def test_what_ends_while_the_same_is_submitted_is_found(gateway: Any) -> None:
    """The end of a run is committed while the same is submitted: it is found, and no other runs."""
    done = {"state": "completed", "outcome": DONE.as_json(), "lease_until": None}
    done |= {"is_cached": True, "completed_at": sa.func.now()}
    waits = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    with client(gateway) as http, ThreadPoolExecutor(1) as pool:
        first = http.post("/tasks", json=BODY).json()["task_id"]
        async with Worker(gateway) as worker:
            await worker.start(first)
            committed = worker.db.execution_options(isolation_level="READ COMMITTED")
            async with committed.begin() as ending, worker.db.connect() as watching:
                one = tables.tasks.c.id == first
                await ending.execute(sa.update(tables.tasks).where(one).values(done))
                second = pool.submit(http.post, "/tasks", json=BODY)
                async with asyncio.timeout(120):
                    while not (await watching.execute(waits)).scalar_one():  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            answer = (await asyncio.wrap_future(second)).json()
        assert answer["task_id"] == first and answer["cached"]["seconds"] == 3.5, answer
        assert len(http.get("/tasks").json()["tasks"]) == 1


def test_with_needs_it_is_refused(gateway: Any) -> None:
    """A result that is not there yet has no content, so no key."""
    with client(gateway) as http:
        needs = {"x": "task:00000000-0000-0000-0000-000000000000:"}
        answer = http.post("/tasks", json=BODY | {"needs": needs})
        assert answer.status_code == 422 and "cache" in answer.text
