"""Users and organisations, for those who look after them: managers see theirs, admins all, and
change what they may.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime

from starlette.responses import Response

from mecapy_backend.api.routes import users as user_routes
from mecapy_backend.api.schemas.people import LimitsBody, OrganisationBody
from mecapy_backend.page import answers
from mecapy_backend.page.door import Visit
from mecapy_backend.store.people import usage, users
from mecapy_backend.store.tasks import overview
from mecapy_jupyter.wire import Json

SHOWN = 100


def _this_month() -> date:
    return datetime.now(UTC).date().replace(day=1)


async def listed(visit: Visit) -> Response:
    db, sees = visit.services.db, visit.caller.sees
    found = await users.list_users(db, sees, visit.query("after"), SHOWN + 1)
    used = {one.user: one for one in await usage.monthly(db, sees, _this_month())}
    return visit.page(
        "users.html",
        users=found[:SHOWN],
        used=used,
        following=found[SHOWN - 1].id if len(found) > SHOWN else "",
        admin=visit.caller.role == "admin",
    )


async def change(visit: Visit) -> Response:
    """Disable a user, let them in again, or limit them."""
    wanted: Mapping[str, Json] = {"disabled": visit.form.get("disabled") == "yes"}
    if "limits" in visit.form:
        wanted = _limits(visit)
    user_id = visit.request.path_params["user_id"]
    await user_routes.change_user(visit.services, visit.owner, user_id, wanted)
    return answers.to("/page/users")


async def organisations(visit: Visit) -> Response:
    db, sees = visit.services.db, visit.caller.sees
    used = defaultdict[str, float](float)
    for one in await usage.monthly(db, sees, _this_month()):
        used[one.organisation or ""] += one.cpu_hours
    return visit.page(
        "organisations.html",
        organisations=await users.list_organisations(db, sees),
        used=used,
        admin=visit.caller.role == "admin",
    )


async def limit(visit: Visit) -> Response:
    organisation_id = visit.request.path_params["organisation_id"]
    wanted = _limits(visit, OrganisationBody)
    await user_routes.limit_organisation(visit.services, visit.owner, organisation_id, wanted)
    return answers.to("/page/organisations")


def _limits(visit: Visit, body: type[LimitsBody] = LimitsBody) -> Mapping[str, Json]:
    """The limits in a form; an empty field: the settings' value. Raises Problem 422."""
    given = {name: visit.form.get(name, "").strip() for name in body.model_fields}
    fields = {name: text for name, text in given.items() if text and name != "resources"}
    return body.model_validate_strings(fields).model_dump(exclude={"resources"})


async def tasks(visit: Visit) -> Response:
    """Names, states and times; what tasks hold is their owners'."""
    found = await overview.page(
        visit.services.db,
        visit.caller.sees,
        user=visit.query("user") or None,
        state=None,
        before=None,
        limit=SHOWN,
    )
    return visit.page("users_tasks.html", tasks=found, user=visit.query("user"))
