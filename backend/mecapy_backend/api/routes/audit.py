"""The audit, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mecapy_backend.api import audit
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.schemas.people import AuditView

router = APIRouter(tags=["admin"])
_Text = Annotated[str | None, Query(max_length=200)]


@router.get("/audit", response_model=AuditView, summary="Who did what, newest first")
async def page(
    request: Request,
    who: _Text = None,
    act: _Text = None,
    what: _Text = None,
    before: Annotated[
        int | None, Query(ge=1, le=2**62, description="`next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """`what`: the id of a task, blob or user. Lines of the last second may still be on the way."""
    state = request.app.state
    values = {"who": who, "act": act, "what": what}
    if any(value and "\0" in value for value in values.values()):
        return json({"lines": [], "next": None})
    found = await audit.page(state.db, before=before, limit=limit, **values)
    lines = [line | {"at": line["at"].isoformat()} for line in found]
    return json({"lines": lines, "next": lines[-1]["id"] if len(lines) == limit else None})
