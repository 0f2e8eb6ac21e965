"""Whether anything of an owner's tasks changed, for many owners at once: one statement for all the
pages that a gateway keeps fresh. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class TasksNow:
    """`mark`: another one once a task came, started, ended, or is to stop. `running`: ids."""

    mark: str
    running: tuple[str, ...]


async def tasks_now(db: AsyncEngine, owners: Collection[str]) -> dict[str, TasksNow]:
    async with db.connect() as connection:
        rows = await connection.execute(_NOW, {"owners": sorted(owners)})
        return {
            owner: TasksNow(f"{newest} {ended} {running}", tuple(one[:36] for one in running or ()))
            for owner, newest, ended, running in rows
        }


# Each value comes from an index of one owner, however many tasks they have.
_NOW = sa.text(
    """SELECT one.owner,
         (SELECT id::text FROM tasks WHERE owner = one.owner
          ORDER BY created_at DESC, id LIMIT 1),
         (SELECT completed_at FROM tasks WHERE owner = one.owner AND completed_at IS NOT NULL
          ORDER BY completed_at DESC LIMIT 1),
         running.them
       FROM unnest(CAST(:owners AS text[])) AS one(owner)
       LEFT JOIN (
         SELECT owner,
           array_agg(concat(id, ' ', attempt, ' ', cancel_requested) ORDER BY id) AS them
         FROM tasks WHERE state = 'running' AND owner = ANY(CAST(:owners AS text[]))
         GROUP BY owner
       ) AS running USING (owner)"""
)
