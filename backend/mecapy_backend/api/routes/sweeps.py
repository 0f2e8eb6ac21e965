"""Sweeps: begin, look at, pause, resume, cancel. Their points run as tasks (`submission`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import Path as InPath
from fastapi import Query, Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.routes.tasks import aware
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.sweeps import SweepBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store import sweeps
from mecapy_jupyter import wire

router = surface("sweeps")
_SHOWN = answer(wire.SweepStatus)
_log = structlog.get_logger()
Name = Annotated[str, InPath(max_length=200, pattern=r"^[^\x00]*$")]


@router.post(
    "/sweeps",
    response_model=_SHOWN,
    openapi_extra=request_body.described(SweepBody),
    summary="Begin a sweep, or begin one again with other points",
)
async def begin(request: Request, services: WithServices, owner: Owner) -> Response:
    """The answer has the tasks that it has already: points are found there by their keys. A new
    task names the sweep and its points (`POST /tasks`).
    """
    body = await services.bodies.read(request, SweepBody)
    await sweeps.begin(services.db, owner, wire.SweepRequest.from_json(body.model_dump()))
    _log.info("sweep", sweep=body.name, owner=owner, points=len(body.points))
    return json((await found(services, owner, body.name)).as_json())


@router.get("/sweeps", response_model=answer(wire.SweepList), summary="List my sweeps")
async def page(services: WithServices, owner: Owner) -> Response:
    """The one that changed last first, at most 1,000, without points and tasks."""
    return json(wire.SweepList(tuple(await sweeps.of_owner(services.db, owner))).as_json())


@router.get("/sweeps/{name}", response_model=_SHOWN, summary="Look at a sweep")
async def look(
    services: WithServices,
    owner: Owner,
    name: Name,
    since: Annotated[
        datetime | None, Query(description="only tasks that ended then or later, and no points")
    ] = None,
) -> Response:
    """Its points in order, and its tasks with the points that each computes. Results stand at
    `/tasks/{task_id}/result`, as long as tasks are kept.
    """
    return json((await found(services, owner, name, aware(since))).as_json())


@router.post("/sweeps/{name}/pause", response_model=_SHOWN, summary="Pause a sweep")
async def pause(services: WithServices, owner: Owner, name: Name) -> Response:
    """Its queued tasks are cancelled; what runs goes on."""
    return await _after(services, owner, name, "paused")


@router.post("/sweeps/{name}/resume", response_model=_SHOWN, summary="Resume a paused sweep")
async def resume(services: WithServices, owner: Owner, name: Name) -> Response:
    """A client that waits for it submits what was cancelled again."""
    return await _after(services, owner, name, "running")


@router.post("/sweeps/{name}/cancel", response_model=_SHOWN, summary="Cancel a sweep")
async def cancel(services: WithServices, owner: Owner, name: Name) -> Response:
    """All its tasks that have not ended; results that there are stay."""
    return await _after(services, owner, name, "cancelled")


async def _after(services: Services, owner: str, name: str, state: wire.SweepState) -> Response:
    await changed(services, owner, name, state)
    return json((await found(services, owner, name)).as_json())


async def changed(services: Services, owner: str, name: str, state: wire.SweepState) -> None:
    """Raises Problem 404."""
    if not await sweeps.change_state(services.db, services.queue, owner, name, state):
        raise _no_such()
    _log.info("sweep", sweep=name, owner=owner, state=state)


async def found(
    services: Services, owner: str, name: str, since: datetime | None = None
) -> wire.SweepStatus:
    """Raises Problem 404."""
    sweep = await sweeps.get(services.db, owner, name, since)
    if sweep is None:
        raise _no_such()
    return sweep


def _no_such() -> Problem:
    detail = "you have no sweep of this name (any more); GET /sweeps lists yours"
    return Problem(404, "no-such-sweep", detail)
