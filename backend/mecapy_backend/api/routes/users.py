"""Users and organisations, for those who look after them: managers see their organisation, admins
everybody, and change what they may.

What is seen of a task is its name, state and times: never its code, inputs, results or output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated

import structlog
from fastapi import Path, Query, Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Asker
from mecapy_backend.api.callers import LOCAL
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem, no_such_user
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.common import State, UserId
from mecapy_backend.api.schemas.people import NewUserBody, OrganisationBody, UserBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.people import deletion, usage, users
from mecapy_backend.store.people.usage import MonthlyEnds
from mecapy_backend.store.tasks import overview, user_tasks
from mecapy_jupyter import wire
from mecapy_jupyter.wire import Json

router = surface("users")
_log = structlog.get_logger()
_TEXT = r"^[^\x00]*$"  # PostgreSQL stores no NUL, and asking for one fails
OrganisationId = Annotated[str, Path(max_length=200, pattern=_TEXT)]


@router.get("/users", response_model=answer(list[wire.UserInfo]), summary="Users that I may see")
async def listed(
    services: WithServices,
    asker: Asker,
    after: Annotated[
        str,
        Query(max_length=200, pattern=_TEXT, description="`id` of the last one of the page before"),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Response:
    """A manager's organisation, an admin's everybody; by id."""
    found = await users.list_users(services.db, asker.sees, after, limit)
    return json([one.as_json() for one in found])


@router.post(
    "/users",
    status_code=201,
    response_model=answer(wire.UserInfo),
    openapi_extra=request_body.described(NewUserBody),
    summary="Create a user without an identity provider",
)
async def add(request: Request, services: WithServices, asker: Asker) -> Response:
    """Adds a user without an identity provider: they use API tokens (POST /users/{id}/tokens)."""
    wanted = await services.bodies.read(request, NewUserBody)
    made = await users.add_user(
        services.db, wanted.name, wanted.email, wanted.organisation, wanted.role
    )
    if made is None:
        raise Problem(
            409,
            "user-exists",
            f"there is a user {wanted.name[:40]!r} already; GET /users lists them",
        )
    _log.info("user made", owner=made.id, by=asker.owner, role=made.role)
    return json(made.as_json(), 201)


@router.get(
    "/users/tasks",
    response_model=answer(list[wire.TaskOfUser]),
    summary="Tasks of the users that I may see, newest first",
)
async def tasks_of_users(
    services: WithServices,
    asker: Asker,
    user: Annotated[
        str | None, Query(max_length=200, pattern=_TEXT, description="of this one")
    ] = None,
    state: State | None = None,
    before: Annotated[datetime | None, Query(description="submitted before; ISO 8601")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Names, states and times. What they hold is their owners'."""
    if before and before.tzinfo is None:
        before = before.replace(tzinfo=UTC)
    found = await overview.page(
        services.db, asker.sees, user=user, state=state, before=before, limit=limit
    )
    return json([task.as_json() for task in found])


@router.patch(
    "/users/{user_id}",
    response_model=answer(wire.UserInfo),
    openapi_extra=request_body.described(UserBody),
    summary="Disable or limit a user",
)
async def change(
    request: Request, services: WithServices, asker: Asker, user_id: UserId
) -> Response:
    """What is left out stays; a limit of null is the settings' value. Disabling also stops what the
    user has queued and running.
    """
    wanted = (await services.bodies.read(request, UserBody)).model_dump(exclude_unset=True)
    found = await change_user(services, asker.owner, user_id, wanted)
    return json(found.as_json())


async def change_user(
    services: Services, by: str, user_id: str, wanted: Mapping[str, Json]
) -> wire.UserInfo:
    """Raises Problem 404, 409."""
    if wanted.get("disabled"):
        _not_oneself(by, user_id)
    found = await users.update_user(services.db, user_id, wanted)
    if found is None:
        raise no_such_user(user_id)
    services.callers.forget(user_id)
    if found.disabled:
        await user_tasks.stop(services.db, services.queue, user_id)
    _log.info("user changed", owner=user_id, by=by, **wanted)
    return found


