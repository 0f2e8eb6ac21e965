"""Personal API tokens, for scripts and CI: created by a logged-in user, shown once. An admin
creates those of users without an identity provider.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from fastapi import Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Asker, Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem, no_such_user
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.common import UserId
from mecapy_backend.api.schemas.people import NewTokenBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.people import api_tokens, users
from mecapy_jupyter import wire

router = surface("tokens")
_log = structlog.get_logger()
_MOST = 100
_TOKEN, _TOKENS = answer(wire.TokenInfo), answer(list[wire.TokenInfo])


@router.post(
    "/tokens",
    status_code=201,
    response_model=_TOKEN,
    openapi_extra=request_body.described(NewTokenBody),
    summary="Make a token",
)
async def create(request: Request, services: WithServices, owner: Owner) -> Response:
    """The answer is the only time the token itself is shown. It may what its scopes say, never more
    than its owner.
    """
    return await _create(request, services, owner, by=owner)


@router.post(
    "/users/{user_id}/tokens",
    status_code=201,
    response_model=_TOKEN,
    openapi_extra=request_body.described(NewTokenBody),
    summary="Create a token for a user without an identity provider",
)
async def create_for(
    request: Request, services: WithServices, asker: Asker, user_id: UserId
) -> Response:
    """Users who can log in create their own tokens, so that nobody can act as them unseen."""
    made_here = await users.is_made_here(services.db, user_id)
    if made_here is None:
        raise no_such_user(user_id)
    if not made_here:
        detail = (
            "this user has an identity provider: only they create tokens (`mecapy token create`)"
        )
        raise Problem(409, "not-this-user", detail)
    return await _create(request, services, user_id, by=asker.owner)


async def _create(request: Request, services: Services, owner: str, *, by: str) -> Response:
    wanted = await services.bodies.read(request, NewTokenBody)
    return json((await make(services, owner, wanted, by=by)).as_json(), 201)


async def make(services: Services, owner: str, wanted: NewTokenBody, *, by: str) -> wire.TokenInfo:
    """Raises Problem 409."""
    expires_at = None if wanted.days is None else datetime.now(UTC) + timedelta(days=wanted.days)
    made = await api_tokens.create(
        services.db, owner, wanted.name, sorted(set(wanted.scopes)), expires_at, _MOST
    )
    if made is None:
        raise Problem(
            409,
            "too-many-tokens",
            f"there are {_MOST} tokens, as many as allowed; revoke some (DELETE /tokens/…)",
        )
    _log.info("token made", owner=owner, by=by, token_id=made.id, scopes=made.scopes)
    return made


@router.get("/tokens", response_model=_TOKENS, summary="My tokens")
async def listed(services: WithServices, owner: Owner) -> Response:
    return await _listed(services, owner)


@router.get("/users/{user_id}/tokens", response_model=_TOKENS, summary="Tokens of a user")
async def listed_of(services: WithServices, user_id: UserId) -> Response:
    return await _listed(services, user_id)


async def _listed(services: Services, owner: str) -> Response:
    return json([one.as_json() for one in await api_tokens.list_valid(services.db, owner)])


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
async def revoke(services: WithServices, owner: Owner, token_id: str) -> Response:
    """Every gateway refuses it within seconds."""
    return await _revoke(services, owner, token_id, by=owner)


@router.delete(
    "/users/{user_id}/tokens/{token_id}", status_code=204, summary="Revoke a token of a user"
)
async def revoke_of(
    services: WithServices, asker: Asker, user_id: UserId, token_id: str
) -> Response:
    """Revokes a token of any user; a leaked one is refused within seconds."""
    return await _revoke(services, user_id, token_id, by=asker.owner)


async def _revoke(services: Services, owner: str, token_id: str, *, by: str) -> Response:
    try:
        revoked = await api_tokens.revoke(services.db, owner, str(UUID(token_id)))
    except ValueError:
        revoked = False
    if not revoked:
        raise Problem(
            404,
            "no-such-token",
            f"no token {token_id[:40]!r} there; GET /tokens lists those you have",
        )
    services.callers.forget(owner)
    _log.info("token revoked", owner=owner, by=by, token_id=token_id)
    return Response(status_code=204)
