"""One task of mine: its output, error, inputs, attempts; and to cancel it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from mecapy_backend.api import event_stream
from mecapy_backend.api.audit import audited
from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.routes import tasks as task_routes
from mecapy_backend.api.task_view import attempts_of
from mecapy_backend.page import answers, formats
from mecapy_backend.page.door import Visit
from mecapy_backend.page.output import Output
from mecapy_backend.page.tasks import Running, running_of
from mecapy_backend.store import tasks
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_backend.store.tasks import TaskRow
from mecapy_jupyter import wire
from mecapy_jupyter.wire import Json

_LATEST = 100
_SHOWN = (wire.STDOUT, wire.STDERR, wire.DISPLAY)


@dataclass(frozen=True, slots=True)
class Value:
    """A variable that went in or came out, by name and size; values that are pickled have no name
    here, because the gateway opens no pickle.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What was submitted, and what came of it."""

    code: str
    header: str
    inputs: list[Value]
    outputs: list[Value]
    timeout_s: float


async def shown(visit: Visit) -> Response:
    """An open page asks again for the facts alone, and for the output when that has changed."""
    services = visit.services
    task = await _task(visit)
    audited().nothing_read = not task.final or visit.live_mark is not None
    latest = (await or_none(events.latest(services.stream_redis, [task.id], _LATEST)) or [[]])[0]
    place = wire.QueuedEvent()
    if task.state == wire.QUEUED:
        place = await services.start_estimator.estimate(visit.owner, task)
    values: dict[str, object] = {
        "task": task,
        "place": place,
        "elapsed": formats.elapsed(task.started_at, task.completed_at),
        "running": running_of(latest) if task.state == wire.RUNNING else Running(),
        "attempts": attempts_of(task),
        "kept_until": _kept_until(task, services.settings.keep_s),
        "version": _version(task, latest),
    }
    if visit.live_mark is None:
        outcome = wire.Outcome.from_json(task.outcome) if task.outcome else None
        values["contents"] = await _contents(visit, task, outcome)
        values |= await _output(visit, task)
    return visit.page("task.html", **values)


async def output(visit: Visit) -> Response:
    task = await _task(visit)
    audited().nothing_read = not task.final
    return answers.html("output.html", await _output(visit, task))


async def _output(visit: Visit, task: TaskRow) -> dict[str, object]:
    stream = event_stream.by_now(visit.services, visit.owner, task.id, events.START, task)
    outcome = wire.Outcome.from_json(task.outcome) if task.outcome else None
    return {
        "task": task,
        "output": await Output().collect(stream),
        "error": outcome.error if outcome else None,
    }


def _version(task: TaskRow, latest: list[events.EncodedEvent]) -> str:
    """Of the output: another one when something was printed or shown, or the task has ended."""
    shown = (event.id for event in latest if event.type in _SHOWN)
    return f"{task.attempt}-{task.state}-{next(shown, '')}"


def _kept_until(task: TaskRow, keep_s: float) -> datetime | None:
    return task.completed_at + timedelta(seconds=keep_s) if task.completed_at else None


async def cancel(visit: Visit) -> Response:
    task = await _task(visit)
    await task_routes.cancel(visit.services, visit.owner, task)
    return answers.to(f"/page/tasks/{task.id}")


async def _task(visit: Visit) -> TaskRow:
    """Raises Problem 404, also for somebody else's."""
    task_id = visit.request.path_params["task_id"]
    return await task_routes.task_of(visit.services, visit.owner, task_id)


async def _contents(visit: Visit, task: TaskRow, outcome: wire.Outcome | None) -> Contents:
    found = await tasks.request(visit.services.db, visit.owner, task.id)
    request = wire.TaskRequest.from_json(found or {})
    result = outcome.result if outcome else None
    results = result if isinstance(result, dict) else {"(result)": result} if result else {}
    return Contents(
        request.code,
        request.cell.header if request.cell else "",
        [*_values(request.inputs), *await _pickled(visit, request.payload)],
        [*_values(results), *await _pickled(visit, outcome.payload if outcome else None)],
        request.timeout,
    )


def _values(values: Mapping[str, Json]) -> list[Value]:
    return [Value(name, len(json.dumps(value))) for name, value in values.items()]


async def _pickled(visit: Visit, payload: wire.Payload | None) -> list[Value]:
    if payload is None or not (payload.pickle or payload.digests):
        return []
    stored = await blob_rows.total_bytes(visit.services.db, visit.owner, payload.digests)
    return [Value("(Python objects)", len(payload.pickle) + stored)]
