"""The end of what was kept for a time: finished tasks, with their result and log, `MECAPY_KEEP_S`
after they ended.

One whose result a task that is not final needs stays as long as that. How many there were stays:
the statement that deletes counts them (`tally`).
Their blobs go with `blob_rows.sweep`, once no other task names them.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import column
from mecapy_backend.store.tasks import tally

# Owner by owner along the index `tasks_ended_of_owner`: one by time alone would cost every task a
# write, for one question a minute.
_FORGET = sa.text(f"""
    WITH RECURSIVE owners AS (
        (SELECT owner FROM tasks WHERE completed_at IS NOT NULL ORDER BY owner LIMIT 1)
        UNION ALL
        SELECT (
            SELECT owner FROM tasks WHERE completed_at IS NOT NULL AND owner > before.owner
            ORDER BY owner LIMIT 1
        )
        FROM owners AS before WHERE before.owner IS NOT NULL
    ), old AS (
        SELECT one.id FROM owners, LATERAL (
            SELECT id FROM tasks
            WHERE owner = owners.owner AND completed_at IS NOT NULL
              AND completed_at < now() - make_interval(secs => :keep_s)
              AND NOT EXISTS (
                SELECT FROM task_inputs AS input JOIN tasks AS child ON child.id = input.child
                WHERE input.parent = tasks.id AND child.completed_at IS NULL
              )
            ORDER BY completed_at LIMIT :limit
        ) AS one LIMIT :limit
    ), gone AS (
        DELETE FROM tasks WHERE id IN (SELECT id FROM old) AND completed_at IS NOT NULL
        RETURNING id, {tally.GONE}
    ), {tally.TALLIED}
    SELECT id::text FROM gone
""").bindparams(sa.bindparam("keep_s", type_=sa.Float), sa.bindparam("limit", type_=sa.Integer))


async def forget_old(db: AsyncEngine, keep_s: float, limit: int = 500) -> list[str]:
    """Delete so many of the tasks that ended longer ago than that; their ids. A task that has not
    ended is never touched.
    """
    return await column(db, _FORGET, {"keep_s": keep_s, "limit": limit})
