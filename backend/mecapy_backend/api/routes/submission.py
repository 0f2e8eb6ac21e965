"""Submission of a task. It exists once its row is committed; Redis only makes it start at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Header, Request, Response

from mecapy_backend.api import event_stream, metrics, request_body
from mecapy_backend.api.auth import WithReader
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.limits.allowance import Admission
from mecapy_backend.api.limits.blob_quota import reserving
from mecapy_backend.api.problems import Problem, misunderstood, no_connection_free, unavailable
from mecapy_backend.api.refusals import as_problems
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.tasks import TaskBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.notices import targets
from mecapy_backend.shared import telemetry
from mecapy_backend.shared.logs import request_of_log
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database, json_text, result_cache, sweeps, tasks
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_backend.store.people import users
from mecapy_backend.store.tasks import settling
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

ADMIT_S = 1.8
"""How long PostgreSQL may take for a submission, so that the client has an answer within two
seconds.
"""

router = surface("tasks")
_log = structlog.get_logger()

Accept = Annotated[str, Header(max_length=1000, include_in_schema=False)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="repeat a request safely: same key, same task",
    ),
]


@dataclass(frozen=True, slots=True)
class Submission:
    """A task that an owner submits."""

    owner: str
    task: TaskBody
    idempotency_key: str | None
    short: bool


_Stored = tuple[Admission | None, tasks.Submitted]
"""None: nothing had to be admitted."""


@router.post(
    "/tasks",
    status_code=201,
    response_model=answer(wire.QueuedEvent, status=wire.State, of=None, eta_s=None),
    openapi_extra=request_body.described(TaskBody),
    summary="Submit a task",
)
async def submit(
    request: Request,
    services: WithServices,
    reader: WithReader,
    idempotency_key: Key = None,
    accept: Accept = "",
) -> Response:
    """Queue a task, or keep it blocked until what it `needs` is there. It exists once this answers;
    follow it at `/tasks/{task_id}/events` or ask `/tasks/{task_id}`.

    With `Accept: text/event-stream` the answer is that event stream itself, its first event
    `queued` with the task's id.
    """
    owner, followed = reader.caller.owner, "text/event-stream" in accept
    if followed:
        services.stream_limit.check(owner)
    task = await services.bodies.read(request, TaskBody)
    task_id, answer = await submitted(services, owner, task, idempotency_key)
    location = f"/tasks/{task_id}"
    if not followed:
        return json(answer, 201, Location=location)
    stream = _stream(services, owner, task.code, task_id, answer)
    return event_stream.stream_response(
        services,
        reader.caller.owner,
        reader.still(services.callers),
        stream,
        201,
        Location=location,
    )


async def submitted(
    services: Services, owner: str, task: TaskBody, idempotency_key: str | None
) -> tuple[str, JsonObject]:
    """The task's id, and what its submission answers. Raises Problem."""
    watch = telemetry.stopwatch()
    check_limits(task, services.settings)
    await check_notify(services, owner, task.notify)
    short = services.short_tasks.expects(owner, task.code, task.timeout)
    admission, done = await _stored(services, Submission(owner, task, idempotency_key, short))
    if task.sweep:
        await sweeps.add(services.db, owner, task.sweep, done.task_id, task.points)
    if watch:
        watch.stage("postgres")
    position: int | None = None
    if done.state == wire.QUEUED and not done.same_runs:
        position = await or_none(
            services.queue.enqueue(
                done.task_id,
                owner,
                task.priority,
                short=short,
                python=done.python,
                machine_class=done.place.machine_class,
                share=admission.share if admission else None,
            )
        )
    if done.ended:
        await settling.settle(services.db, services.queue, done.ended)
    if watch and done.created:
        watch.stage("redis")
        about = {"task": done.task_id, "owner": owner, "request": request_of_log()}
        watch.record(done.task_id, "submit", about, telemetry.root_of(done.task_id))
    metrics.submitted.inc(done.created)
    _log.info("submitted", task=done.task_id, owner=owner, created=done.created)
    answer: JsonObject = {"task_id": done.task_id, "status": done.state, "position": position}
    if done.place.why_there:
        answer["why_there"] = done.place.why_there
    if done.place.expected:
        answer |= {"estimate": done.place.expected, "estimate_s": done.place.estimate_s}
    if done.cached:
        answer["cached"] = done.cached.as_json()
    if done.same_runs:
        answer["same_runs"] = True
    return done.task_id, answer


