"""Logging in at the identity provider: OpenID Connect's code flow with PKCE, as the same public
client as `mecapy login`. What comes back is an access token, checked like any other; then it is
dropped, and a session remains.

A login that is at the provider is a cookie of the browser that began it, with the state that the
answer must name and PKCE's verifier. So the gateway keeps nothing for people it does not know.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
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
from mecapy_jupyter.wire import JsonObject
from mecapy_jupyter.wire import json_fields as fields

START, BACK = "/page/login/oidc", "/page/login/back"
_WITHIN_S = 600
_log = structlog.get_logger()


async def start(request: Request) -> Response:
    services = services_of(request)
    if not services.settings.oidc_issuer:
        return please_log_in(request, "This gateway has no identity provider: enter a token.")
    try:
        about = await _provider(request)
    except Problem as away:
        return please_log_in(request, away.detail)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
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
        f"{state}.{verifier}",
        _WITHIN_S,
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
    state, _, verifier = request.cookies.get(_cookie(request), "").partition(".")
    answered = query.get("state", "").encode(errors="replace")
    if not verifier or not secrets.compare_digest(answered, state.encode(errors="replace")):
        return please_log_in(request, "This login is too old, or began elsewhere: begin again.")
    if "code" not in query:
        return please_log_in(request, f"The provider answered: {query.get('error', '')[:100]}")
    try:
        admitted = await admit(request, await _token(request, query["code"], verifier))
    except Problem as refused:
        return please_log_in(request, refused.detail)
    answer = answers.html("bounce.html", {"to": "/"})
    secure = request.url.scheme == "https"
    answer.delete_cookie(_cookie(request), secure=secure, httponly=True, samesite="lax")
    return await logged_in(request, admitted, answer)


async def _token(request: Request, code: str, verifier: str) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _back_uri(request),
        "client_id": services_of(request).settings.oidc_clients[0],
        "code_verifier": verifier,
    }
    where = fields.text(await _provider(request), "token_endpoint")
    answer = await _asked(oidc.post_form, where, form)
    token = fields.text(answer, "access_token")
    if not token:
        why = fields.text(answer, "error")[:100] or "no access token"
        raise Problem(401, "unauthorized", f"the provider answered: {why}. Log in again")
    return token


async def _provider(request: Request) -> JsonObject:
    """What it says of itself. Raises Problem 503."""
    about = await _asked(oidc.described, services_of(request).settings.oidc_issuer)
    if not fields.text(about, "authorization_endpoint"):
        raise Problem(503, "unavailable", "the identity provider has no page to log in at")
    return about


async def _asked(ask: Callable[..., JsonObject], url: str, *form: Mapping[str, str]) -> JsonObject:
    try:
        return await asyncio.to_thread(ask, url, *form)
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as wrong:
        _log.warning("issuer away", url=url, error=f"{type(wrong).__name__}: {wrong}")
        raise unavailable("the identity provider") from None


def _back_uri(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{BACK}"


def _cookie(request: Request) -> str:
    return f"{sessions.cookie_name(request)}_login"
