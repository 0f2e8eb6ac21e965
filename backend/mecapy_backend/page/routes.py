"""The door: every address of the page, and the REST route whose right it needs. `install` adds them
to the gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from mecapy_backend.api import permissions
from mecapy_backend.api.permissions import Caller
from mecapy_backend.api.problems import Problem
from mecapy_backend.page import (
    account,
    answers,
    audit,
    costs,
    link,
    live,
    login,
    oidc_login,
    people,
    pool,
    sweeps,
    task,
    tasks,
    workflows,
)
from mecapy_backend.page.door import View, enter


@dataclass(frozen=True, slots=True)
class PageRoute:
    """`acts_as`: the REST route whose right it needs and as which it is audited. `link`: how the
    pages name it; empty: they do not.
    """

    method: str
    path: str
    view: View
    acts_as: str
    link: str = ""


PAGES = (
    PageRoute("GET", "/", tasks.listed, "GET /tasks", "My tasks"),
    PageRoute("GET", "/page/tasks/{task_id}", task.shown, "GET /tasks/{task_id}"),
    PageRoute("GET", "/page/tasks/{task_id}/output", task.output, "GET /tasks/{task_id}/events"),
    PageRoute("GET", "/page/tasks/{task_id}/curves", task.curves, "GET /tasks/{task_id}/events"),
    PageRoute("GET", "/page/changes", live.of_mine, "GET /tasks"),
    PageRoute("GET", "/page/tasks/{task_id}/changes", live.of_task, "GET /tasks/{task_id}/events"),
    PageRoute("POST", "/page/tasks/{task_id}/cancel", task.cancel, "POST /tasks/{task_id}/cancel"),
    PageRoute("POST", "/page/tasks/{task_id}/again", task.again, "POST /tasks"),
    PageRoute("POST", "/page/tasks/{task_id}/share", task.share, "POST /tasks/{task_id}/share"),
    PageRoute(
        "POST", "/page/tasks/{task_id}/unshare", task.unshare, "DELETE /tasks/{task_id}/share"
    ),
    PageRoute("GET", task.SHARED + "{task_id}", task.shown, "GET /shared/{task_id}"),
    PageRoute("GET", task.SHARED + "{task_id}/output", task.output, "GET /shared/{task_id}"),
    PageRoute("GET", task.SHARED + "{task_id}/curves", task.curves, "GET /shared/{task_id}"),
    PageRoute("GET", task.SHARED + "{task_id}/changes", live.of_task, "GET /shared/{task_id}"),
    PageRoute("GET", "/page/sweeps", sweeps.listed, "GET /sweeps", "Sweeps"),
    PageRoute("GET", "/page/sweeps/{name}", sweeps.shown, "GET /sweeps/{name}"),
    PageRoute("POST", "/page/sweeps/{name}/pause", sweeps.pause, "POST /sweeps/{name}/pause"),
    PageRoute("POST", "/page/sweeps/{name}/resume", sweeps.resume, "POST /sweeps/{name}/resume"),
    PageRoute("POST", "/page/sweeps/{name}/cancel", sweeps.cancel, "POST /sweeps/{name}/cancel"),
    PageRoute("GET", "/page/workflows", workflows.listed, "GET /workflows", "Workflows"),
    PageRoute(
        "GET",
        "/page/workflows/{workflow_id}",
        workflows.shown,
        "GET /workflows/{workflow_id}",
    ),
    PageRoute(
        "POST",
        "/page/workflows/{workflow_id}/cancel",
        workflows.cancel,
        "POST /workflows/{workflow_id}/cancel",
    ),
    PageRoute(
        "POST",
        "/page/workflows/{workflow_id}/retry",
        workflows.retry,
        "POST /workflows/{workflow_id}/retry",
    ),
    PageRoute("GET", "/page/pool", pool.shown, "GET /workers", "Pool"),
    PageRoute(
        "POST", "/page/workers/{worker_id:path}/drain", pool.drain, "PATCH /workers/{worker_id}"
    ),
    PageRoute("GET", "/page/costs", costs.shown, "GET /me", "Costs"),
    PageRoute("GET", "/page/account", account.shown, "GET /me", "Account"),
    PageRoute("POST", "/page/tokens", account.make_token, "POST /tokens"),
    PageRoute(
        "POST", "/page/tokens/{token_id}/revoke", account.revoke_token, "DELETE /tokens/{token_id}"
    ),
    PageRoute("POST", "/page/logout", login.log_out, "GET /me"),
    PageRoute("GET", "/page/users", people.listed, "GET /users", "Users"),
    PageRoute("GET", "/page/users/tasks", people.tasks, "GET /users/tasks", "Users' tasks"),
    PageRoute("POST", "/page/users/{user_id}", people.change, "PATCH /users/{user_id}"),
    PageRoute(
        "GET", "/page/organisations", people.organisations, "GET /organisations", "Organisations"
    ),
    PageRoute(
        "POST",
        "/page/organisations/{organisation_id:path}",
        people.limit,
        "PATCH /organisations/{organisation_id}",
    ),
    PageRoute("GET", "/page/audit", audit.listed, "GET /audit", "Audit"),
    PageRoute("GET", "/page/health", audit.health, "GET /metrics", "Health"),
)


class _Route(Route):
    """Known to the log and the figures by its pattern, as FastAPI's routes are."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def install(app: FastAPI) -> None:
    app.include_router(link.router)
    app.router.routes.append(_Route("/page/login", login.by_form, methods=["POST"]))
    app.router.routes.append(_Route(oidc_login.START, oidc_login.start, methods=["GET"]))
    app.router.routes.append(_Route(oidc_login.BACK, oidc_login.back, methods=["GET"]))
    app.router.routes.append(_Route("/page/static/{name}", _static, methods=["GET"]))
    app.router.routes.extend(
        _Route(page.path, _guarded(page), methods=[page.method]) for page in PAGES
    )


def _guarded(page: PageRoute) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if page.path == "/" and "token" in request.query_params:
            return await login.by_link(request)
        return await enter(request, page.view, page.acts_as, _links)

    return answer


def _links(caller: Caller) -> Mapping[str, str]:
    """The pages that this caller may open."""
    return {page.path: page.link for page in PAGES if page.link and _may(caller, page.acts_as)}


def _may(caller: Caller, route: str) -> bool:
    try:
        permissions.check(permissions.RIGHTS.get(route), caller)
    except Problem:
        return False
    return True


async def _static(request: Request) -> Response:
    found = await answers.static(request.path_params["name"])
    return found or answers.to("/")
