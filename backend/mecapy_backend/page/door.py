"""The door of the page: who asks, by their session; whether they may, by the table of rights; and
whether a write comes from a form of ours.

A page has the right of a REST route and is audited as that route. REST itself never looks at a
cookie.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from mecapy_backend.api import permissions
from mecapy_backend.api.audit import audited
from mecapy_backend.api.permissions import Caller
from mecapy_backend.api.problems import Problem, misunderstood, not_understood
from mecapy_backend.api.request_body import bounded
from mecapy_backend.api.services import Services, services_of
from mecapy_backend.page import answers, sessions
from mecapy_backend.store.database import AWAY

_FORM_BYTES = 64 * 1024
_LIVE = "x-live"
"""Header of what an open page asks by itself: what the reader last got of it, or `first`."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is logged in. `links`: the pages they may open, name by path."""

    request: Request
    services: Services
    caller: Caller
    csrf: str
    form: Mapping[str, str]
    links: Mapping[str, str]

    @property
    def owner(self) -> str:
        return self.caller.owner

    @property
    def by_itself(self) -> bool:
        """Whether an open page asks, and not somebody who opens it."""
        streams = "text/event-stream" in self.request.headers.get("accept", "")
        return streams or self.live_mark is not None

    @property
    def live_mark(self) -> str | None:
        """None: the whole page is asked for."""
        return self.request.headers.get(_LIVE)

    def query(self, name: str) -> str:
        """The value in the address, at most 200 characters, none of which PostgreSQL refuses."""
        return self.request.query_params.get(name, "")[:200].replace("\0", "").strip()

    def page(self, template: str, **values: object) -> Response:
        """The page, or of an open one the part that lives."""
        part = None
        if self.live_mark is not None:
            part = answers.live_part(template, self.live_mark, {"csrf": self.csrf, **values})
        return part or answers.html(template, self._frame() | values)

    def problem(self, problem: Problem) -> Response:
        about = {"title": HTTPStatus(problem.status).phrase, "text": problem.detail}
        return answers.html("problem.html", self._frame() | about, problem.status)

    def _frame(self) -> dict[str, object]:
        return {
            "caller": self.caller,
            "csrf": self.csrf,
            "links": self.links,
            "here": self.request.url.path,
        }


View = Callable[[Visit], Awaitable[Response]]


async def enter(
    request: Request, view: View, acts_as: str, links: Callable[[Caller], Mapping[str, str]]
) -> Response:
    """What `view` answers to who is logged in and may use the REST route `acts_as`."""
    services = services_of(request)
    session = await sessions.find(services.stream_redis, request)
    if session is None:
        return _bounce(request) if _from_elsewhere(request) else please_log_in(request)
    try:
        caller = await _admitted(services, session)
    except Problem as refused:
        await sessions.end(services.stream_redis, request)
        return please_log_in(request, refused.detail)
    visit = Visit(request, services, caller, session.csrf, {}, links(caller))
    audited().who, audited().acts_as = caller.owner, acts_as
    try:
        services.rate_limit.spend(caller.owner)
        permissions.check(permissions.RIGHTS.get(acts_as), caller)
        if not visit.by_itself:  # a page left open does not keep a stack running
            services.activity.note()
        if request.method == "POST":
            visit = await _with_form(visit, session)
        return await view(visit)
    except ValidationError as wrong:
        return visit.problem(not_understood(wrong.errors()))
    except Problem as problem:
        return visit.problem(problem)


async def _admitted(services: Services, session: sessions.PageSession) -> Caller:
    """Raises Problem 401, 403."""
    digest = bytes.fromhex(session.digest)
    return await services.callers.admitted(digest, session.owner, session.via)


async def still(visit: Visit) -> bool:
    """Whether the session lasts, and its user may go on. While it cannot be asked, they may."""
    try:
        session = await sessions.find(visit.services.stream_redis, visit.request)
        return session is not None and bool(await _admitted(visit.services, session))
    except Problem:
        return False
    except (RedisError, *AWAY):
        return True


async def _with_form(visit: Visit, session: sessions.PageSession) -> Visit:
    check_origin(visit.request)
    form = await read_form(visit.request)
    if not secrets.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise Problem(403, "forged", "this form is of an earlier login: open the page again")
    return Visit(visit.request, visit.services, visit.caller, session.csrf, form, visit.links)


def check_origin(request: Request) -> None:
    """Problem 403 for a form that is not on a page of this gateway."""
    origin = urlsplit(request.headers.get("origin", ""))
    weaker = (origin.scheme, request.url.scheme) == ("http", "https")
    same = origin.netloc and origin.netloc == request.headers.get("host") and not weaker
    if not same or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Problem(
            403, "forged", "another site sent this form: open MecaPy's page and try again"
        )


async def read_form(request: Request) -> dict[str, str]:
    advice = "write less into the form"
    raw = b"".join([chunk async for chunk in bounded(request, _FORM_BYTES, advice)])
    try:
        fields = parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise misunderstood("this form has too many fields") from None
    return {name: value.replace("\0", "") for name, value in fields}


def please_log_in(request: Request, text: str = "", token: str = "") -> Response:
    issuer = urlsplit(services_of(request).settings.oidc_issuer).netloc
    back = answers.own_path(request.url.path if request.method == "GET" else "/")
    about = {"text": text, "token": token, "back": back, "issuer": issuer}
    return answers.html("login.html", about, 401)


def _from_elsewhere(request: Request) -> bool:
    return request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"


def _bounce(request: Request) -> Response:
    """Browsers send no strict cookie with a link on another site; one page later they do."""
    query = f"?{request.url.query}" if request.url.query else ""
    return answers.html("bounce.html", {"to": answers.own_path(request.url.path) + query})
