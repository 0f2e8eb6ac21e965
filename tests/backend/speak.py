"""Small helpers to speak to a gateway in tests, and to play a worker in it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from mecapy_backend.queue import queue as queues
from mecapy_backend.store import database, tasks
from mecapy_backend.store.log import events
from mecapy_jupyter import wire


class ComesAgain(httpx.Client):
    """As every client does, it comes again where the answer is 503 with Retry-After: a machine that
    is too busy for its PostgreSQL brings that about.
    """

    def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
        until = time.monotonic() + 120
        if (request.method, request.url.path) == ("POST", "/tasks"):
            request.headers.setdefault("Idempotency-Key", uuid.uuid4().hex)
        while True:
            answer = super().send(request, **more)
            if answer.status_code != 503 or not isinstance(request.stream, httpx.ByteStream):
                return answer
            if "Retry-After" not in answer.headers or time.monotonic() > until:
                return answer
            answer.close()
            time.sleep(float(answer.headers["Retry-After"]))


def client(gateway: Any, *, comes_again: bool = True, **more: Any) -> httpx.Client:
    return (ComesAgain if comes_again else httpx.Client)(
        base_url=gateway.url,
        headers={"Authorization": f"Bearer {gateway.token}"},
        timeout=120,
        **more,
    )


def events_of(answer: httpx.Response) -> list[wire.Event]:
    """The events of a whole stream."""
    import json

    found = list[wire.Event]()
    for block in answer.text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if fields:
            found.append(wire.Event(fields["id"], fields["event"], json.loads(fields["data"])))
    return found


class Worker:
    """What a worker does to store and queue, without running anything."""

    def __init__(self, gateway: Any) -> None:
        self.db = database.connect(gateway.settings.database_url, connect_s=60)
        self.redis = queues.connect(gateway.settings.redis_url)

    async def __aenter__(self) -> Worker:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.aclose(close_connection_pool=True)
        await self.db.dispose()

    async def start(self, task_id: str) -> tasks.StartedAttempt:
        started = await tasks.start(self.db, task_id, "w1", 10)
        assert started
        await self.redis.withdraw(task_id)
        await events.append(
            self.redis, task_id, [(wire.STARTED, {"worker": "w1", "attempt": started.attempt})]
        )
        return started

    async def says(self, task_id: str, body: wire.EventBody) -> None:
        event = wire.Event.of(body)
        await events.append(self.redis, task_id, [(event.type, event.data)])

    async def finish(
        self,
        task_id: str,
        outcome: wire.Outcome,
        log: Sequence[wire.Event] = (),
        *,
        tell: bool = True,
        cache_key: str | None = None,
    ) -> None:
        assert await tasks.finish(self.db, task_id, 1, outcome, log, cache_key=cache_key)
        if tell:
            await events.append_end(self.redis, task_id, outcome)
