"""The event stream: live, resumed, and from the row when Redis has nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import psutil

from mecapy_backend.store import tasks
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway

from .speak import Worker, client, events_of

DONE = wire.Outcome(wire.COMPLETED, result=7)
TEXT = "a\n\u2028\x85\0\ud800é"


def submit(gateway: Any) -> str:
    with client(gateway) as http:
        return http.post("/tasks", json={"code": "1"}).json()["task_id"]


def follow(gateway: Any, task_id: str, last_id: str = "") -> list[wire.Event]:
    """The whole stream, as the client of the notebook reads it."""
    return list(Gateway(gateway.url, gateway.token).events(task_id, last_id))


async def test_live(gateway: Any) -> None:
    """A follower from the start sees every event in order, the last one the moment it is there, and
    then the stream ends.
    """
    task_id = submit(gateway)
    following = asyncio.create_task(asyncio.to_thread(follow, gateway, task_id))
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await events.append(worker.redis, task_id, [(wire.STDOUT, {"text": TEXT})])
        await worker.finish(task_id, DONE)
    seen = [event for event in await following if event.type != wire.QUEUED]
    assert [event.type for event in seen] == ["started", "stdout", "completed"]
    assert seen[1].data == {"text": TEXT} and seen[2].data == DONE.as_json()


async def test_the_end_is_heard_whatever_came_before(gateway: Any) -> None:
    """A final event with an older number than what a reader has had ends their stream: otherwise
    they would ask again for ever.
    """
    task_id = submit(gateway)
    end = [(wire.COMPLETED, DONE.as_json())]
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await events.append(worker.redis, task_id, [(wire.STDOUT, {"text": "a"})] * 3, (1, 5))
        await worker.finish(task_id, DONE, tell=False)
        await events.append(worker.redis, task_id, end * 2, (1, 0), last=True)
    whole = await asyncio.to_thread(follow, gateway, task_id)
    assert [event.type for event in whole] == ["started", *["stdout"] * 3, "completed"]
    assert await asyncio.to_thread(follow, gateway, task_id, whole[-2].id) == whole[-1:]


async def test_resume(gateway: Any) -> None:
    """With Last-Event-ID a stream goes on after that event, each event once."""
    task_id = submit(gateway)
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await events.append(
            worker.redis, task_id, [(wire.STDOUT, {"text": str(n)}) for n in range(30)]
        )
        await worker.finish(task_id, DONE)
    whole = await asyncio.to_thread(follow, gateway, task_id)
    assert len(whole) == 32
    for cut in (0, 7, 30):
        assert await asyncio.to_thread(follow, gateway, task_id, whole[cut].id) == whole[cut + 1 :]


async def test_redis_lost_everything(gateway: Any) -> None:
    """After Redis lost a stream, the kept log and the final event come from the row, and can be
    resumed too.
    """
    task_id = submit(gateway)
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await events.append(
            worker.redis, task_id, [(wire.STDOUT, {"text": TEXT}), (wire.STDERR, {"text": "e"})]
        )
        log = await events.read(worker.redis, task_id)
        await worker.finish(task_id, DONE, log)
        await worker.redis.flushdb()
    seen = await asyncio.to_thread(follow, gateway, task_id)
    assert seen == [*log, wire.Event("end", "completed", DONE.as_json())]
    assert await asyncio.to_thread(follow, gateway, task_id, log[1].id) == seen[2:]
    assert await asyncio.to_thread(follow, gateway, task_id, "end") == seen[3:]


async def test_final_event_never_told(gateway: Any) -> None:
    """A follower whose worker dies between the row and the final event still
    ends.
    """
    task_id = submit(gateway)
    following = asyncio.create_task(asyncio.to_thread(follow, gateway, task_id))
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        log = await events.read(worker.redis, task_id)
        await worker.finish(task_id, DONE, log, tell=False)
    seen = [event for event in await asyncio.wait_for(following, 120) if event.type != wire.QUEUED]
    assert [event.type for event in seen] == ["started", "completed"] and seen[
        -1
    ].data == DONE.as_json()


async def test_cancelled_while_queued(gateway: Any) -> None:
    """A follower of a queued task sees its cancel as the final event."""
    task_id = submit(gateway)
    following = asyncio.create_task(asyncio.to_thread(follow, gateway, task_id))
    with client(gateway) as http:
        await asyncio.to_thread(http.post, f"/tasks/{task_id}/cancel")
    assert (await following)[-1].type == "cancelled"


async def test_forgotten_while_followed(gateway: Any) -> None:
    """The stream of a task that is forgotten ends."""
    task_id = submit(gateway)
    with client(gateway) as http, http.stream("GET", f"/tasks/{task_id}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: queued"
        async with Worker(gateway) as worker:
            assert await tasks.forget(worker.db, "local", task_id) == []
        assert (
            await asyncio.to_thread(lambda: [line for line in lines if line.startswith("event:")])
            == []
        )


def test_bad_last_id(gateway: Any) -> None:
    """A Last-Event-ID that is none is refused."""
    task_id = submit(gateway)
    with client(gateway) as http:
        for bad in ("x", "-", "1-x", "$", "99999999999999999999999999-0", "-1-0"):
            answer = http.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": bad})
            assert (bad, answer.status_code) == (bad, 422)


async def test_stream_is_plain_sse(gateway: Any) -> None:
    """The stream is text/event-stream, unbuffered, each event with id, name and JSON data on one
    line.
    """
    task_id = submit(gateway)
    async with Worker(gateway) as worker:
        await worker.start(task_id)
        await worker.finish(task_id, DONE)
    answer = await asyncio.to_thread(
        httpx.get,
        f"{gateway.url}/tasks/{task_id}/events",
        headers={"Authorization": f"Bearer {gateway.token}"},
    )
    assert (
        answer.headers["Content-Type"].startswith("text/event-stream")
        and answer.headers["X-Accel-Buffering"] == "no"
    )
    assert [event.type for event in events_of(answer)] == ["started", "completed"]


async def test_a_submission_follows_itself(gateway: Any) -> None:
    """POST /tasks that accepts an event stream answers with it: the task's id first, the final
    event last, nothing twice.
    """
    told = Gateway(gateway.url, gateway.token)
    submitted, stream = await asyncio.to_thread(told.submit, {"code": "1"}, "a-key")
    async with Worker(gateway) as worker:
        await worker.start(submitted.task_id)
        await worker.finish(submitted.task_id, wire.Outcome(wire.COMPLETED, 1))
    heard = await asyncio.to_thread(list, stream)
    assert [event.type for event in heard if event.type != wire.QUEUED] == ["started", "completed"]
    again, stream = await asyncio.to_thread(told.submit, {"code": "1"}, "a-key")
    heard = await asyncio.to_thread(list, stream)
    assert again.task_id == submitted.task_id and heard[-1].type == "completed"


async def test_one_connection_serves_many_tasks(gateway: Any) -> None:
    """Who leaves a stream at its final event gives its connection back: the next submission does
    not connect anew.
    """
    told, ours = Gateway(gateway.url, gateway.token), set[int]()

    def heard(stream: Iterator[wire.Event]) -> None:
        assert next(event.type for event in stream if event.type in wire.FINAL) == wire.COMPLETED

    async with Worker(gateway) as worker:
        for key in ("one", "two", "three"):
            submitted, stream = await asyncio.to_thread(told.submit, {"code": "1"}, key)
            ours |= {
                end.laddr.port
                for end in psutil.Process().net_connections("tcp")
                if end.raddr and end.raddr.port == _port(gateway)
            }
            await worker.start(submitted.task_id)
            await worker.finish(submitted.task_id, wire.Outcome(wire.COMPLETED, 1))
            await asyncio.to_thread(heard, stream)
            stream.close()  # pyright: ignore
    assert len(ours) == 1


def _port(gateway: Any) -> int:
    return int(gateway.url.rpartition(":")[2])


def test_bites_follow_what_events_have() -> None:
    """A reader asks for as many events as make some hundred kilobytes, and for few until it knows:
    it holds no more, should it stop.
    """
    size = events.ReadSize()
    assert size.count <= 8
    for _ in range(12):
        size.adapt([events.EncodedEvent("1-0", "stdout", "x" * 50)])
    assert size.count == 500
    size.adapt([events.EncodedEvent("1-0", "stdout", "x" * 100_000)])
    assert size.count == 1
