"""Who did what: a line for each submit, cancel, read of somebody's results or data, and act of an
admin, in a table that only grows.

`traffic` notes each request once its status is known. The hot path only puts a line into memory; it
is written within a second, and at shutdown: a gateway that is killed takes the lines of its last
second with it. Acts of admins are written before they are answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Scope

from mecapy_backend.store.tables import audit

_log = structlog.get_logger()
_EVERY_S, _TIDY_EVERY_S = 1.0, 3600.0
_MOST, _AT_ONCE, _DROPPED_AT_ONCE = 100_000, 1000, 10_000

ACTS = {
    "POST /tasks": "submit",
    "POST /tasks/{task_id}/cancel": "cancel",
    "DELETE /tasks/{task_id}": "forget",
    "GET /tasks/{task_id}": "read result",  # once there is one
    "GET /tasks/{task_id}/request": "read request",
    "GET /tasks/{task_id}/result": "read result",
    "GET /tasks/{task_id}/events": "read log",
    "GET /blobs/{digest}": "read data",
    "POST /tokens": "make token",
    "DELETE /tokens/{token_id}": "revoke token",
    "GET /users": "admin: list users",
    "GET /users/tasks": "admin: list tasks",
    "PATCH /users/{user_id}": "admin: change user",
    "DELETE /users/{user_id}": "admin: delete user",
    "GET /organisations": "admin: list organisations",
    "PATCH /organisations/{organisation_id}": "admin: change organisation",
    "GET /audit": "admin: read audit",
}
"""Route → what a line calls it. What is not here is not a look at anybody's things, nor a change to
them.
"""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    who: str
    act: str
    what: str  # the task, blob, user or organisation; with the status where it was refused
    source: str  # the address the request came from
    request: str  # its id in the log
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


def line_of(scope: Scope, status: int, headers: Any, request: str) -> AuditEntry | None:
    """What a request is in the audit; None: nothing, or of nobody known."""
    act = ACTS.get(f"{scope['method']} {getattr(scope.get('route'), 'path', '')}")
    state = scope.get("state", {})
    who = state.get("owner", "")
    if act is None or not who or state.get("nothing_read"):
        return None
    made = next((value.decode() for name, value in headers if name == b"location"), "").rpartition(
        "/"
    )[2]
    what = " ".join(map(str, scope.get("path_params", {}).values())) or (
        made if act == "submit" else ""
    )
    refused = f" ({status})" if status >= 400 else ""
    client = scope.get("client")
    said = "".join(
        c if c.isprintable() else "?" for c in f"{what}{refused}".strip()[:300]
    )  # an address holds whatever somebody typed
    return AuditEntry(who, act, said, client[0] if client else "", request)


class Audit:
    def __init__(self, db: AsyncEngine, days: float) -> None:
        self._db, self._days = db, days
        self._lines = deque[AuditEntry](maxlen=_MOST)

    async def note(self, line: AuditEntry) -> None:
        """Keep it; written at once when an admin acted."""
        self._lines.append(line)
        if line.act.startswith("admin:"):
            await self.write()

    async def write(self) -> None:
        """All that wait, into the table."""
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(_AT_ONCE, len(self._lines)))]
            try:
                async with self._db.connect() as connection:
                    await connection.execute(insert(audit), [asdict(line) for line in batch])
            except BaseException:
                self._lines.extendleft(reversed(batch))
                raise

    async def run(self) -> None:
        """Write what waits, for ever; drop what is older than it is to be kept."""
        for turn in range(2**62):
            try:
                await self.write()
                if turn % int(_TIDY_EVERY_S / _EVERY_S) == 0:
                    await self._tidy()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("audit waits", lines=len(self._lines), error=type(error).__name__)
            await asyncio.sleep(_EVERY_S)

    async def close(self) -> None:
        with suppress(SQLAlchemyError, OSError):
            await self.write()

    async def _tidy(self) -> None:
        """A part at a time: however many there are, no statement takes longer than it may."""
        old = audit.c.at < datetime.now(UTC) - timedelta(days=self._days)
        some = sa.delete(audit).where(
            audit.c.id.in_(
                sa.select(audit.c.id).where(old).order_by(audit.c.id).limit(_DROPPED_AT_ONCE)
            )
        )
        async with self._db.connect() as connection:
            while (await connection.execute(some)).rowcount == _DROPPED_AT_ONCE:
                pass


async def page(
    db: AsyncEngine,
    *,
    who: str | None,
    act: str | None,
    what: str | None,
    before: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """The newest first, those before an id."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, value in ((audit.c.who, who), (audit.c.act, act), (audit.c.what, what)):
        query = query.where(column == value) if value else query
    query = query.where(audit.c.id < before) if before else query
    async with db.connect() as connection:
        return [dict(row._mapping) for row in await connection.execute(query)]  # pyright: ignore[reportPrivateUsage]
