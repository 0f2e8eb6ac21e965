"""The stream that keeps an open page fresh: what it says, to whom, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mecapy_backend.api import changes, event_stream
from mecapy_backend.page.live import doing, output_news
from mecapy_backend.store import json_text
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire

from ..backend.speak import Worker
from ..conftest import served
from .test_page import Visitor, submitted

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_S", 0.05)
    monkeypatch.setattr(event_stream, "RECHECK_S", 0.0)


@contextmanager
def opened(gateway: Any, path: str) -> Iterator[tuple[Visitor, Iterator[dict[str, Any]]]]:
    """Somebody with a page, and what its stream says."""
    visitor = Visitor(gateway)
    with visitor.http:
        visitor.log_in(gateway.token)
        with visitor.http.stream("GET", path, headers=STREAM) as answer:
            assert answer.status_code == 200, answer.read()
            lines = (line for line in answer.iter_lines() if line.startswith("data: "))
            yield visitor, (json.loads(line.removeprefix("data: ")) for line in lines)


def until(news: Iterator[dict[str, Any]], *names: str) -> dict[str, Any]:
    """What is said until all of these have been, together."""
    said = dict[str, Any]()
    for one in news:
        said |= one
        if said.keys() >= set(names):
            return said
    raise AssertionError(f"the stream ended after {said}")


async def test_a_list_hears_what_happens(gateway: Any) -> None:
    """The stream of a list names changes of one's tasks and how those that run do, also where they
    happen at another gateway.
    """
    with (
        served(gateway.settings.model_copy(update={"drain_s": 0.0})) as other,
        opened(gateway, "/page/changes") as (_, news),
    ):
        assert until(news, "changed") == {"changed": True}
        task = submitted(other)
        until(news, "changed")
        async with Worker(gateway) as worker:
            await worker.start(task)
            until(news, "changed")
            await worker.says(task, wire.ProgressEvent(0.4, "step 160"))
            await worker.says(task, wire.UsageEvent(97.0, 420_000_000))
            while "memory" not in (shown := until(news, "running")["running"][task]):
                pass  # a look between the two
            assert shown == {
                "fraction": 0.4,
                "percent": "40 %",
                "text": "step 160",
                "memory": "420 MB",
                "processor": "97 %",
            }
            await worker.finish(task, wire.Outcome(wire.COMPLETED))
        until(news, "changed")


async def test_a_task_hears_what_it_prints(gateway: Any) -> None:
    """The stream of a task adds what was printed after the event that the page shows, and nothing
    twice.
    """
    task = submitted(gateway)
    async with Worker(gateway) as worker:
        await worker.start(task)
        await worker.says(task, wire.StdoutEvent("shown already\n"))
        at = (await worker.redis.xrevrange(f"mecapy:events:{task}", count=1))[0][0].decode()
        with opened(gateway, f"/page/tasks/{task}/changes?after={at}") as (_, news):
            await worker.says(task, wire.StdoutEvent("\x1b[31m10 %\r"))
            (first,) = until(news, "output")["output"]
            await worker.says(task, wire.StderrEvent("careful"))
            (second,) = until(news, "output")["output"]
            assert (first[1:], second[1:]) == (["stdout", "10 %\r"], ["stderr", "careful"])
            assert first[0] < second[0]
            await worker.says(task, wire.DisplayEvent(data={"text/plain": "x"}))
            assert until(news, "redraw")["redraw"]


def test_the_stream_ends_with_the_session(gateway: Any) -> None:
    """After the logout the open stream ends, and there is no other."""
    with opened(gateway, "/page/changes") as (visitor, news):
        until(news, "changed")
        with httpx.Client(base_url=gateway.url, cookies=visitor.http.cookies, timeout=120) as page:
            form = page.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]
            page.post("/page/logout", data={"csrf": form}, headers=visitor.own)
            for _ in news:  # until it ends
                pass
            assert page.get("/page/changes", headers=STREAM).status_code == 401


def test_streams_have_a_quota_and_an_owner(gateway: Any) -> None:
    """One more stream than a person may have is refused; so is that of somebody else's task, and a
    place that is none.
    """
    settings = gateway.settings.model_copy(update={"max_owner_streams": 1})
    with served(settings) as small, opened(small, "/page/changes") as (visitor, news):
        until(news, "changed")
        task = submitted(small)
        for path, status in (
            ("/page/changes", 429),
            (f"/page/tasks/{task}/changes", 429),
            (f"/page/tasks/{task}/changes?after=x", 422),
            (f"/page/tasks/{task[:-1]}{'0' if task[-1] != '0' else '1'}/changes", 404),
        ):
            answer = httpx.get(
                small.url + path, headers=STREAM, cookies=visitor.http.cookies, timeout=120
            )
            assert answer.status_code == status, path


def test_what_is_too_much_is_asked_for() -> None:
    """A display, or more text than a message holds, makes the page ask for the whole output; usage
    becomes points of the curves.
    """

    def encoded(number: int, body: wire.EventBody) -> EncodedEvent:
        event = wire.Event.of(body)
        return EncodedEvent(f"{1000 * number}-0", event.type, json_text.dumps(event.data))

    line, used = encoded(1, wire.StdoutEvent("x\n")), encoded(2, wire.UsageEvent(50.0, 2_000_000))
    assert output_news([line]) == {"output": [["1000-0", "stdout", "x\n"]]}
    assert output_news([line, encoded(2, wire.DisplayEvent())]) == {"redraw": True}
    assert output_news([encoded(1, wire.StdoutEvent("x" * 100_001))]) == {"redraw": True}
    (point,) = output_news([used])["used"]
    assert point == {
        "at": 2.0,
        "Processor": 50.0,
        "Processor shown": "50 %",
        "Memory": 2.0,
        "Memory shown": "2 MB",
    }
    assert doing([replace(line, type="progress", text='{"fraction":null,"text":"a"}')]) == {
        "text": "a"
    }
