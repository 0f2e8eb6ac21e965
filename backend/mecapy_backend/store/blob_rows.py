"""Which blobs exist, as a table: asked in one statement for any number of digests, and what a delete that races a submit turns on.

Called by `routes.blobs` and `routes.tasks`. The bytes are in `blobs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, array, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from .blobs import BlobStore
from .tables import blobs, tasks

_b = blobs.c
_clock = sa.func.clock_timestamp()


async def record(db: AsyncEngine, owner: str, sizes: Iterable[tuple[str, int | None]]) -> None:
    """These blobs are stored."""
    rows = [{"owner": owner, "digest": digest, "size": size} for digest, size in sizes]
    if not rows:
        return
    row = insert(blobs).values(rows)
    row = row.on_conflict_do_update(
        index_elements=["owner", "digest"], set_={"used_at": _clock, "size": sa.func.coalesce(row.excluded.size, _b.size)}
    )
    async with db.connect() as connection:
        await connection.execute(row)


async def stored(db: AsyncEngine, owner: str, digests: Sequence[str]) -> set[str]:
    """Those that are there. Asking keeps them from a delete that is under way."""
    named = sa.update(blobs).where(_b.owner == owner, _b.digest == sa.any_(sa.literal(list(digests), ARRAY(sa.Text))))
    async with db.connect() as connection:
        return set((await connection.execute(named.values(used_at=_clock).returning(_b.digest))).scalars())


async def release(db: AsyncEngine, store: BlobStore, owner: str, digests: Sequence[str]) -> list[str]:
    """Delete those of an owner's blobs that no task names any more; which went.

    A submit or upload that names one meanwhile moves its `used_at`, and the row no longer matches. The row is locked until
    the bytes are gone, so an upload of the same bytes records itself after that, and looks whether they are still there.
    """
    named = sa.exists().where(tasks.c.owner == owner, tasks.c.digests.contains(array([_b.digest])))
    unused = sa.select(_b.digest, _b.used_at).where(
        _b.owner == owner, _b.digest == sa.any_(sa.literal(list(digests), ARRAY(sa.Text))), ~named
    )
    async with db.connect() as connection:
        candidates = (await connection.execute(unused)).all()
    gone = list[str]()
    for digest, used_at in candidates:
        row = sa.delete(blobs).where(_b.owner == owner, _b.digest == digest, _b.used_at == used_at).returning(_b.digest)
        async with db.execution_options(isolation_level="READ COMMITTED").begin() as transaction:
            if (await transaction.execute(row)).first():
                await store.delete(owner, digest)
                gone.append(digest)
    return gone
