"""Every route, asked by every role, about every owner's things: what the table of rights says is
what happens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from mecapy_backend.api import permissions
from mecapy_jupyter import wire

from ..backend.speak import Worker
from .provider import Provider
from .routes import (
    ALL,
    BLOB,
    DIGEST,
    OBJECT,
    OPEN,
    ORGANISATION,
    OWN,
    READ,
    SECRET,
    TASKS,
    WALK,
    Case,
)


def expected(role: str, case: Case) -> int:
    """What a caller gets. `ada` is the owner; `user`, `manager` and `admin` are of her
    organisation, `stranger` manages another.
    """
    if case.kind == OPEN:
        return case.status
    if role == "nobody":
        return 401
    if case.kind == OBJECT:
        return case.status if role == "ada" else 404
    allowed = {
        OWN: True,
        ORGANISATION: role in ("manager", "stranger", "admin"),
        ALL: role == "admin",
    }
    return case.status if allowed[case.kind] else 403


class World:
    """Ada, her things, and the others."""

    def __init__(self, http: httpx.Client, provider: Provider) -> None:
        self.http = http
        manager, admin = (
            {"realm_access": {"roles": [f"mecapy-{role}"]}} for role in ("manager", "admin")
        )
        acme: dict[str, Any] = {"organization": ["acme"]}
        self.tokens = {
            "nobody": "",
            "user": provider.token("bob", **acme),
            "manager": provider.token("mia", **acme, **manager),
            "stranger": provider.token("max", organization=["other"], **manager),
            "admin": provider.token("root", **acme, **admin),
            "ada": provider.token("ada", **acme),
        }
        self.tokens["eve"] = provider.token("eve", **acme)
        self.names = {
            role: self.as_(role, "GET", "/me").json()["owner"]
            for role in self.tokens
            if role != "nobody"
        }
        self.task = self.as_(
            "ada",
            "POST",
            "/tasks",
            {"code": f"'{SECRET}'", "name": "of-ada", "inputs": {"x": SECRET}},
        ).json()["task_id"]
        made = self.as_("ada", "POST", "/workflows", {"name": SECRET}).json()
        self.workflow = made["workflow_id"]
        sweep = {"name": "of-ada", "points": [], "about": {"code": SECRET}}
        assert self.as_("ada", "POST", "/sweeps", sweep).status_code == 200
        assert self.as_("ada", "PUT", f"/blobs/{DIGEST}", BLOB).status_code == 204
        self.token = self.as_("ada", "POST", "/tokens", {"name": SECRET}).json()["id"]

    def as_(self, role: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """As that role, or with that token. From elsewhere: a proxy says so."""
        token = self.tokens.get(role, role)
        headers = {"X-Forwarded-For": "203.0.113.9"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.http.request(method, path, content=content, headers=headers)

    def path(self, template: str) -> str:
        """The address of ada's things; users are eve's."""
        things = {
            "task_id": self.task,
            "digest": DIGEST,
            "token_id": self.token,
            "organisation_id": "acme",
            "upload": "u",
            "worker_id": "none",
            "name": "of-ada",
            "workflow_id": self.workflow,
        }
        return re.sub(
            r"\{(\w+)\}",
            lambda found: (things | {"user_id": self.names["eve"]})[found[1]],
            template,
        )


@pytest.fixture
def world(oidc_gateway: Any, provider: Provider) -> Iterator[World]:
    with httpx.Client(base_url=oidc_gateway.url, timeout=120) as http:
        yield World(http, provider)


def routes(world: World) -> list[str]:
    paths = world.http.get("/openapi.json").json()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


async def test_every_route_with_every_role(world: World, oidc_gateway: Any) -> None:
    """No role gets more than it may, nor less, at any address; and nobody but ada sees what is
    hers. A route unknown here fails.
    """
    assert sorted(routes(world)) == sorted(WALK), (
        "a new route: say in WALK who may ask it, and in rights.py too"
    )
    async with Worker(oidc_gateway) as worker:
        await worker.start(world.task)
        await worker.finish(
            world.task,
            wire.Outcome(wire.COMPLETED, result=SECRET, seconds=0.1),
            [wire.Event("1-0", "stdout", {"text": SECRET})],
        )
    found, wanted = dict[tuple[str, str], int](), dict[tuple[str, str], int]()
    for route, case in WALK.items():
        method, template = route.split(" ")
        for role in ("nobody", "user", "manager", "stranger", "admin", "ada"):
            if route == "DELETE /users/{user_id}" and role == "ada":
                continue  # after the admin's turn there is no eve
            answer = world.as_(role, method, world.path(template) + case.query, case.body)
            found[route, role], wanted[route, role] = answer.status_code, expected(role, case)
            assert role == "ada" or SECRET not in answer.text, (route, role)
            assert role in ("ada", "manager", "admin") or "of-ada" not in answer.text, (route, role)
    assert found == wanted


def test_scopes_of_api_tokens(world: World) -> None:
    """An API token does what its scopes say and no more, never makes another, and `admin` gives a
    user nothing.
    """
    mine = {
        scope: world.as_("ada", "POST", "/tokens", {"name": scope, "scopes": [scope]}).json()[
            "token"
        ]
        for scope in permissions.TOKEN_SCOPES
    }
    may: dict[str, set[str]] = {"read": READ, "tasks": TASKS, "admin": set()}
    for scope, token in mine.items():
        for route, case in WALK.items():
            method, template = route.split(" ")
            if case.kind == OPEN or (
                route in may[scope] and method == "DELETE" and "task_id" in template
            ):
                continue
            refused = (
                world.as_(token, method, world.path(template) + case.query, case.body).status_code
                == 403
            )
            assert refused == (route not in may[scope]), (scope, route)
    admins = world.as_("admin", "POST", "/tokens", {"name": "a", "scopes": ["admin"]}).json()[
        "token"
    ]
    assert world.as_(admins, "GET", "/users").status_code == 200
    assert world.as_(admins, "GET", "/tasks").status_code == 403


def test_what_each_role_sees(world: World) -> None:
    """A manager sees the users and tasks of the organisation by name, state and time; another
    manager and a user none of it.
    """
    tasks = world.as_("manager", "GET", "/users/tasks").json()
    assert [
        (task["name"], task["status"], task["user"], task["organisation"]) for task in tasks
    ] == [("of-ada", "queued", world.names["ada"], "acme")]
    assert {user["name"] for user in world.as_("manager", "GET", "/users").json()} == {
        "ada",
        "bob",
        "mia",
        "root",
        "eve",
    }
    assert [user["name"] for user in world.as_("stranger", "GET", "/users").json()] == ["max"]
    assert world.as_("stranger", "GET", "/users/tasks").json() == []
    assert [one["id"] for one in world.as_("stranger", "GET", "/organisations").json()] == ["other"]
    assert {user["name"] for user in world.as_("admin", "GET", "/users").json()} >= {
        "ada",
        "max",
        "root",
    }
    assert world.as_("admin", "GET", f"/users/tasks?user={world.names['user']}").json() == []


def test_the_table_is_whole() -> None:
    """The table of rights has the routes of this walk and no others, but for a stack's alone
    (`test_proof.py`); and a route without an entry is refused to an admin too.
    """
    known = {re.sub(r":\w+", "", route) for route in permissions.RIGHTS}
    assert known == {*WALK, "GET /proof", "GET /docs", "GET /docs/oauth2-redirect"}
    with pytest.raises(Exception, match="table of rights"):
        permissions.check(None, permissions.Caller("local", role="admin"))


@pytest.mark.parametrize("path", ["/users/%00", "/users/nobody", "/users/" + "x" * 5000])
def test_unknown_users(world: World, path: str) -> None:
    """A user who is none is a problem document, never a failure."""
    for method, body in (("PATCH", {"weight": 1.0}), ("DELETE", None)):
        answer = world.as_("admin", method, path, body)
        assert answer.status_code in (404, 422) and answer.json()["detail"], answer.text
    assert world.as_("admin", "GET", "/users?after=%00").status_code == 422
    assert world.as_("admin", "PATCH", "/organisations/none", {"weight": 1.0}).status_code == 404


BAD: dict[str, Callable[[], Any]] = {
    "weight of nothing": lambda: {"weight": 0.0},
    "negative": lambda: {"max_running": -1},
    "unknown": lambda: {"role": "admin"},
    "text": lambda: {"disabled": "yes"},
}


@pytest.mark.parametrize("what", BAD)
def test_bad_changes(world: World, what: str) -> None:
    """A change that makes no sense is 422; a role is the issuer's to give and cannot be changed
    here.
    """
    assert (
        world.as_("admin", "PATCH", f"/users/{world.names['eve']}", BAD[what]()).status_code == 422
    )
