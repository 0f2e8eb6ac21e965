"""Authentication: the bearer token of a request becomes its `Caller`, and the table of rights is
applied. The whole app depends on `caller_of`, so no route runs without it. `Owner` is for routes on
a user's own objects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mecapy_backend.api import permissions
from mecapy_backend.api.audit import audited
from mecapy_backend.api.callers import HOW_TO_LOG_IN, Callers, unauthorized
from mecapy_backend.api.permissions import Caller
from mecapy_backend.api.services import WithServices

_nobody = Caller("", scopes=frozenset())
_bearer = HTTPBearer(
    auto_error=False,
    description="What `mecapy login` got, a personal API token (`mecapy token create`), or the "
    "stack's.",
)
_LOOPBACK = ("127.0.0.1", "::1")
_FORWARDED = ("x-forwarded-for", "x-real-ip", "forwarded")

BearerToken = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def caller_of(request: Request, services: WithServices, token: BearerToken) -> Caller:
    """The caller, if the request is allowed: the dependency of the whole app."""
    route = request.scope["route"].path
    right = permissions.RIGHTS.get(f"{request.method} {route}")
    if right == permissions.OPEN or (route == "/metrics" and is_local(request)):
        return _nobody
    if token is None:
        raise unauthorized(f"this address needs a token: {HOW_TO_LOG_IN}")
    caller = await services.callers.of(token.credentials)
    audited().who = caller.owner
    services.rate_limit.spend(caller.owner)
    permissions.check(right, caller)
    services.activity.note()
    return caller


def is_local(request: Request) -> bool:
    """Whether the request comes from this machine and addresses it by its own name.

    A local proxy passes on requests of others, and a page in a local browser may use a name that
    leads here (DNS rebinding); neither is local.
    """
    local = request.client is not None and request.client.host in _LOOPBACK
    own_name = request.url.hostname in (*_LOOPBACK, "localhost")
    return local and own_name and not any(name in request.headers for name in _FORWARDED)


Asker = Annotated[Caller, Depends(caller_of)]


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader of a long answer, and their token."""

    caller: Caller
    token: str = field(repr=False)

    def still(self, callers: Callers) -> Callable[[], Awaitable[bool]]:
        return partial(callers.still, self.token, self.caller)


async def reader_of(asker: Asker, token: BearerToken) -> Reader:
    return Reader(asker, token.credentials if token else "")


WithReader = Annotated[Reader, Depends(reader_of)]


async def owner_of(asker: Asker) -> str:
    return asker.owner


Owner = Annotated[str, Depends(owner_of)]
