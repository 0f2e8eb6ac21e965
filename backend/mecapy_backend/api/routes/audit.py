"""The audit, for admins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Response

from mecapy_backend.api.json_reply import json
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store import audit
from mecapy_backend.store.audit import AuditLine
from mecapy_jupyter.wire.shape import Shape

router = surface("admin")


@dataclass(frozen=True, slots=True)
class AuditPage(Shape):
    """`next`: given as `before`, it gets the next page."""

    lines: tuple[AuditLine, ...] = ()
    next: int | None = None


_Text = Annotated[str | None, Query(max_length=200)]


@router.get("/audit", response_model=answer(AuditPage), summary="Who did what, newest first")
async def page(
    services: WithServices,
    who: _Text = None,
    act: _Text = None,
    what: _Text = None,
    before: Annotated[
        int | None, Query(ge=1, le=2**62, description="`next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """`what`: the id of a task, blob or user. Lines of the last second may still be on the way."""
    wanted = {"who": who, "act": act, "what": what}
    if any(value and "\0" in value for value in wanted.values()):
        return json(AuditPage().as_json())
    found = await audit.page(services.db, before=before, limit=limit, **wanted)
    following = found[-1].id if len(found) == limit else None
    return json(AuditPage(tuple(found), following).as_json())
