"""The table of all routes and who may use them, and its only enforcement.

`auth` calls `check` before any route; a route without an entry is closed. The store narrows access
further: every statement names the owner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from mecapy_backend.api.problems import Problem
from mecapy_backend.store.people.users import Role
from mecapy_jupyter.shared import proof

TASKS, READ, ADMIN, ACCOUNT = "tasks", "read", "admin", "account"
TOKEN_SCOPES = {
    TASKS: "submit, cancel and forget my tasks, and send their data",
    READ: "read my tasks, their results and data, and the workers",
    ADMIN: "what my role as manager or admin allows",
}
"""The scopes of personal API tokens. None may create or revoke tokens; that needs a login
(`account`).
"""

ALL_SCOPES = frozenset({*TOKEN_SCOPES, ACCOUNT})


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request. `owner`: the user's id, which owns their tasks and blobs."""

    owner: str
    organisation: str | None = None
    role: Role = "user"
    scopes: frozenset[str] = field(default=ALL_SCOPES)
    via: str = "token"  # the gateway's own "token", "oidc", or "api_token"

    @property
    def sees(self) -> str | None:
        """The organisation that a manager sees; None: an admin sees all. `check` has ensured one of
        both.
        """
        return None if self.role == "admin" else self.organisation


class Reach(Enum):
    OWN = "every user, for their own data"
    COLLEAGUES = "members of an organisation, for what its members share with it"
    ORGANISATION = "managers, for their organisation; admins, for all"
    ALL = "admins"


@dataclass(frozen=True, slots=True)
class Right:
    """`scope` None: open to everybody, without a token."""

    scope: str | None
    reach: Reach = Reach.OWN


OPEN = Right(None)
RIGHTS: dict[str, Right] = {
    "GET /livez": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /auth": OPEN,
    "GET /docs": OPEN,
    "GET /docs/oauth2-redirect": OPEN,
    f"GET {proof.PATH}": OPEN,
    "GET /metrics": Right(READ, Reach.ALL),
    "GET /workers": Right(READ),
    "GET /workers/packages": Right(READ),
    "PATCH /workers/{worker_id}": Right(ADMIN, Reach.ALL),
    "GET /machines": Right(READ),
    "POST /machines/credentials": OPEN,  # both with a token that is no user's
    "POST /machines/failed": OPEN,
    "GET /system/scale": Right(READ),
    "GET /me": Right(READ),
    "POST /login-links": Right(READ),
    "POST /tasks": Right(TASKS),
    "GET /tasks": Right(READ),
    "GET /tasks/{task_id}": Right(READ),
    "GET /tasks/{task_id}/request": Right(READ),
    "GET /tasks/{task_id}/result": Right(READ),
    "GET /tasks/{task_id}/events": Right(READ),
    "POST /tasks/{task_id}/cancel": Right(TASKS),
    "POST /tasks/{task_id}/extend": Right(TASKS),
    "POST /tasks/{task_id}/notify": Right(TASKS),
    "POST /tasks/{task_id}/comms": Right(TASKS),
    "POST /tasks/{task_id}/share": Right(TASKS),
    "DELETE /tasks/{task_id}/share": Right(TASKS),
    "GET /shared/{task_id}": Right(READ, Reach.COLLEAGUES),
    "DELETE /tasks/{task_id}": Right(TASKS),
    "POST /workflows": Right(TASKS),
    "GET /workflows": Right(READ),
    "GET /workflows/{workflow_id}": Right(READ),
    "POST /workflows/{workflow_id}/cancel": Right(TASKS),
    "POST /workflows/{workflow_id}/retry": Right(TASKS),
    "DELETE /workflows/{workflow_id}": Right(TASKS),
    "POST /sweeps": Right(TASKS),
    "GET /sweeps": Right(READ),
    "GET /sweeps/{name}": Right(READ),
    "POST /sweeps/{name}/pause": Right(TASKS),
    "POST /sweeps/{name}/resume": Right(TASKS),
    "POST /sweeps/{name}/cancel": Right(TASKS),
    "GET /cache": Right(READ),
    "DELETE /cache": Right(TASKS),
    "DELETE /cache/{task_id}": Right(TASKS),
    "POST /blobs/missing": Right(TASKS),
    "GET /blobs/place": Right(TASKS),
    "POST /blobs/take": Right(TASKS),
    "PUT /blobs/{digest}": Right(TASKS),
    "GET /blobs/{digest}": Right(READ),
    "POST /blobs/{digest}/parts": Right(TASKS),
    "POST /blobs/{digest}/parts/{upload:path}": Right(TASKS),
    "DELETE /blobs/{digest}/parts/{upload:path}": Right(TASKS),
    "GET /tokens": Right(ACCOUNT),
    "POST /tokens": Right(ACCOUNT),
    "DELETE /tokens/{token_id}": Right(ACCOUNT),
    "GET /users": Right(ADMIN, Reach.ORGANISATION),
    "POST /users": Right(ADMIN, Reach.ALL),
    "GET /users/{user_id}/tokens": Right(ADMIN, Reach.ALL),
    "POST /users/{user_id}/tokens": Right(ADMIN, Reach.ALL),
    "DELETE /users/{user_id}/tokens/{token_id}": Right(ADMIN, Reach.ALL),
    "GET /users/tasks": Right(ADMIN, Reach.ORGANISATION),
    "PATCH /users/{user_id}": Right(ADMIN, Reach.ALL),
    "DELETE /users/{user_id}": Right(ADMIN, Reach.ALL),
    "GET /audit": Right(ADMIN, Reach.ALL),
    "GET /organisations": Right(ADMIN, Reach.ORGANISATION),
    "GET /organisations/usage": Right(ADMIN, Reach.ORGANISATION),
    "GET /organisations/report": Right(ADMIN, Reach.ORGANISATION),
    "PATCH /organisations/{organisation_id}": Right(ADMIN, Reach.ALL),
}


def check(right: Right | None, caller: Caller) -> None:
    """Raises Problem 403 when this is not for the caller."""
    if right is None:
        raise _forbidden(
            "no role may use this address: it has no entry in the table of rights; tell the "
            "operator"
        )
    if right.scope not in caller.scopes:
        raise _forbidden(
            f"this token lacks the scope `{right.scope}`; use one that has it (`mecapy token "
            f"create`), or log in"
        )
    if right.reach is Reach.COLLEAGUES and not caller.organisation:
        raise _forbidden("only members of an organisation may do this; you are in none")
    if right.reach is Reach.ALL and caller.role != "admin":
        raise _forbidden("only an admin may do this; ask one")
    if (
        right.reach is Reach.ORGANISATION
        and caller.role != "admin"
        and not (caller.role == "manager" and caller.organisation)
    ):
        raise _forbidden("only a manager, for their organisation, or an admin may do this; ask one")


def _forbidden(detail: str) -> Problem:
    return Problem(403, "forbidden", detail)
