"""The gateway itself: who am I, who works, is it healthy, and its figures."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from mecapy_backend.api.auth import Asker
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.limits import allowance
from mecapy_backend.api.schemas.people import MeView
from mecapy_backend.api.schemas.system import AuthView, PackagesView, PythonAsked, WorkerView
from mecapy_backend.shared import metrics
from mecapy_backend.shared.health import HealthReport
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import workers
from mecapy_backend.store.people import shares, users
from mecapy_jupyter.shared.version import __version__

router = APIRouter(tags=["system"])
_OPEN: dict[str, Any] = {"security": [{}]}  # as OpenAPI says "also without a token"
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "It cannot", "content": {"application/json": {}}}
}


@router.get("/auth", response_model=AuthView, openapi_extra=_OPEN, summary="Where to log in")
async def where_to_log_in(request: Request) -> Response:
    """The OpenID Connect issuer whose tokens are accepted here, and as which client to ask it.
    `issuer` is null where a token is handed out by the operator instead.
    """
    settings: Settings = request.app.state.settings
    if not settings.oidc_issuer:
        return json({"issuer": None, "client_id": None, "scope": None})
    return json(
        {
            "issuer": settings.oidc_issuer,
            "client_id": settings.oidc_clients[0],
            "scope": settings.oidc_scope,
        }
    )


@router.get("/workers", response_model=list[WorkerView], summary="Workers that live")
async def who_works(request: Request) -> Response:
    found = await workers.list_live(request.app.state.db)
    return json(
        [
            {
                "id": one.id,
                "python": one.python,
                "info": one.info,
                "started_at": one.started_at.isoformat(),
                "seen_at": one.seen_at.isoformat(),
            }
            for one in found
        ]
    )


@router.get("/workers/packages", response_model=PackagesView, summary="What a task can import")
async def packages(request: Request, python: PythonAsked = "") -> Response:
    """What all living workers have, or all those with one Python version. `python` of the answer:
    the versions there are.
    """
    db = request.app.state.db
    found = await workers.common_packages(db, python)
    return json({"python": await workers.pythons(db), "packages": found})


@router.get("/me", response_model=MeView, summary="Who I am here, and what I may")
async def me(request: Request, asker: Asker) -> Response:
    settings: Settings = request.app.state.settings
    limits = {
        name: getattr(settings, name)
        for name in Settings.model_fields
        if name.startswith("max_") and name != "max_losses"
    }
    who = await users.name_and_email(request.app.state.db, asker.owner)
    may = {"role": asker.role, "organisation": asker.organisation, "scopes": sorted(asker.scopes)}
    standing = await shares.quota_status(
        request.app.state.db, asker.owner, settings, with_bytes=True
    )
    counts = {state: int(standing.own[state].used) for state in ("queued", "running")}
    said = {
        "tasks": counts,
        "limits": limits | {"keep_s": settings.keep_s},
        **allowance.told(standing),
    }
    return json({"owner": asker.owner, **who, **may, **said})


@router.get("/healthz", openapi_extra=_OPEN, summary="The process lives")
async def healthz(request: Request) -> Response:
    """`idle_s`: since the last request that needed a token, or since the start."""
    return json(
        {"status": "ok", "idle_s": round(time.monotonic() - request.app.state.last_used, 1)}
    )


@router.get("/readyz", openapi_extra=_OPEN, responses=_NOT_READY, summary="It can do its job")
async def readyz(request: Request) -> Response:
    """503 while PostgreSQL, its schema, Redis or the object store is not usable; `parts` says
    which, `advice` what to do about it. A wrong clock is named and does no harm to readiness. Tasks
    are taken as long as PostgreSQL answers, whatever this says.
    """
    found: HealthReport = await request.app.state.health.look()
    said = found.as_json() | {"version": __version__, "now": datetime.now(UTC).isoformat()}
    return json(said, 200 if found.ready else 503)


@router.get(
    "/metrics",
    openapi_extra=_OPEN,
    response_class=PlainTextResponse,
    summary="Figures for Prometheus",
)
async def figures(request: Request) -> Response:
    """Without a token from the gateway's own machine, with an admin's (its scope `read` is enough)
    from anywhere else.
    """
    return Response(await metrics.exposition(request.app.state), media_type=metrics.CONTENT_TYPE)
