"""Notifications about ended tasks: the tasks' rows are the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed
from mecapy_backend.store.tables import tasks
from mecapy_jupyter import wire

_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class DueNotice:
    """`ended_s`: how long ago; `error`: its type, empty if there is none."""

    task_id: str
    owner: str
    name: str
    state: str
    targets: tuple[str, ...]
    email: str
    completed_at: datetime
    ended_s: float
    seconds: float
    error: str


# The next try is as far away as the end is long ago, at least the time that this one may take.
_CLAIM = sa.text("""
    WITH due AS (
        SELECT id FROM tasks WHERE notify_at <= now() AND completed_at IS NOT NULL
        ORDER BY notify_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks SET notify_at = now() + greatest(interval '60 s', now() - completed_at)
    FROM due WHERE tasks.id = due.id
    RETURNING tasks.id::text, owner, name, state, notify, completed_at, outcome,
              extract(epoch FROM now() - completed_at)::float AS ended_s,
              coalesce((SELECT email FROM users WHERE users.id = tasks.owner), '') AS email
""").columns(outcome=tasks.c.outcome.type)


async def claim(db: AsyncEngine) -> list[DueNotice]:
    """Some that are due, reserved for this gateway for a minute."""
    return [_due(row) for row in await all_rows(db, _CLAIM, {"limit": _AT_ONCE})]


def _due(row: sa.Row[tuple[object, ...]]) -> DueNotice:
    outcome = wire.Outcome.from_json(row.outcome or {})
    return DueNotice(
        row.id,
        row.owner,
        row.name,
        row.state,
        tuple(row.notify),
        row.email,
        row.completed_at,
        row.ended_s,
        outcome.seconds,
        outcome.error.type if outcome.error else "",
    )


async def ask(db: AsyncEngine, task_id: str, targets: Sequence[str]) -> None:
    """Notify these, and no others, of its end; at once if it has ended."""
    new = {"notify": list(targets), "notify_at": sa.func.now() if targets else None}
    await changed(db, sa.update(tasks).where(tasks.c.id == task_id).values(new))


async def told(db: AsyncEngine, task_id: str, left: Sequence[str]) -> None:
    """`left`: the recipients that could not be reached; they are tried again."""
    new: dict[str, object] = {"notify": list(left)} if left else {"notify": [], "notify_at": None}
    change = sa.update(tasks).where(tasks.c.id == task_id).values(new)
    await changed(db, change)
