"""Deletes a user: their identity at once, in one statement; their tasks and blobs afterwards, in
steps that may be repeated.

    user ──begin──▸ deleting ──finish──▸ deleted

After a crash a user stays in `deleting`: nobody can log in as them, and the sweeper, or the next
call, continues. The row stays, emptied, so that the counts of their tasks have an owner.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.database import changed, column
from mecapy_backend.store.log import events
from mecapy_backend.store.people.users import DELETED, DELETING, is_user
from mecapy_backend.store.tables import (
    api_tokens,
    blobs,
    sweep_tasks,
    sweeps,
    tasks,
    users,
    workflows,
)
from mecapy_backend.store.tasks import user_tasks

SETTLED_S = 60.0
"""Far longer than a gateway caches a user, and than a worker needs to learn that its task is gone,
so that everything they still accept is deleted.
"""

_u = users.c


async def begin(db: AsyncEngine, user_id: str) -> bool:
    """user → deleting: the identity is removed, and no token is accepted. The same person may
    return as a new user. Also True for one in `deleting` with data left; False: no such user, or
    nothing is left.
    """
    left = sa.or_(
        sa.exists().where(blobs.c.owner == _u.id),
        sa.exists().where(tasks.c.owner == _u.id, user_tasks.is_not_empty),
    )
    removed_tokens = (
        sa.delete(api_tokens).where(api_tokens.c.owner == user_id).cte("removed_tokens")
    )
    graphs = sa.delete(workflows).where(workflows.c.owner == user_id).cte("graphs")
    removed_sweeps = sa.delete(sweeps).where(sweeps.c.owner == user_id).cte("removed_sweeps")
    members = sa.delete(sweep_tasks).where(sweep_tasks.c.owner == user_id).cte("members")
    change = (
        sa.update(users)
        .where(_u.id == user_id, sa.or_(is_user, sa.and_(_u.issuer == DELETING, left)))
        .values(
            issuer=DELETING,
            subject=user_id,
            name="",
            email="",
            role="user",
            disabled=True,
            seen_at=sa.func.clock_timestamp(),
        )
        .add_cte(removed_tokens, graphs, removed_sweeps, members)
    )
    return await changed(db, change) > 0


async def delete_data(db: AsyncEngine, queue: Queue, store: BlobStore, user_id: str) -> None:
    """Deletes the data of a user in `deleting`. A task's events go before its row is emptied, so
    that a crash between the two forgets none of them; and after it, because its worker may have
    written more.
    """
    await user_tasks.stop(db, queue, user_id)
    while task_ids := await user_tasks.not_emptied(db, user_id):
        await events.forget(queue, *task_ids)
        await user_tasks.empty(db, user_id, task_ids)
        await events.forget(queue, *task_ids)
    await blob_rows.delete_all_unreferenced(db, store, user_id)


async def resume(db: AsyncEngine, queue: Queue, store: BlobStore) -> list[str]:
    """Go on with all deletions that are not finished; the users that are deleted now."""
    unfinished = await column(db, sa.select(_u.id).where(_u.issuer == DELETING))
    for user_id in unfinished:
        await delete_data(db, queue, store, user_id)
    return [user_id for user_id in unfinished if await _finish(db, user_id)]


async def _finish(db: AsyncEngine, user_id: str) -> bool:
    """deleting → deleted, once nothing can have been added since their data was deleted."""
    settled = _u.seen_at < sa.func.clock_timestamp() - timedelta(seconds=SETTLED_S)
    change = sa.update(users).where(_u.id == user_id, _u.issuer == DELETING, settled)
    return await changed(db, change.values(issuer=DELETED)) > 0
