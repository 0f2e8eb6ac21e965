"""Logging in to the page and out of it: by a token that the gateway accepts, typed or in a link, or
at the identity provider (`oidc_login`). Each login begins a new session and ends the browser's
earlier one.
"""

from __future__ import annotations

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from mecapy_backend.api.audit import audited
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.services import services_of
from mecapy_backend.page import answers, sessions
from mecapy_backend.page.door import Visit, check_origin, please_log_in, read_form
from mecapy_backend.page.sessions import Admitted


async def by_link(request: Request) -> Response:
    """`/?token=…`: the token leaves the address at once. A link on another site only fills in the
    form, so that nobody is logged in as somebody else unasked; nor does a browser that does not
    say where it comes from, as all do to a gateway without TLS on another machine.
    """
    token = request.query_params["token"]
    if request.headers.get("sec-fetch-site") not in ("none", "same-origin"):
        text = "A link wants to log you in here: go on if you asked for it."
        return please_log_in(request, text, token)
    return await _by_token(request, token, "/")


async def by_form(request: Request) -> Response:
    try:
        check_origin(request)
        form = await read_form(request)
    except Problem as problem:
        return please_log_in(request, problem.detail)
    return await _by_token(request, form.get("token", "").strip(), form.get("back", "/"))


async def log_out(visit: Visit) -> Response:
    await sessions.end(visit.services.stream_redis, visit.request)
    answer = answers.to("/")
    secure = visit.request.url.scheme == "https"
    name = sessions.cookie_name(visit.request)
    answer.delete_cookie(name, secure=secure, httponly=True, samesite="strict")
    audited().acts_as = "POST /page/logout"
    return answer


async def _by_token(request: Request, token: str, back: str) -> Response:
    services = services_of(request)
    admitted = None
    if token.startswith(sessions.LINK_PREFIX):
        admitted = await sessions.use_link(services.stream_redis, token)
        if admitted is None:
            text = "This link was used already, or is too old: `mecapy open` makes another."
            return please_log_in(request, text)
    try:
        admitted = admitted or await admit(request, token)
    except Problem as refused:
        return please_log_in(request, refused.detail)
    return await logged_in(request, admitted, answers.to(back))


async def admit(request: Request, token: str) -> Admitted:
    """Raises Problem for a token that is not accepted."""
    caller = await services_of(request).callers.of(token)
    return Admitted(caller.owner, caller.via, sha256(token.encode()).hexdigest())


async def logged_in(request: Request, admitted: Admitted, answer: Response) -> Response:
    """The answer, with the cookie of a new session."""
    services = services_of(request)
    await sessions.end(services.stream_redis, request)
    secret = await sessions.begin(services.stream_redis, admitted)
    answer.set_cookie(
        sessions.cookie_name(request),
        secret,
        sessions.SESSION_S,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    audited().who, audited().acts_as = admitted.owner, "POST /page/login"
    services.activity.note()
    return answer
