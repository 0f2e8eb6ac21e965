"""My tasks: a table that lives, filtered by state and name, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import urlencode

from starlette.responses import Response

from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.routes.tasks import cursor_of, open_cursor
from mecapy_backend.api.services import Services
from mecapy_backend.page import formats
from mecapy_backend.page.door import Visit
from mecapy_backend.page.first_lines import first_lines
from mecapy_backend.store import tasks
from mecapy_backend.store.log import events
from mecapy_backend.store.tasks import TaskRow
from mecapy_jupyter import wire

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Running:
    """What a task that runs said last of itself. `fraction`: from 0 to 1, None: not known."""

    fraction: float | None = None
    text: str = ""
    memory_bytes: int | None = None
    cpu_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A task in the table."""

    id: str
    name: str
    code: str
    state: str
    created_at: datetime
    elapsed: str
    place: wire.QueuedEvent
    running: Running
    cancelling: bool
    cost: float | None


async def listed(visit: Visit) -> Response:
    state = visit.query("state")
    state = state if state in get_args(wire.State) else ""
    name, cursor = visit.query("name"), visit.query("after")
    found = await tasks.page(
        visit.services.db,
        visit.owner,
        limit=SHOWN + 1,
        after=open_cursor(cursor) if cursor else None,
        state=state or None,
        name=f"*{name}*" if name else None,
    )
    shown = found[:SHOWN]
    following = cursor_of(shown[-1]) if len(found) > SHOWN else ""
    chosen = {"state": state, "name": name}
    lines = await _lines(visit.services, visit.owner, shown)
    return visit.page(
        "tasks.html",
        lines=lines,
        priced=any(line.cost is not None for line in lines),
        states=get_args(wire.State),
        state=state,
        name=name,
        later=bool(cursor),
        following=urlencode(chosen | {"after": following}) if following else "",
    )


async def _lines(services: Services, owner: str, rows: list[TaskRow]) -> list[Line]:
    codes = await first_lines(services.db, owner, [row.id for row in rows])
    running = [row.id for row in rows if row.state == wire.RUNNING]
    said = dict(zip(running, await last_said(services, running), strict=True))
    queued = [row for row in rows if row.state == wire.QUEUED]
    estimates = [services.start_estimator.estimate(owner, row) for row in queued]
    places = dict(zip([row.id for row in queued], await asyncio.gather(*estimates), strict=True))
    now = datetime.now(UTC)
    return [
        Line(
            row.id,
            row.name,
            codes[row.id],
            row.state,
            row.created_at,
            formats.elapsed(row.started_at, row.completed_at),
            places.get(row.id, wire.QueuedEvent()),
            said.get(row.id, Running()),
            row.cancel_requested and not row.final,
            services.placements.cost(row, now),
        )
        for row in rows
    ]


async def last_said(services: Services, task_ids: list[str]) -> list[Running]:
    """The last reports of running tasks; none while Redis is unavailable."""
    if not task_ids:
        return []
    found = await or_none(events.latest(services.stream_redis, task_ids))
    return [running_of(latest) for latest in found] if found else [Running()] * len(task_ids)


def running_of(latest: Sequence[events.EncodedEvent]) -> Running:
    """The last report, from the last events, the newest first."""
    bodies = (event.decoded().body for event in latest if event.type == wire.PROGRESS)
    progress = next((body for body in bodies if isinstance(body, wire.ProgressEvent)), None)
    bodies = (event.decoded().body for event in latest if event.type == wire.USAGE)
    usage = next((body for body in bodies if isinstance(body, wire.UsageEvent)), None)
    fraction = progress.fraction if progress else None
    return Running(
        None if fraction is None else min(1.0, max(0.0, fraction)),
        progress.text if progress else "",
        usage.memory_bytes if usage else None,
        usage.cpu_percent if usage else None,
    )
