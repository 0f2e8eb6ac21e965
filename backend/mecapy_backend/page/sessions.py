"""Sessions of browsers, and links that log in once. Both are in Redis under the digest of a random
secret: every gateway knows them, they end by themselves, and a logout really ends one.

A session says who came and with which token. It never holds the token, and it is asked on every
request whether that token, or its user, is still accepted (`Callers.admitted`).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from hashlib import sha256

from starlette.requests import Request

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import Queue
from mecapy_jupyter.wire.shape import Shape

SESSION_S = 8 * 3600
LINK_S = 120
LINK_PREFIX = "once_"


@dataclass(frozen=True, slots=True)
class Admitted(Shape):
    """Who a token was accepted for. `digest`: SHA-256 of the token, in hexadecimal digits."""

    owner: str
    via: str
    digest: str


@dataclass(frozen=True, slots=True)
class PageSession(Admitted):
    """`csrf`: what every form of this session carries."""

    csrf: str


def cookie_name(request: Request) -> str:
    """Browsers keep cookies by host and not by port, so the port is in the name."""
    if request.url.scheme == "https":
        return "__Host-mecapy_session"
    return f"mecapy_session_{request.url.port or 80}"


async def begin(redis: Queue, admitted: Admitted) -> str:
    """A new session; its secret."""
    secret = secrets.token_urlsafe(32)
    session = PageSession(
        admitted.owner, admitted.via, admitted.digest, csrf=secrets.token_urlsafe(32)
    )
    await redis.set(_key(secret), json.dumps(session.as_json()), ex=SESSION_S)
    return secret


async def find(redis: Queue, request: Request) -> PageSession | None:
    secret = request.cookies.get(cookie_name(request), "")
    found = await redis.get(_key(secret)) if secret else None
    return PageSession.from_json(json.loads(found)) if found else None


async def end(redis: Queue, request: Request) -> None:
    """End the session of this browser, if it has one."""
    if secret := request.cookies.get(cookie_name(request)):
        await redis.delete(_key(secret))


async def make_link(redis: Queue, admitted: Admitted) -> str:
    """A secret that logs in once, soon."""
    secret = LINK_PREFIX + secrets.token_urlsafe(32)
    await redis.set(_key(secret), json.dumps(admitted.as_json()), ex=LINK_S)
    return secret


async def use_link(redis: Queue, secret: str) -> Admitted | None:
    found = await redis.getdel(_key(secret))
    return Admitted.from_json(json.loads(found)) if found else None


def _key(secret: str) -> str:
    """Who can read Redis cannot use what is there."""
    return keys.page_secret(sha256(secret.encode(errors="replace")).hexdigest())
