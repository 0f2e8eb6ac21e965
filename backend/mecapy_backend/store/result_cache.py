"""The cache of results: which kept result answers a submission, what is kept, and its end. Results
are kept as their tasks are, and every statement names the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first
from mecapy_backend.store.tables import tasks
from mecapy_backend.store.tasks.submission import Submitted
from mecapy_jupyter import wire

_t = tasks.c
_CODE_CHARS = 80
_RAN_S = sa.extract("epoch", _t.completed_at - _t.started_at)

# A result with a missing blob does not count.
_FIND = sa.text(
    """SELECT id::text, started_at, request, (outcome->>'seconds')::float AS seconds FROM tasks
       WHERE owner = :owner AND is_cached AND cache_key = ANY(:keys)
         AND NOT EXISTS (
           SELECT FROM unnest(digests) AS needed(digest)
           WHERE NOT EXISTS (
             SELECT FROM blobs WHERE blobs.owner = :owner AND blobs.digest = needed.digest))
       ORDER BY completed_at DESC LIMIT 1"""
).bindparams(sa.bindparam("keys", type_=ARRAY(sa.Text)))


async def find(db: AsyncEngine, owner: str, keys: wire.CacheKeys) -> Submitted | None:
    """The newest kept result of these keys."""
    either = [key for key in (keys.key, keys.seeded) if key]
    row = await first(db, _FIND, {"owner": owner, "keys": either})
    if row is None:
        return None
    run = wire.CachedRun(row.started_at, row.seconds or 0.0, row.request)
    return Submitted(row.id, False, wire.COMPLETED, cached=run)


async def kept(
    db: AsyncEngine, owner: str, limit: int, keep_s: float, keys: Sequence[str] | None = None
) -> wire.CacheList:
    """`keep_s`: how long tasks are kept. `keys`: only of these."""
    mine = sa.and_(_t.owner == owner, _t.is_cached)
    if keys:
        mine = sa.and_(mine, _t.cache_key.in_(keys))
    code = sa.func.left(_t.request["code"].as_string(), 1000).label("code")
    newest = sa.select(_t.id, _t.name, _t.started_at, _t.completed_at, _RAN_S.label("ran_s"), code)
    newest = newest.where(mine).order_by(_t.completed_at.desc()).limit(limit)
    total = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_RAN_S), 0)).where(mine)
    rows = await all_rows(db, newest)
    ((count, seconds),) = await all_rows(db, total)
    entries = tuple(
        wire.CacheEntry(
            row.id,
            row.name,
            _first_line(row.code),
            row.started_at,
            float(row.ran_s or 0),
            row.completed_at + timedelta(seconds=keep_s),
        )
        for row in rows
    )
    return wire.CacheList(entries, int(count), float(seconds))


async def clear(db: AsyncEngine, owner: str, task_ids: Sequence[str] | None = None) -> int:
    """Forgets the entries of these tasks, or all, and returns how many. Tasks and results stay."""
    change = sa.update(tasks).where(_t.owner == owner, _t.is_cached).values(is_cached=False)
    if task_ids is not None:
        change = change.where(_t.id.in_(task_ids))
    return await changed(db, change)


def _first_line(code: str) -> str:
    lines = [line for line in code.splitlines() if line.strip()]
    return lines[0].strip()[:_CODE_CHARS] if lines else ""
