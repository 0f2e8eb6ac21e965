"""Users and organisations, for those who look after them: managers see theirs, admins all, and
change what they may.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from mecapy_backend.api.routes import users as user_routes
from mecapy_backend.page import answers
from mecapy_backend.page.door import Visit
from mecapy_backend.store.people import usage, users
from mecapy_backend.store.tasks import overview

SHOWN = 100


async def listed(visit: Visit) -> Response:
    db, sees = visit.services.db, visit.caller.sees
    found = await users.list_users(db, sees, visit.query("after"), SHOWN + 1)
    month = datetime.now(UTC).date().replace(day=1)
    used = {one.user: one for one in await usage.monthly(db, sees, month)}
    return visit.page(
        "users.html",
        users=found[:SHOWN],
        used=used,
        following=found[SHOWN - 1].id if len(found) > SHOWN else "",
        admin=visit.caller.role == "admin",
    )


async def change(visit: Visit) -> Response:
    """Disable a user, or let them in again."""
    wanted = {"disabled": visit.form.get("disabled") == "yes"}
    user_id = visit.request.path_params["user_id"]
    await user_routes.change_user(visit.services, visit.owner, user_id, wanted)
    return answers.to("/page/users")


async def organisations(visit: Visit) -> Response:
    found = await users.list_organisations(visit.services.db, visit.caller.sees)
    return visit.page("organisations.html", organisations=found)


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
