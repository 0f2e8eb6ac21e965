"""The audit: a table of who did what. Rows are only added, and deleted by age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed
from mecapy_backend.store.tables import audit
from mecapy_jupyter.wire.shape import Shape

_DELETED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class AuditEntry(Shape):
    """`who`: a user's id. `what`: the task, blob, user or organisation; with the status where it
    was refused. `source`: the address the request came from; `request`: its id in the log.
    """

    who: str
    act: str
    what: str
    source: str
    request: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class AuditLine(AuditEntry):
    __doc__ = AuditEntry.__doc__
    id: int = 0


async def insert(db: AsyncEngine, entries: Sequence[AuditEntry]) -> None:
    await changed(db, sa.insert(audit), [asdict(entry) for entry in entries])


async def once_a_day(db: AsyncEngine, who: str, act: str, what: str) -> bool:
    """Adds an entry, unless there is an equal one of today (UTC). Returns whether it was added."""
    values = {"who": who, "act": act, "what": what}
    return await changed(db, _ONCE, values) == 1


_ONCE = sa.text(
    """INSERT INTO audit (at, who, act, what, source, request)
       SELECT now(), :who, :act, :what, '', '' WHERE NOT EXISTS (
         SELECT FROM audit WHERE who = :who AND act = :act AND what = :what
           AND at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"""
)


async def delete_old(db: AsyncEngine, days: float) -> None:
    """Deletes in parts, so that no statement takes longer than it may."""
    old = audit.c.at < datetime.now(UTC) - timedelta(days=days)
    some = sa.select(audit.c.id).where(old).order_by(audit.c.id).limit(_DELETED_AT_ONCE)
    while await changed(db, sa.delete(audit).where(audit.c.id.in_(some))) == _DELETED_AT_ONCE:
        pass


async def page(
    db: AsyncEngine,
    *,
    who: str | None = None,
    act: str | None = None,
    what: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[AuditLine]:
    """Entries before an id, the newest first."""
    columns = [audit.c[one.name] for one in fields(AuditLine)]
    query = sa.select(*columns).order_by(audit.c.id.desc()).limit(limit)
    for column, value in zip(columns, (who, act, what), strict=False):
        query = query.where(column == value) if value else query
    query = query.where(audit.c.id < before) if before else query
    return [AuditLine(*row) for row in await all_rows(db, query)]
