"""The gateway itself: who am I, who works, is it healthy."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from ..auth import Owner
from ..settings import Settings
from ..store import lookup, workers
from .models import MeView, WorkerView
from .reply import json, or_none

router = APIRouter(tags=["system"])


@router.get("/workers", response_model=list[WorkerView], summary="Workers that live")
async def who_works(request: Request, _: Owner) -> Response:
    found = await workers.alive(request.app.state.db)
    return json(
        [{"id": one.id, "info": one.info, "started_at": one.started_at.isoformat(), "seen_at": one.seen_at.isoformat()} for one in found]
    )


@router.get("/me", response_model=MeView, summary="Who I am here, and what I may")
async def me(request: Request, owner: Owner) -> Response:
    settings: Settings = request.app.state.settings
    limits = {name: getattr(settings, name) for name in Settings.model_fields if name.startswith("max_") and name != "max_losses"}
    return json({"owner": owner, "tasks": await lookup.counts(request.app.state.db, owner), "limits": limits})


@router.get("/healthz", summary="The process lives")
async def healthz(request: Request) -> Response:
    """`idle_s`: since the last request that needed a token, or since the start."""
    return json({"status": "ok", "idle_s": round(time.monotonic() - request.app.state.last_used, 1)})


@router.get("/readyz", summary="It can take tasks")
async def readyz(request: Request) -> Response:
    """503 without PostgreSQL. Without Redis tasks are still taken; they start when it is back."""
    parts = {"postgres": await _postgres(request.app.state.db), "redis": bool(await or_none(request.app.state.queue.ping()))}
    said = {name: "ok" if well else "away" for name, well in parts.items()}
    return json({"status": "ok" if parts["postgres"] else "unavailable", "parts": said}, 200 if parts["postgres"] else 503)


async def _postgres(db: Any) -> bool:
    try:
        async with db.connect() as connection:
            await connection.execute(sa.select(1))
    except (SQLAlchemyError, OSError):
        return False
    return True
