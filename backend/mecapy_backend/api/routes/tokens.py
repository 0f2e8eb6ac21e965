"""Personal API tokens, for scripts and CI: made by somebody who is logged in, shown once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from fastapi import APIRouter, Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.schemas.people import ApiTokenView, NewTokenBody, NewTokenView
from mecapy_backend.api.services import WithServices
from mecapy_backend.store.people import api_tokens
from mecapy_jupyter.wire import JsonObject

router = APIRouter(tags=["tokens"])
_log = structlog.get_logger()
_MOST = 100


@router.post(
    "/tokens",
    status_code=201,
    response_model=NewTokenView,
    openapi_extra=request_body.described(NewTokenBody),
    summary="Make a token",
)
async def create(request: Request, services: WithServices, owner: Owner) -> Response:
    """The answer is the only time the token itself is shown. It may what its scopes say, never more
    than its owner.
    """
    wanted = await services.bodies.read(request, NewTokenBody)
    expires_at = None if wanted.days is None else datetime.now(UTC) + timedelta(days=wanted.days)
    made = await api_tokens.create(
        services.db, owner, wanted.name, sorted(set(wanted.scopes)), expires_at, _MOST
    )
    if made is None:
        raise Problem(
            409,
            "too-many-tokens",
            f"you have {_MOST} tokens, as many as one may; revoke some (DELETE /tokens/…)",
        )
    _log.info("token made", owner=owner, token_id=made[0].id, scopes=made[0].scopes)
    return json(_view(made[0]) | {"token": made[1]}, 201)


@router.get("/tokens", response_model=list[ApiTokenView], summary="My tokens")
async def listed(services: WithServices, owner: Owner) -> Response:
    return json([_view(token) for token in await api_tokens.list_valid(services.db, owner)])


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
async def revoke(services: WithServices, owner: Owner, token_id: str) -> Response:
    """Every gateway refuses it within seconds."""
    try:
        revoked = await api_tokens.revoke(services.db, owner, str(UUID(token_id)))
    except ValueError:
        revoked = False
    if not revoked:
        raise Problem(
            404,
            "no-such-token",
            f"no token {token_id[:40]!r} of yours; GET /tokens lists those you have",
        )
    services.callers.forget(owner)
    _log.info("token revoked", owner=owner, token_id=token_id)
    return Response(status_code=204)


def _view(token: api_tokens.ApiToken) -> JsonObject:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [*token.scopes],
        "created_at": _iso(token.created_at),
        "expires_at": _iso(token.expires_at),
        "used_at": _iso(token.used_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
