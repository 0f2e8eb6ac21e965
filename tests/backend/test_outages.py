"""What the gateway does while PostgreSQL or Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mecapy_backend.api.event_stream import LOOK_S
from mecapy_backend.migrations import upgrade
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import TOKEN, served
from .speak import Worker, client


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey.start(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def own_postgres(redis_url: str, tmp_path: Path) -> Iterator[tuple[Postgres, Settings]]:
    """A server to stop, and the settings of a gateway that uses it; what is started there again is
    stopped by who does.
    """
    with Postgres.start(tmp_path / "pg") as server:
        upgrade(server.url)
        yield (
            server,
            Settings(
                database_url=server.url,
                redis_url=redis_url,
                blob_url=f"file://{tmp_path}/blobs",
                token=SecretStr(TOKEN),
            ),
        )


async def test_redis_away(database_url: str, own_valkey: Valkey, tmp_path: Path) -> None:
    """Without Redis tasks are still taken, looked at, cancelled and followed to their end from the
    row; none of it hangs.
    """
    settings = Settings(
        database_url=database_url,
        redis_url=own_valkey.url,
        blob_url=f"file://{tmp_path}",
        token=SecretStr(TOKEN),
    )
    with served(settings) as gateway, client(gateway) as http:
        assert http.post("/tasks", json={"code": "1"}).json()["position"] == 1
        own_valkey.stop()
        began = time.monotonic()
        made = http.post("/tasks", json={"code": "1"})
        assert made.status_code == 201 and made.json() | {"task_id": ""} == {
            "task_id": "",
            "status": "queued",
            "position": None,
        }
        task_id = made.json()["task_id"]
        assert http.get(f"/tasks/{task_id}").json()["status"] == "queued"
        assert http.get("/readyz").status_code == 200
        ready = http.get("/readyz?verbose")
        assert (
            ready.status_code == 200
            and ready.json()["parts"]["redis"] == "away"
            and ready.json()["parts"]["postgres"] == "ok"
        )
        following = asyncio.create_task(asyncio.to_thread(http.get, f"/tasks/{task_id}/events"))
        assert (await asyncio.to_thread(http.post, f"/tasks/{task_id}/cancel")).json()[
            "status"
        ] == "cancelled"
        assert "event: cancelled" in (await following).text
        assert http.delete(f"/tasks/{task_id}").status_code == 204
        assert time.monotonic() - began < 300


def test_postgres_away(own_postgres: tuple[Postgres, Settings], tmp_path: Path) -> None:
    """Without PostgreSQL the answer is 503 with Retry-After within seconds; when it is back, so is
    the gateway.
    """
    server, settings = own_postgres
    with served(settings) as gateway, client(gateway, comes_again=False) as http:
        task_id = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        server.stop()
        for method, path in (
            ("GET", f"/tasks/{task_id}"),
            ("POST", "/tasks"),
            ("GET", "/tasks"),
            ("GET", f"/tasks/{task_id}/events"),
        ):
            began = time.monotonic()
            answer = http.request(method, path, json={"code": "1"})
            assert (path, answer.status_code) == (path, 503) and answer.headers["Retry-After"]
            assert time.monotonic() - began < 120
        with pytest.raises(errors.Unavailable, match="again"):
            Gateway(gateway.url, gateway.token).delete(f"/tasks/{task_id}")
        assert http.get("/readyz").status_code == 503 and http.get("/healthz").status_code == 200
        with Postgres.start(tmp_path / "pg"):
            until = time.monotonic() + 120
            while (answer := http.get(f"/tasks/{task_id}")).status_code == 503:
                assert time.monotonic() < until
            assert answer.json()["status"] == "queued"


@pytest.mark.long
async def test_a_stream_goes_on_without_postgres(own_postgres: tuple[Postgres, Settings]) -> None:
    """It comes from Redis: what a running task says is heard to its end, while nobody can look at
    its row.
    """
    server, settings = own_postgres
    with served(settings) as gateway, client(gateway) as http:
        task_id = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        async with Worker(gateway) as worker:
            await worker.start(task_id)
            following = asyncio.create_task(asyncio.to_thread(http.get, f"/tasks/{task_id}/events"))
            await asyncio.sleep(1)
            server.stop()
            await asyncio.sleep(2 * LOOK_S + 1)  # it has looked at the row meanwhile
            assert not following.done()
            final = [
                ("stdout", {"text": "hello"}),
                (wire.COMPLETED, wire.Outcome(wire.COMPLETED).as_json()),
            ]
            await events.append(worker.redis, task_id, final, last=True)
            assert (
                "hello" in (await following).text and "event: completed" in following.result().text
            )


async def test_nothing_is_lost_in_redis(gateway: Any) -> None:
    """After Redis lost the queue, the rows still say what waits, in order, and `enqueue` puts it
    back once.
    """
    with client(gateway) as http:
        ids = [
            http.post("/tasks", json={"code": "1", "priority": p}).json()["task_id"] for p in (1, 9)
        ]
        async with Worker(gateway) as worker:
            from mecapy_backend.store import tasks

            await worker.redis.flushdb()
            assert http.get(f"/tasks/{ids[0]}").json()["position"] is None
            for _ in range(2):
                for task in await tasks.queued_tasks(worker.db):
                    await worker.redis.enqueue(task.id, task.owner, task.priority)
            assert await worker.redis.depth() == 2
            assert [http.get(f"/tasks/{task_id}").json()["position"] for task_id in ids] == [2, 1]
            await worker.start(ids[1])
            await worker.finish(ids[1], wire.Outcome(wire.COMPLETED))
            assert http.get(f"/tasks/{ids[0]}").json()["position"] == 1
