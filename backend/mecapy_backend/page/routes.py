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
    """`like`: the REST route whose right it needs and as which it is audited; empty: the one of
    its own address. `link`: how the pages name it; empty: they do not.
    """

    method: str
    path: str
    view: View
    like: str = ""
    link: str = ""

    @property
    def acts_as(self) -> str:
        return self.like or f"{self.method} {self.path.removeprefix('/page')}"


PAGES = (
    PageRoute("GET", "/", tasks.listed, "GET /tasks", link="My tasks"),
    PageRoute("GET", "/page/tasks/{task_id}", task.shown),
    PageRoute("GET", "/page/tasks/{task_id}/output", task.output, "GET /tasks/{task_id}/events"),
    PageRoute("GET", "/page/tasks/{task_id}/curves", task.curves, "GET /tasks/{task_id}/events"),
    PageRoute("GET", "/page/changes", live.of_mine, "GET /tasks"),
    PageRoute("GET", "/page/tasks/{task_id}/changes", live.of_task, "GET /tasks/{task_id}/events"),
    PageRoute("POST", "/page/tasks/{task_id}/cancel", task.cancel),
    PageRoute("POST", "/page/tasks/{task_id}/again", task.again, "POST /tasks"),
    PageRoute("POST", "/page/tasks/{task_id}/share", task.share),
    PageRoute(
        "POST", "/page/tasks/{task_id}/unshare", task.unshare, "DELETE /tasks/{task_id}/share"
    ),
    PageRoute("GET", task.SHARED + "{task_id}", task.shown),
    PageRoute("GET", task.SHARED + "{task_id}/output", task.output, "GET /shared/{task_id}"),
    PageRoute("GET", task.SHARED + "{task_id}/curves", task.curves, "GET /shared/{task_id}"),
    PageRoute("GET", task.SHARED + "{task_id}/changes", live.of_task, "GET /shared/{task_id}"),
    PageRoute("GET", "/page/sweeps", sweeps.listed, link="Sweeps"),
    PageRoute("GET", "/page/sweeps/{name}", sweeps.shown),
    PageRoute("POST", "/page/sweeps/{name}/pause", sweeps.pause),
    PageRoute("POST", "/page/sweeps/{name}/resume", sweeps.resume),
    PageRoute("POST", "/page/sweeps/{name}/cancel", sweeps.cancel),
    PageRoute("GET", "/page/workflows", workflows.listed, link="Workflows"),
    PageRoute("GET", "/page/workflows/{workflow_id}", workflows.shown),
    PageRoute("POST", "/page/workflows/{workflow_id}/cancel", workflows.cancel),
    PageRoute("POST", "/page/workflows/{workflow_id}/retry", workflows.retry),
    PageRoute("GET", "/page/pool", pool.shown, "GET /workers", link="Pool"),
    PageRoute(
        "POST", "/page/workers/{worker_id:path}/drain", pool.drain, "PATCH /workers/{worker_id}"
    ),
    PageRoute("GET", "/page/costs", costs.shown, "GET /me", link="Costs"),
    PageRoute("GET", "/page/account", account.shown, "GET /me", link="Account"),
    PageRoute("POST", "/page/tokens", account.make_token),
    PageRoute(
        "POST", "/page/tokens/{token_id}/revoke", account.revoke_token, "DELETE /tokens/{token_id}"
    ),
    PageRoute("POST", "/page/logout", login.log_out, "GET /me"),
    PageRoute("GET", "/page/users", people.listed, link="Users"),
    PageRoute("GET", "/page/users/tasks", people.tasks, link="Users' tasks"),
    PageRoute("POST", "/page/users/{user_id}", people.change, "PATCH /users/{user_id}"),
    PageRoute("GET", "/page/organisations", people.organisations, link="Organisations"),
    PageRoute(
        "POST",
        "/page/organisations/{organisation_id:path}",
        people.limit,
        "PATCH /organisations/{organisation_id}",
    ),
    PageRoute("GET", "/page/audit", audit.listed, link="Audit"),
    PageRoute("GET", "/page/health", audit.health, "GET /metrics", link="Health"),
)


class _Route(Route):
    """Known to the log and the figures by its pattern, as FastAPI's routes are."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def install(app: FastAPI) -> None:
    app.router.routes.extend(link.router.routes)
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
