"""The callers that a gateway knows, by digest of their token: looked up once, checked again every
few seconds. The only module that reads tokens.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api import permissions
from mecapy_backend.api.oidc import Issuer, IssuerAway, NotAccepted
from mecapy_backend.api.permissions import Caller
from mecapy_backend.api.problems import Problem, unavailable
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import AWAY
from mecapy_backend.store.people import api_tokens, users

LOCAL = "local"
"""The user of the token of an embedded stack, or of MECAPY_TOKEN. Always an admin."""

RECHECK_S = 3.0
"""How soon every gateway refuses a disabled user or a revoked token."""

HOW_TO_LOG_IN = (
    "log in with `mecapy login`, in a notebook `%mecapy login`; or set MECAPY_TOKEN "
    "(`mecapy up` prints that of the embedded stack). Over HTTP the token goes into "
    "the header `Authorization: Bearer TOKEN`."
)
_MOST_KNOWN = 20_000
_LONGEST = 16_384  # characters; tokens of issuers are shorter
_local = Caller(LOCAL, role="admin")


@dataclass(slots=True)
class _CachedCaller:
    caller: Caller
    checked_s: float  # of the monotonic clock
    expires_s: float  # since 1970


class Callers:
    """The callers that this gateway has seen, by digest of their token."""

    def __init__(self, db: AsyncEngine, settings: Settings) -> None:
        self._db = db
        self._tokens = [token.encode() for token in settings.tokens]
        self._issuer = Issuer(settings) if settings.oidc_issuer else None
        self._known: dict[bytes, _CachedCaller] = {}

    async def of(self, token: str) -> Caller:
        """Raises Problem 401, 403, 503."""
        # Compare with all of them, so that the time reveals nothing.
        if sum(secrets.compare_digest(token.encode(), one) for one in self._tokens):
            return _local
        digest = sha256(token.encode()).digest()
        cached = self._known.get(digest)
        if cached and cached.expires_s > time.time():
            if time.monotonic() - cached.checked_s < RECHECK_S:
                return cached.caller
            found = await self._looked_up(digest, cached)
        else:
            found = await self._new(token, digest)
        self._keep(digest, found)
        return found.caller

    async def still(self, token: str, was: Caller) -> bool:
        """Whether an admitted caller may continue. An access token that has merely expired does not
        end this. While the database is unavailable, they may.
        """
        if was.via == "token":
            return True
        digest = sha256(token.encode()).digest()
        cached = self._known.get(digest)
        if cached and time.monotonic() - cached.checked_s < RECHECK_S:
            return True
        try:
            found = await self._looked_up(digest, cached or _CachedCaller(was, 0.0, 0.0))
        except Problem:
            return False
        except AWAY:
            return True
        self._keep(digest, found)
        return was.scopes <= found.caller.scopes

    async def admitted(self, digest: bytes, owner: str, via: str) -> Caller:
        """Whom a token with this digest was accepted for earlier, as a session keeps it. The token
        of a login may have expired meanwhile. Raises Problem 401, 403.
        """
        if via == "token":
            same = [secrets.compare_digest(sha256(one).digest(), digest) for one in self._tokens]
            if not any(same):
                raise unauthorized("the gateway's token has changed; log in with the new one")
            return _local
        cached = self._known.get(digest)
        if cached and time.monotonic() - cached.checked_s < RECHECK_S:
            return cached.caller
        found = await self._looked_up(
            digest, cached or _CachedCaller(Caller(owner, via=via), 0.0, 0.0)
        )
        self._keep(digest, found)
        return found.caller

    def forget(self, owner: str) -> None:
        """Read the rows of this user again, now."""
        for digest in [
            digest for digest, cached in self._known.items() if cached.caller.owner == owner
        ]:
            del self._known[digest]

    def _keep(self, digest: bytes, found: _CachedCaller) -> None:
        self._known.pop(digest, None)
        while len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]  # the one checked longest ago
        self._known[digest] = found

    async def _new(self, token: str, digest: bytes) -> _CachedCaller:
        if token.startswith(api_tokens.PREFIX):
            return await self._by_api_token(digest)
        if self._issuer is None or len(token) > _LONGEST:
            raise unauthorized(
                f"this token is not accepted (it may have changed, or be for another gateway): "
                f"{HOW_TO_LOG_IN}"
            )
        try:
            person = await self._issuer.person(token)
        except NotAccepted as why:
            raise unauthorized(
                f"this token is not accepted: {why}. To get another one, {HOW_TO_LOG_IN}"
            ) from None
        except IssuerAway:
            raise unavailable("the identity provider") from None
        user = await users.upsert_identity(self._db, person)
        return _CachedCaller(_allowed(user, via="oidc"), time.monotonic(), person.expires_s)

    async def _looked_up(self, digest: bytes, cached: _CachedCaller) -> _CachedCaller:
        if cached.caller.via == "api_token":
            return await self._by_api_token(digest)
        user = await users.get(self._db, cached.caller.owner)
        return _CachedCaller(_allowed(user, via="oidc"), time.monotonic(), cached.expires_s)

    async def _by_api_token(self, digest: bytes) -> _CachedCaller:
        found = await api_tokens.find(self._db, digest)
        # The rights of LOCAL end with MECAPY_TOKEN.
        if found is None or (found.user.id == LOCAL and not self._tokens):
            raise unauthorized(
                "this API token is unknown, expired or revoked: make another (`mecapy token "
                "create`), or log in"
            )
        return _CachedCaller(
            _allowed(found.user, via="api_token", scopes=found.scopes),
            time.monotonic(),
            found.expires_s,
        )


def _allowed(
    user: users.User | None, *, via: str, scopes: frozenset[str] = permissions.ALL_SCOPES
) -> Caller:
    if user is None or user.disabled:
        raise Problem(
            403,
            "disabled",
            "this account was disabled or deleted on this gateway; its operator can say why",
        )
    return Caller(user.id, user.organisation, user.role, scopes, via)


def unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
