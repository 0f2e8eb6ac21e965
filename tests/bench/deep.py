"""What a long queue costs: submit, look (state and position) and start, with ten tasks queued and
with 100,000, in turn.

Two gateways of one PostgreSQL and one Valkey, each with a database of its own; no worker, so that
the queues stay as deep as they are. Part of `make bench`; never a test:
`tests/backend/test_deep_queue.py` counts the rows that are read instead.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
import structlog
from pydantic import SecretStr

from mecapy_backend.migrations import upgrade
from mecapy_backend.queue import keys
from mecapy_backend.queue import queue as queues
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack import services
from mecapy_backend.store import database, tasks
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared.version import minor

from ..conftest import TOKEN, named, served

TARGET = 1.2
_BODY = wire.TaskRequest("x = 1").as_json()
_FILL = sa.text(
    """INSERT INTO tasks (id, owner, name, priority, request, request_digest, digests, state)
       SELECT unnest(CAST(:ids AS uuid[])), unnest(CAST(:owners AS text[])), '', 5,
              '{"code": "x = 1"}', '\\x00', '{}', 'queued'"""
)


@dataclass(frozen=True, slots=True)
class Side:
    """One gateway with `depth` tasks before it."""

    depth: int
    gateway: Gateway
    settings: Settings


@contextmanager
def side(
    folder: Path, postgres: Any, valkey: Any, number: int, depth: int, users: int
) -> Iterator[Side]:
    asyncio.run(_execute(postgres.url, sa.text(f"CREATE DATABASE deep_{number}")))
    settings = Settings(
        database_url=named(postgres.url, f"deep_{number}"),
        redis_url=f"{valkey.url.partition('?')[0]}?db={number}",
        blob_url=f"file://{folder}/blobs-{number}", token=SecretStr(TOKEN),
        max_queued_tasks=10 * depth + 1000,
    )  # fmt: skip
    upgrade(settings.database_url)
    ids = [str(uuid.uuid4()) for _ in range(depth)]
    owners = [f"user-{number % users}" if users > 1 else "local" for number in range(depth)]
    asyncio.run(
        _execute(
            settings.database_url,
            _FILL.bindparams(ids=ids, owners=owners),
            sa.text("ANALYZE tasks"),
        )
    )
    with redis.Redis.from_url(settings.redis_url) as connection:
        connection.flushdb()
    asyncio.run(_line_up(settings.redis_url, ids, owners))
    with served(settings) as running:
        gateway = Gateway(running.url, running.token)
        try:
            yield Side(depth, gateway, settings)
        finally:
            gateway.close()


async def _line_up(url: str, ids: list[str], owners: list[str]) -> None:
    queue = queues.connect(url)
    lines: dict[str, dict[str, float]] = {}
    for task_id, owner in zip(ids, owners, strict=True):
        lines.setdefault(owner, {})[task_id] = queues.score(5)
    for owner, line in lines.items():
        await queue.put_back(owner, line)
    await queue.aclose(close_connection_pool=True)


async def _execute(url: str, *statements: Any) -> None:
    engine = database.connect(url, command_timeout_s=120)
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(statement)
    await engine.dispose()


def once(at: Side, loop: asyncio.Runner, db: Any, queue: Any) -> dict[str, float]:
    """Seconds of each step. One task more, one task fewer: the queue stays as deep as it was."""
    moments = [time.perf_counter()]
    task_id = at.gateway.post("/tasks", _BODY)["task_id"]
    moments.append(time.perf_counter())
    at.gateway.get(f"/tasks/{task_id}")
    moments.append(time.perf_counter())
    assert loop.run(_start(db, queue)) is not None
    moments.append(time.perf_counter())
    return {
        name: moments[n + 1] - moments[n]
        for n, name in enumerate(("submit", "state and position", "start"))
    }


async def _start(db: Any, queue: Any) -> Any:
    taken = queues.PoppedTask.of(await queue.bzpopmin(keys.lanes(minor()), 1))
    if taken.more:
        await queue.refill(taken.lane)
    return await tasks.start(db, taken.task_id, "bench", 10.0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--depth", type=int, default=100_000)
    arguments.add_argument("-n", type=int, default=300, help="rounds")
    arguments.add_argument(
        "--users",
        type=int,
        nargs="*",
        default=[1, 100],
        help="of how many users the tasks are, run by run",
    )
    asked, _ = arguments.parse_known_args()
    for users in asked.users:
        compare(asked.depth, asked.n, users)


def compare(depth: int, rounds: int, users: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ExitStack() as stack, asyncio.Runner() as loop:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True)
            )
        )
        postgres = stack.enter_context(services.Postgres.start(folder / "postgres"))
        valkey = stack.enter_context(services.Valkey.start(folder / "valkey"))
        sides = [
            stack.enter_context(side(folder, postgres, valkey, n, deep, users))
            for n, deep in enumerate((10, depth), 1)
        ]
        opened = [
            (at, database.connect(at.settings.database_url), queues.connect(at.settings.redis_url))
            for at in sides
        ]
        found: list[dict[str, list[float]]] = [{}, {}]
        for round_ in range(rounds + 20):
            for times, (at, db, queue) in zip(
                found, opened, strict=True
            ):  # in turn, so that a slow moment meets both
                for name, seconds in once(at, loop, db, queue).items():
                    if round_ >= 20:
                        times.setdefault(name, []).append(seconds)
        for _, db, queue in opened:
            loop.run(db.dispose())
            loop.run(queue.aclose(close_connection_pool=True))
    print(f"tasks of {users} user{'s' * (users > 1)}")
    for name in found[0]:
        shallow, deep = (statistics.median(times[name]) * 1e3 for times in found)
        print(
            f"{name:<20} 10 queued {shallow:6.2f} ms   {depth:,} queued {deep:6.2f} ms   "
            f"{deep / shallow:5.2f} ×   (target {TARGET})"
        )


if __name__ == "__main__":
    main()
