"""What keeps an open page fresh: one event stream for each page that somebody looks at. It says how
the running tasks do, what the page's own task printed, and when to ask for the page's parts again.
`static/live.js` shows it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import lru_cache

from starlette.responses import Response

from mecapy_backend.api import event_stream
from mecapy_backend.api.audit import audited
from mecapy_backend.api.changes import MOST_EVENTS
from mecapy_backend.api.problems import Problem, misunderstood
from mecapy_backend.page import door, task
from mecapy_backend.page.curves import MEGABYTE
from mecapy_backend.page.door import Visit
from mecapy_backend.page.output import printable
from mecapy_backend.page.task import OpenedTask
from mecapy_backend.page.tasks import SHOWN, running_of
from mecapy_backend.store import json_text
from mecapy_backend.store.database import AWAY
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire
from mecapy_jupyter.shared import units
from mecapy_jupyter.wire import Json, JsonObject

_MOST_CHARS = 100_000  # of output in one message: where it is more, the page asks for the whole
_AGO_S = 10.0  # from when on a list reads what a task says that it has not seen running


async def of_mine(visit: Visit) -> Response:
    """The stream for a page about any of my tasks."""
    return _response(visit, _of_owner(visit), lambda: door.still(visit))


async def of_task(visit: Visit) -> Response:
    """The stream for the page of a task, mine or shared; `after`: the last event that it shows."""
    opened, after = await task.opened(visit), visit.query("after") or events.START
    try:
        events.parse_id(after)
    except ValueError:
        raise misunderstood("after: not the id of an event") from None

    async def still() -> bool:
        try:
            return await door.still(visit) and bool(opened.mine or await task.opened(visit))
        except Problem:  # shared no more
            return False
        except AWAY:
            return True

    return _response(visit, _of_task(visit, opened, after), still)


def _response(
    visit: Visit,
    stream: AsyncIterator[EncodedEvent | None],
    still: Callable[[], Awaitable[bool]],
) -> Response:
    visit.services.stream_limit.check(visit.owner)
    audited().nothing_read = True  # what an open page shows is audited when it is opened
    return event_stream.stream_response(visit.services, visit.owner, still, stream)


async def _of_owner(visit: Visit) -> AsyncIterator[EncodedEvent | None]:
    mark, after = "", dict[str, str]()
    while True:
        look = await visit.services.changes.next(visit.owner, after)
        heard = {task_id: found for task_id, found in look.said.items() if found}
        after |= {task_id: found[-1].id for task_id, found in heard.items()}
        changed = look.now is not None and look.now.mark != mark
        if look.now:
            mark, begin = look.now.mark, f"{int(1000 * (time.time() - _AGO_S))}-0"
            after = {one: after.get(one, begin) for one in look.now.running[:SHOWN]}
        yield _message(changed, heard, {})


async def _of_task(
    visit: Visit, opened: OpenedTask, after: str
) -> AsyncIterator[EncodedEvent | None]:
    services, task_id, mark = visit.services, opened.task.id, ""
    is_new = await event_stream.new_after(services, task_id, after, opened.task)
    while True:
        look = await services.changes.next(opened.owner, {task_id: after})
        found = look.said[task_id]
        after = found[-1].id if found else after
        changed = look.now is not None and look.now.mark != mark
        mark = look.now.mark if look.now else mark
        yield _of_one(task_id, changed, tuple(found), tuple(filter(is_new, found)))


@lru_cache(maxsize=32)  # several pages may show one task
def _of_one(
    task_id: str,
    changed: bool,
    found: tuple[EncodedEvent, ...],
    unseen: tuple[EncodedEvent, ...],
) -> EncodedEvent | None:
    news = output_news(unseen)
    if len(found) == MOST_EVENTS:
        news["redraw"] = True
    return _message(changed, {task_id: found}, news)


def _message(
    changed: bool, heard: Mapping[str, Sequence[EncodedEvent]], news: JsonObject
) -> EncodedEvent | None:
    running: JsonObject = {
        task_id: words for task_id, found in heard.items() if (words := doing(found))
    }
    if running:
        news["running"] = running
    if changed:
        news["changed"] = True
    return EncodedEvent("", "message", json_text.dumps(news)) if news else None


def doing(found: Sequence[EncodedEvent]) -> JsonObject:
    """How a running task does, in the words of the page; what was not said is not there."""
    now = running_of(found[::-1])
    words: JsonObject = {}
    if now.fraction is not None:
        words |= {"fraction": now.fraction, "percent": f"{100 * now.fraction:.0f} %"}
    if now.fraction is not None or now.text:
        words["text"] = units.clean(now.text, 100)
    if now.memory_bytes is not None:
        words["memory"] = units.size(now.memory_bytes)
    if now.cpu_percent is not None:
        words["processor"] = f"{now.cpu_percent:.0f} %"
    return words


def output_news(found: Sequence[EncodedEvent]) -> JsonObject:
    """What to add to the output and to the curves of a page. `redraw`: the whole output has to be
    asked for, because something was displayed or replaced, or there is too much.
    """
    news: JsonObject = {}
    printed = [event for event in found if event.type in (wire.STDOUT, wire.STDERR)]
    displayed = any(event.type == wire.DISPLAY for event in found)
    if displayed or sum(len(event.text) for event in printed) > _MOST_CHARS:
        news["redraw"] = True
    elif printed:
        news["output"] = [list[Json]((one.id, one.type, _text(one))) for one in printed]
    used: list[Json] = [sample for event in found if (sample := _sample(event))]
    if used:
        news["used"] = used
    return news


def _text(event: EncodedEvent) -> str:
    body = event.decoded().body
    return printable(body.text) if isinstance(body, wire.StdoutEvent | wire.StderrEvent) else ""


def _sample(event: EncodedEvent) -> JsonObject | None:
    body = event.decoded().body if event.type == wire.USAGE else None
    if not isinstance(body, wire.UsageEvent):
        return None
    return {
        "at": events.parse_id(event.id)[0] / 1000,
        "Processor": body.cpu_percent or 0.0,
        "Processor shown": f"{body.cpu_percent or 0.0:.0f} %",
        "Memory": (body.memory_bytes or 0) / MEGABYTE,
        "Memory shown": units.size(body.memory_bytes or 0),
    }
