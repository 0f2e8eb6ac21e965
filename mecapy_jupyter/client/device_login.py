"""Device login at an identity provider (RFC 8628): get a code, wait for the user, renew, revoke.
Stores nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.secret import Secret

_pool = urllib3.PoolManager(
    timeout=urllib3.Timeout(connect=5.0, read=20.0),
    retries=urllib3.Retry(2, redirect=0, backoff_factor=0.2),
)
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL_S, _SLOWER_S = 5.0, 5.0  # RFC 8628, 3.2 and 3.5


@dataclass(frozen=True, slots=True)
class LoginIssuer:
    """The provider's addresses, and our client id."""

    url: str
    client_id: str
    device_url: str
    token_url: str
    revocation_url: str


@dataclass(frozen=True, slots=True)
class Code:
    """The code and address for the user. `link` has both, if the provider supports it."""

    user_code: str
    where: str
    link: str
    interval_s: float
    expires_s: float
    device_code: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginTokens:
    access: Secret = field(repr=False)
    refresh: Secret = field(repr=False)
    lifetime_s: float


class LoginEnded(errors.NotAuthorized):
    """The provider no longer accepts this login."""


def find(url: str, client_id: str) -> LoginIssuer:
    """Raises ConnectionFailed, or Refused if the provider has no device login."""
    about = _answer(_sent("GET", url.rstrip("/") + "/.well-known/openid-configuration"), url)
    if about.get("issuer") != url:
        raise errors.Refused(
            f"the identity provider at {url} calls itself {about.get('issuer')!r}: tell the "
            f"operator of the gateway"
        )
    device, token = about.get("device_authorization_endpoint"), about.get("token_endpoint")
    if not device or not token:
        raise errors.Refused(
            f"the identity provider {url} does not support device logins; create an "
            "API token elsewhere and use `mecapy login --token`"
        )
    return LoginIssuer(
        url, client_id, str(device), str(token), str(about.get("revocation_endpoint") or "")
    )


def ask(issuer: LoginIssuer, scope: str) -> Code:
    """Start: get a code for the user."""
    answer = _answer(
        _sent("POST", issuer.device_url, client_id=issuer.client_id, scope=scope), issuer.url
    )
    where = str(answer["verification_uri"])
    link = str(answer.get("verification_uri_complete") or "")
    for address in filter(None, (where, link)):
        if urlsplit(address).scheme not in ("http", "https"):
            raise errors.Refused(
                f"the identity provider {issuer.url} returned {address!r}, which is "
                "not the address of a page; tell the operator of the gateway"
            )
    interval_s = float(answer.get("interval") or _INTERVAL_S)
    return Code(
        str(answer["user_code"]),
        where,
        link,
        interval_s,
        float(answer["expires_in"]),
        Secret(answer["device_code"]),
    )


def wait(
    issuer: LoginIssuer, code: Code, sleep: Callable[[float], None] = time.sleep
) -> LoginTokens:
    """Wait for the user. Raises NotAuthorized if they refuse or let the code expire."""
    until, interval_s = time.monotonic() + code.expires_s, code.interval_s
    while time.monotonic() < until:
        sleep(interval_s)
        try:
            answer = _sent(
                "POST",
                issuer.token_url,
                client_id=issuer.client_id,
                grant_type=_DEVICE,
                device_code=code.device_code,
            )
        except errors.ConnectionFailed:
            interval_s *= 2  # RFC 8628, 3.5
            continue
        error = _error(answer)
        if error == "slow_down":
            interval_s += _SLOWER_S
        elif error == "access_denied":
            raise errors.NotAuthorized(
                "the login was refused in the browser; nothing was changed here"
            )
        elif error == "expired_token":
            break
        elif error != "authorization_pending":
            return _tokens(_answer(answer, issuer.url))
    raise errors.NotAuthorized("nobody entered the code in time; log in again for a new one")


def renew(issuer: LoginIssuer, refresh: str) -> LoginTokens:
    """New tokens from a refresh token. Raises LoginEnded if the user has to log in again."""
    answer = _sent(
        "POST",
        issuer.token_url,
        client_id=issuer.client_id,
        grant_type="refresh_token",
        refresh_token=refresh,
    )
    if answer.status in (400, 401):
        raise LoginEnded(
            f"your login at {issuer.url} has ended ({_error(answer)}): run `mecapy login`, in a "
            f"notebook `%mecapy login`"
        )
    return _tokens(_answer(answer, issuer.url), refresh)


def revoke(issuer: LoginIssuer, refresh: str) -> None:
    """Revoke the login. Raises ConnectionFailed, Refused."""
    if issuer.revocation_url:
        answer = _sent(
            "POST",
            issuer.revocation_url,
            client_id=issuer.client_id,
            token=refresh,
            token_type_hint="refresh_token",
        )
        if answer.status >= 400:
            raise errors.Refused(f"{issuer.url} did not revoke the login ({_error(answer)})")


def _tokens(answer: dict[str, Any], refresh: str = "") -> LoginTokens:
    return LoginTokens(
        Secret(answer["access_token"]),
        Secret(answer.get("refresh_token") or refresh),
        float(answer.get("expires_in") or 60),
    )


def _sent(method: str, url: str, **fields: str) -> urllib3.BaseHTTPResponse:
    try:
        if method == "GET":
            return _pool.request("GET", url)
        return _pool.request_encode_body(method, url, fields=fields, encode_multipart=False)
    except urllib3.exceptions.HTTPError as broken:
        why = getattr(broken, "reason", None) or broken
        raise errors.ConnectionFailed(
            f"no answer from the identity provider at {url} ({type(why).__name__}); is this "
            f"machine online?"
        ) from None


def _answer(answer: urllib3.BaseHTTPResponse, url: str) -> dict[str, Any]:
    if answer.status >= 500:
        raise errors.ConnectionFailed(
            f"the identity provider at {url} failed ({answer.status}); try again in a moment"
        )
    body = _object(answer)
    if answer.status >= 400 or not body:
        raise errors.Refused(
            f"the identity provider at {url} refused ({answer.status} {_error(answer)}): tell the "
            f"operator of the gateway"
        )
    return body


def _error(answer: urllib3.BaseHTTPResponse) -> str:
    """RFC 6749's error code; empty if there is none."""
    return str(_object(answer).get("error", ""))[:100] if answer.status >= 400 else ""


def _object(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """Empty if it is not a JSON object."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
