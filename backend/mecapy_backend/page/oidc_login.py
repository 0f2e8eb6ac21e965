"""Logging in at the identity provider: OpenID Connect's code flow with PKCE, as the same public
client as `mecapy login`. What comes back is an access token, checked like any other; then it is
dropped, and a session remains.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlencode

import structlog
import urllib3
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mecapy_backend.api import oidc
from mecapy_backend.api.problems import Problem, unavailable
from mecapy_backend.api.services import services_of
from mecapy_backend.page import answers, sessions
from mecapy_backend.page.door import please_log_in
from mecapy_backend.page.login import admit, logged_in
from mecapy_backend.queue import keys
from mecapy_jupyter.wire import JsonObject
from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.shape import Shape

START, BACK = "/page/login/oidc", "/page/login/back"
_WITHIN_S = 600
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PendingLogin(Shape):
    """A login that is at the provider now. `verifier`: PKCE's secret; `browser`: the digest of the
    cookie of the browser that began it, so that no other one ends it.
    """

    verifier: str
    browser: str


async def start(request: Request) -> Response:
    services = services_of(request)
    if not services.settings.oidc_issuer:
        return please_log_in(request, "This gateway has no identity provider: enter a token.")
    try:
        about = await _provider(request)
    except Problem as away:
        return please_log_in(request, away.detail)
    state, verifier, browser = (secrets.token_urlsafe(32) for _ in range(3))
    pending = PendingLogin(verifier, _digest(browser))
    await services.stream_redis.set(_key(state), json.dumps(pending.as_json()), ex=_WITHIN_S)
    scope = services.settings.oidc_scope.split()
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "client_id": services.settings.oidc_clients[0],
        "redirect_uri": _back_uri(request),
        "scope": " ".join(one for one in scope if one != "offline_access"),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    where = fields.text(about, "authorization_endpoint")
    joint = "&" if "?" in where else "?"
    answer = RedirectResponse(f"{where}{joint}{urlencode(query)}", 303, answers.HEADERS)
    answer.set_cookie(
        _cookie(request),
        browser,
        _WITHIN_S,
        path="/page/login",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # it must come back with the provider's redirect
    )
    return answer


async def back(request: Request) -> Response:
    """The provider's redirect. The answer is a page, because browsers send no strict cookie while
    they follow one that began on another site.
    """
    query = request.query_params
    redis = services_of(request).stream_redis
    found = await redis.getdel(_key(query.get("state", "")))
    pending = PendingLogin.from_json(json.loads(found)) if found else None
    browser = _digest(request.cookies.get(_cookie(request), ""))
    if pending is None or not secrets.compare_digest(pending.browser, browser):
        return please_log_in(request, "This login is too old, or began elsewhere: begin again.")
    if "code" not in query:
        return please_log_in(request, f"The provider answered: {query.get('error', '')[:100]}")
    try:
        admitted = await admit(request, await _token(request, query["code"], pending))
    except Problem as refused:
        return please_log_in(request, refused.detail)
    answer = answers.html("bounce.html", {"to": "/"})
    answer.delete_cookie(_cookie(request), path="/page/login")
    return await logged_in(request, admitted, answer)


async def _token(request: Request, code: str, pending: PendingLogin) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _back_uri(request),
        "client_id": services_of(request).settings.oidc_clients[0],
        "code_verifier": pending.verifier,
    }
    where = fields.text(await _provider(request), "token_endpoint")
    try:
        answer = await asyncio.to_thread(oidc.post_form, where, form)
    except (urllib3.exceptions.HTTPError, ValueError) as wrong:
        _log.warning("issuer away", error=f"{type(wrong).__name__}: {wrong}")
        raise unavailable("the identity provider") from None
    token = fields.text(answer, "access_token")
    if not token:
        why = fields.text(answer, "error")[:100] or "no access token"
        raise Problem(401, "unauthorized", f"the provider answered: {why}. Log in again")
    return token


async def _provider(request: Request) -> JsonObject:
    """What it says of itself. Raises Problem 503."""
    issuer = services_of(request).settings.oidc_issuer
    try:
        about = await asyncio.to_thread(oidc.described, issuer)
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as wrong:
        _log.warning("issuer away", issuer=issuer, error=f"{type(wrong).__name__}: {wrong}")
        raise unavailable("the identity provider") from None
    if not fields.text(about, "authorization_endpoint"):
        raise Problem(503, "unavailable", "the identity provider has no page to log in at")
    return about


def _back_uri(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{BACK}"


def _cookie(request: Request) -> str:
    return sessions.cookie_name(request).removeprefix("__Host-") + "_login"


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _key(state: str) -> str:
    return keys.page_secret(_digest(f"login {state}"))