@router.delete("/users/{user_id}", status_code=204, summary="Delete a user")
async def delete(services: WithServices, asker: Asker, user_id: UserId) -> Response:
    """Stops and empties their tasks, deletes their blobs and tokens, and forgets who they were; how
    many tasks there were, and when, stays. Takes some seconds. Remove them at the identity provider
    first: whoever can log in there is a new user here.
    """
    _not_oneself(asker.owner, user_id)
    if not await deletion.begin(services.db, user_id):
        raise no_such_user(user_id)
    services.callers.forget(user_id)
    await deletion.delete_data(services.db, services.queue, services.blobs, user_id)
    _log.info("user deleted", owner=user_id, by=asker.owner)
    return Response(status_code=204)


@router.get(
    "/organisations",
    response_model=answer(list[wire.OrganisationInfo]),
    summary="Organisations that I may see",
)
async def organisations(services: WithServices, asker: Asker) -> Response:
    """Lists them with their numbers of users and tasks; tasks of deleted users count."""
    found = await users.list_organisations(services.db, asker.sees)
    return json([one.as_json() for one in found])


Month = Annotated[
    str,
    Query(pattern=r"^2\d{3}-(0[1-9]|1[0-2])$", description='"2026-11" (UTC); now, if left out'),
]


def _first_day(month: str) -> date:
    return date.fromisoformat(f"{month}-01") if month else datetime.now(UTC).date().replace(day=1)


@router.get(
    "/organisations/usage",
    response_model=answer(list[wire.MonthlyUse]),
    summary="CPU-hours and tasks of a month",
)
async def used(services: WithServices, asker: Asker, month: Month = "") -> Response:
    """Usage of each user that I may see; the most CPU time comes first."""
    found = await usage.monthly(services.db, asker.sees, _first_day(month))
    return json([one.as_json() for one in found])


@router.get(
    "/organisations/report",
    response_model=answer(list[wire.MonthlyReport]),
    summary="Costs of a month, by organisation",
)
async def report(services: WithServices, asker: Asker, month: Month = "") -> Response:
    """Each organisation: tasks by state, waits, CPU-hours and euros; deleted tasks count. The wait
    of a task with parents does not, because it waited for them.
    """
    first = _first_day(month)
    used = await usage.monthly(services.db, asker.sees, first)
    ends = await usage.monthly_ends(services.db, asker.sees, first)
    names = {one.organisation for one in used} | ends.keys()
    names = sorted(names, key=lambda name: name or "")
    return json([_report(name, used, ends.get(name)).as_json() for name in names])


def _report(
    name: str | None, used: Sequence[wire.MonthlyUse], ends: MonthlyEnds | None
) -> wire.MonthlyReport:
    own = [one for one in used if one.organisation == name]
    return wire.MonthlyReport(
        name,
        round(sum(one.cpu_hours for one in own), 6),
        sum(one.tasks for one in own),
        round(sum(one.euros for one in own), 6),
        dict(ends.states) if ends else {},
        round(ends.wait_p50_s, 3) if ends else 0.0,
        round(ends.wait_p99_s, 3) if ends else 0.0,
    )


@router.patch(
    "/organisations/{organisation_id}",
    status_code=204,
    openapi_extra=request_body.described(OrganisationBody),
    summary="Limit an organisation",
)
async def change_organisation(
    request: Request, services: WithServices, asker: Asker, organisation_id: OrganisationId
) -> Response:
    """What is left out stays; a limit of null is the settings' value."""
    body = await services.bodies.read(request, OrganisationBody)
    if body.resources:
        services.placements.check(body.resources)
    wanted = body.model_dump(exclude_unset=True)
    await limit_organisation(services, asker.owner, organisation_id, wanted)
    return Response(status_code=204)


async def limit_organisation(
    services: Services, by: str, organisation_id: str, wanted: Mapping[str, Json]
) -> None:
    """Raises Problem 404."""
    if not await users.update_organisation(services.db, organisation_id, wanted):
        raise Problem(
            404,
            "no-such-organisation",
            f"no organisation {organisation_id[:40]!r}; GET /organisations lists them",
        )
    _log.info("organisation changed", organisation=organisation_id, by=by, **wanted)


def _not_oneself(owner: str, user_id: str) -> None:
    if user_id in (owner, LOCAL):
        raise Problem(
            409,
            "not-this-user",
            "you cannot disable or delete yourself, nor the user of MECAPY_TOKEN: "
            "unset that instead",
        )