async def _stream(
    services: Services, owner: str, code: str, task_id: str, answer: JsonObject
) -> AsyncIterator[EncodedEvent | None]:
    """The submission, then its events; its run time is remembered."""
    yield EncodedEvent(events.START, wire.QUEUED, json_text.dumps(answer))
    if answer["status"] == wire.BLOCKED:
        waits = await services.start_estimator.of_blocked(task_id)
        yield event_stream.queued(events.START, waits)
    async for event in event_stream.follow(services, owner, task_id, events.START):
        if event and event.type in wire.FINAL:
            body = event.decoded().body
            if isinstance(body, wire.Outcome):
                services.short_tasks.learn(owner, code, body.seconds)
        yield event


async def _stored(services: Services, submission: Submission) -> _Stored:
    """Commits the task's row, or finds a kept result. Raises Problem for what prevents it."""
    with as_problems(submission.task.workflow):
        return await _within_time(services, _once(services, submission))


async def _once(services: Services, submission: Submission) -> _Stored:
    """Runs one task at a time with the same keys. Another may have ended before this one's row
    existed; then its result is used and the row is deleted.
    """
    if found := await _kept(services, submission):
        return None, found
    admission, done = await _admit(services, submission)
    if done.created and (found := await _kept(services, submission)):
        await tasks.forget(services.db, submission.owner, done.task_id)
        return None, found
    return admission, done


async def _kept(services: Services, submission: Submission) -> tasks.Submitted | None:
    """A kept result with these keys."""
    keys = submission.task.cache
    if not keys or keys.again:
        return None
    wanted = wire.CacheKeys(keys.key, keys.seeded)
    return await result_cache.find(services.db, submission.owner, wanted)


async def _within_time(
    services: Services,
    admitting: Coroutine[None, None, _Stored],
) -> _Stored:
    """At most ADMIT_S: then 503, and the client repeats the request with its key. A hanging
    statement is left to end by itself, because closing its connection takes as long again.
    """
    admitted = asyncio.create_task(admitting)
    try:
        done, _ = await asyncio.wait({admitted}, timeout=ADMIT_S)
    finally:
        admitted.cancel()
    if not done:
        # Nobody waits for it.
        admitted.add_done_callback(lambda late: late.cancelled() or late.exception())
        if database.all_in_use(services.db):
            raise no_connection_free()
        raise unavailable("the database")
    return admitted.result()


async def _admit(services: Services, submission: Submission) -> _Stored:
    await services.live_pythons.check(submission.task.python)
    owner, task, short = submission.owner, submission.task, submission.short
    usual = await services.task_quotas.usual_resources(services.db, owner)
    place = await services.placements.place(owner, task, usual, short=short)
    admission = await services.task_quotas.submission(services.db, submission.owner)
    try:
        return admission, await _insert(services, submission, admission, place)
    except tasks.BlobsNotStored as missing:
        if not services.blobs.direct_uploads:
            raise
        await _confirm_uploads(services, submission.owner, missing.digests)
    return admission, await _insert(services, submission, admission, place)


async def _insert(
    services: Services, submission: Submission, admission: Admission, place: tasks.TaskPlace
) -> tasks.Submitted:
    return await tasks.submit(
        services.db,
        submission.owner,
        submission.task.stored(),
        idempotency_key=submission.idempotency_key,
        max_queued=admission.count_to,
        short=submission.short,
        place=place,
    )


async def _confirm_uploads(services: Services, owner: str, digests: list[str]) -> None:
    """A client may have put them into the store past us."""
    for digest in digests:
        size = await services.blobs.size(owner, digest)
        if size is not None:
            within = reserving(services, owner)
            await blob_rows.confirm_upload(services.db, services.blobs, owner, digest, size, within)


async def check_notify(services: Services, owner: str, notify: Sequence[str]) -> None:
    """Raises Problem 422 if a recipient cannot be notified."""
    if not notify:
        return
    account = await users.name_and_email(services.db, owner)
    if why := targets.refusal(notify, services.settings, account.email):
        raise misunderstood(f"notify: {why}")


def check_limits(task: TaskBody, settings: Settings) -> None:
    if len(task.code.encode()) > settings.max_code_bytes:
        raise Problem(
            413,
            "code-too-large",
            f"the code is longer than {settings.max_code_bytes} bytes; pass data as inputs instead",
        )
    if task.timeout > settings.max_timeout_s:
        raise misunderstood(f"timeout: at most {settings.max_timeout_s:g} seconds here")
