"""One task, of mine or of a colleague who shares it: its output, error, inputs, attempts and
curves; and to cancel it, to run it again, and to share it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from mecapy_backend.api import event_stream
from mecapy_backend.api.audit import audited
from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.routes import sharing, submission
from mecapy_backend.api.routes import tasks as task_routes
from mecapy_backend.api.schemas.tasks import TaskBody
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

SHARED = "/page/shared/"
_LATEST = 40
_SHOWN = (wire.STDOUT, wire.STDERR, wire.DISPLAY)


@dataclass(frozen=True, slots=True)
class OpenedTask:
    """A task that somebody looks at; `owner`: whose it is, perhaps a colleague's."""

    owner: str
    task: TaskRow
    mine: bool


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


async def shown(visit: Visit) -> Response:
    """An open page asks again for the facts alone, and for the parts when those have changed."""
    services, found = visit.services, await opened(visit)
    task = found.task
    audited().nothing_read |= visit.live_mark is not None
    latest = (await or_none(events.latest(services.stream_redis, [task.id], _LATEST)) or [[]])[0]
    place = wire.QueuedEvent()
    if task.state in wire.WAITING:
        place = await services.start_estimator.estimate(found.owner, task)
    values: dict[str, object] = {
        "task": task,
        "place": place,
        "elapsed": formats.elapsed(task.started_at, task.completed_at),
        "running": running_of(latest) if task.state == wire.RUNNING else Running(),
        "attempts": attempts_of(task),
        "cost": services.placements.cost(task, datetime.now(UTC)),
        "kept_until": _kept_until(task, services.settings.keep_s),
        "last_shown": next((one.id for one in latest if one.type in _SHOWN), events.START),
    }
    if visit.live_mark is None:
        values |= await _parts(visit, found)
        values["contents"] = await _contents(visit, found)
        values["mine"] = found.mine
        values["once"] = secrets.token_urlsafe(16)
    return visit.page("task.html", **values)


async def output(visit: Visit) -> Response:
    return answers.html("output.html", await _parts(visit, await opened(visit)))


async def curves(visit: Visit) -> Response:
    return answers.html("curves.html", await _parts(visit, await opened(visit)))


async def cancel(visit: Visit) -> Response:
    task = await _mine(visit)
    await task_routes.cancel(visit.services, visit.owner, task)
    return answers.to(f"/page/tasks/{task.id}")


async def again(visit: Visit) -> Response:
    """The same code with the same inputs, as a task of its own. `once`: of the form, so that who
    presses twice has one.
    """
    task = await _mine(visit)
    request = await tasks.request(visit.services.db, visit.owner, task.id)
    body = TaskBody.model_validate(request).model_copy(
        update={"sweep": "", "points": [], "workflow": ""}
    )
    key = f"again-{visit.form.get('once', '')[:60]}-{task.id}"
    made, _ = await submission.submitted(visit.services, visit.owner, body, key)
    return answers.to(f"/page/tasks/{made}")


async def share(visit: Visit) -> Response:
    return await _set_shared(visit, shared=True)


async def unshare(visit: Visit) -> Response:
    return await _set_shared(visit, shared=False)


async def _set_shared(visit: Visit, *, shared: bool) -> Response:
    task = await _mine(visit)
    await sharing.set_shared(visit.services, visit.caller, task, shared=shared)
    return answers.to(f"/page/tasks/{task.id}")


async def _mine(visit: Visit) -> TaskRow:
    """Raises Problem 404, also for somebody else's."""
    task_id = visit.request.path_params["task_id"]
    return await task_routes.task_of(visit.services, visit.owner, task_id)


async def opened(visit: Visit) -> OpenedTask:
    """The task that the address names, mine or a colleague's. Raises Problem 404."""
    if visit.request.url.path.startswith(SHARED):
        task_id = visit.request.path_params["task_id"]
        return OpenedTask(*await sharing.shared_task(visit.services, visit.caller, task_id), False)
    task = await _mine(visit)
    audited().nothing_read = not task.final
    return OpenedTask(visit.owner, task, True)


async def _parts(visit: Visit, opened: OpenedTask) -> dict[str, object]:
    task = opened.task
    stream = event_stream.by_now(visit.services, opened.owner, task.id, events.START, task)
    collected = await Output().collect(stream)
    return {
        "task": task,
        "output": collected,
        "curves": collected.samples.curves(),
        "error": wire.Outcome.from_json(task.outcome).error if task.outcome else None,
    }


def _kept_until(task: TaskRow, keep_s: float) -> datetime | None:
    return task.completed_at + timedelta(seconds=keep_s) if task.completed_at else None


async def _contents(visit: Visit, opened: OpenedTask) -> Contents:
    task, owner = opened.task, opened.owner
    outcome = wire.Outcome.from_json(task.outcome) if task.outcome else None
    found = await tasks.request(visit.services.db, owner, task.id)
    request = wire.TaskRequest.from_json(found or {})
    result = outcome.result if outcome else None
    results = result if isinstance(result, dict) else {"(result)": result} if result else {}
    returned = outcome.payload if outcome else None
    return Contents(
        request.code,
        request.cell.header if request.cell else "",
        [*_values(request.inputs), *await _pickled(visit, owner, request.payload)],
        [*_values(results), *await _pickled(visit, owner, returned)],
    )


def _values(values: Mapping[str, Json]) -> list[Value]:
    return [Value(name, len(json.dumps(value))) for name, value in values.items()]


async def _pickled(visit: Visit, owner: str, payload: wire.Payload | None) -> list[Value]:
    if payload is None or not (payload.pickle or payload.digests):
        return []
    stored = await blob_rows.total_bytes(visit.services.db, owner, payload.digests)
    return [Value("(Python objects)", len(payload.pickle) + stored)]
