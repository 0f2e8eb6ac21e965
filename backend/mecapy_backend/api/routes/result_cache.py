"""The cache of results: look at it, clear it. A submission asks it (`submission`)."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Query, Response

from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.routes.tasks import Mine
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store import result_cache
from mecapy_jupyter import wire

router = surface("cache")
_log = structlog.get_logger()
_KEY = "^[0-9a-f]{0,64}$"


@router.get("/cache", response_model=answer(wire.CacheList), summary="List my kept results")
async def look(
    services: WithServices,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    key: Annotated[str | None, Query(pattern=_KEY, description="only of this key")] = None,
    seeded: Annotated[str | None, Query(pattern=_KEY, description="or of this one")] = None,
) -> Response:
    """The newest first. Each is the result of a task, and is kept as long as that."""
    found = await result_cache.kept(
        services.db, owner, limit, services.settings.keep_s, [one for one in (key, seeded) if one]
    )
    return json(found.as_json())


@router.delete("/cache", response_model=dict[str, int], summary="Clear my cache of results")
async def clear(services: WithServices, owner: Owner) -> Response:
    """The tasks and their results stay."""
    return await _cleared(services, owner)


@router.delete("/cache/{task_id}", response_model=dict[str, int], summary="Clear one result")
async def clear_one(services: WithServices, owner: Owner, task: Mine) -> Response:
    return await _cleared(services, owner, task.id)


async def _cleared(services: Services, owner: str, *task_ids: str) -> Response:
    count = await result_cache.clear(services.db, owner, task_ids or None)
    _log.info("cache cleared", owner=owner, results=count)
    return json({"cleared": count})
