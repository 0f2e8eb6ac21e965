"""Who asks: the bearer token of a request becomes its owner. The only place that looks at tokens.

Every route that touches somebody's things depends on `Owner`; all reads and writes are scoped by it.
"""

from __future__ import annotations

import secrets
import time
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .problems import Problem

LOCAL = "local"
"""The owner behind the one token of a local gateway."""

_bearer = HTTPBearer(auto_error=False, description="The token that `mecapy up` prints, or that your operator gave you.")
_HOW = (
    "send the header `Authorization: Bearer TOKEN`. `mecapy up` prints the token; in a notebook, MECAPY_TOKEN or `%mecapy login` sets it."
)


async def owner_of(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    token: str = request.app.state.settings.token.get_secret_value()
    if given is None:
        raise _unauthorized(f"this address needs a token: {_HOW}")
    if not token or not secrets.compare_digest(given.credentials.encode(), token.encode()):
        raise _unauthorized(f"this token is not accepted (it may have changed, or be for another gateway): {_HOW}")
    request.app.state.last_used = time.monotonic()
    return LOCAL


Owner = Annotated[str, Depends(owner_of)]


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
