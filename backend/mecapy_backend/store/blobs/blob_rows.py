"""The table of existing blobs: queried in one statement for any number of digests, and the arbiter
between a delete and a submission. The bytes are in `blob_store`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, array, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.blobs.blob_types import BlobStore, RowLock, is_digest, parse_upload_key
from mecapy_backend.store.database import all_rows, changed, column, scalar, transaction
from mecapy_backend.store.tables import blobs, reservations, tasks

_b = blobs.c
_clock = sa.func.clock_timestamp()
_LISTED, _BATCH = 1000, 500
_LOOK_S = 2.0  # behind a lock
# a file on its way into the store that nobody has written to for so long belongs to nobody
_UNFINISHED_S = 3600.0


def row_lock(db: AsyncEngine, owner: str) -> RowLock:
    """A lock for the store's `write`, `adopt` and `take`: it holds the row of a blob while its
    bytes are put in place. A delete of the same blob comes before or after, so where there is a
    row, there are the bytes.
    """

    @asynccontextmanager
    async def locked(digest: str, size: int) -> AsyncGenerator[None]:
        row = insert(blobs).values(owner=owner, digest=digest, size=size)
        row = row.on_conflict_do_update(
            index_elements=["owner", "digest"], set_={"used_at": _clock, "size": row.excluded.size}
        )
        here = sa.delete(reservations).where(
            reservations.c.owner == owner, reservations.c.key == digest
        )
        async with transaction(db) as connection:
            await connection.execute(row)
            yield
            await connection.execute(here)

    return locked


async def confirm_upload(
    db: AsyncEngine,
    store: BlobStore,
    owner: str,
    digest: str,
    size: int,
    within: RowLock | None = None,
) -> bool:
    """Whether a client has put a whole blob into the store without the gateway; it then counts as
    stored. `within`: `reservations.reserving`, where there may be no room for it.
    """
    # Before any lock: a slow store must not hold a connection to PostgreSQL.
    if await store.size(owner, digest) != size:
        return False
    with suppress(FileNotFoundError):
        async with (within or row_lock(db, owner))(digest, size), asyncio.timeout(_LOOK_S):
            # Again, behind the lock: a delete has ended, or has not begun.
            if await store.size(owner, digest) != size:
                raise FileNotFoundError(digest)
        return True
    return False


def of_owner(owner: str, digests: Collection[str]) -> sa.ColumnElement[bool]:
    listed = sa.literal(sorted(digests), ARRAY(sa.Text))
    return sa.and_(_b.owner == owner, _b.digest == sa.any_(listed))


async def touch_existing(db: AsyncEngine, owner: str, digests: Sequence[str]) -> set[str]:
    """The digests that are stored. Asking protects these blobs from a delete in progress."""
    named = sa.update(blobs).where(of_owner(owner, digests))
    return set(await column(db, named.values(used_at=_clock).returning(_b.digest)))


async def total_bytes(db: AsyncEngine, owner: str, digests: Sequence[str]) -> int:
    """The total size of those that are stored."""
    query = sa.select(sa.func.coalesce(sa.func.sum(_b.size), 0)).where(of_owner(owner, digests))
    return int(await scalar(db, query))


async def delete_unreferenced(
    db: AsyncEngine, store: BlobStore, owner: str, digests: Sequence[str]
) -> list[str]:
    """Deletes those of an owner's blobs that no task names any more. Returns the deleted ones."""
    gone = await _delete_unnamed(db, store, of_owner(owner, digests), len(digests))
    return [digest for _, digest in gone]


async def delete_all_unreferenced(db: AsyncEngine, store: BlobStore, owner: str) -> None:
    """Deletes in the same way all that an owner has."""
    while await _delete_unnamed(db, store, _b.owner == owner, _BATCH):
        pass


async def sweep(
    db: AsyncEngine, store: BlobStore, grace_s: float, limit: int = _BATCH
) -> list[tuple[str, str]]:
    """Deletes blobs that no task names and nobody used for `grace_s`. Returns their (owner,
    digest). Several processes may run it at once.
    """
    old = _b.used_at < _clock - timedelta(seconds=grace_s)
    await store.tidy(max(grace_s, _UNFINISHED_S))
    await _add_lost_rows(db, store, grace_s)
    await _end_reservations(db, store)
    return await _delete_unnamed(db, store, old, limit)


async def _end_reservations(db: AsyncEngine, store: BlobStore) -> None:
    """Uploads whose reservation has ended count as stored if they are whole; parts of uploads are
    deleted.
    """
    r = reservations.c
    ended = sa.select(r.owner, r.key).where(r.until < _clock).limit(_LISTED)
    rows = await all_rows(db, ended)
    for owner, key in rows:
        if upload := parse_upload_key(key):
            await store.abort_parts(owner, *upload)
        elif store.direct_uploads and is_digest(key):
            size = await store.size(owner, key)
            if size is not None:
                await confirm_upload(db, store, owner, key, size)
        over = sa.and_(r.owner == owner, r.key == key, r.until < _clock)
        await changed(db, sa.delete(reservations).where(over))


async def _add_lost_rows(db: AsyncEngine, store: BlobStore, grace_s: float) -> None:
    """Gives a row and a grace period to bytes whose writer died before it added the row. Each call
    looks at a part of the store.
    """
    before = time.time() - grace_s
    listed = {
        (blob.owner, blob.digest): blob
        for blob in await store.listed(_LISTED)
        if blob.modified_at < before
    }
    if not listed:
        return
    named = sa.select(_b.owner, _b.digest).where(sa.tuple_(_b.owner, _b.digest).in_(listed))
    stored = {(row.owner, row.digest) for row in await all_rows(db, named)}
    for owner, digest in listed.keys() - stored:
        await confirm_upload(db, store, owner, digest, listed[owner, digest].size)


async def discard(db: AsyncEngine, store: BlobStore, owner: str, digest: str) -> None:
    """Deletes the row of a blob whose bytes are missing or wrong, even if tasks name it, so that
    the next upload stores it again.
    """
    async with transaction(db) as connection:
        await connection.execute(sa.delete(blobs).where(_b.owner == owner, _b.digest == digest))
        await store.delete(owner, digest)


async def _delete_unnamed(
    db: AsyncEngine, store: BlobStore, which: sa.ColumnElement[bool], limit: int
) -> list[tuple[str, str]]:
    """A submission or upload that names the blob meanwhile updates `used_at`, and the row no longer
    matches. The row stays locked until the bytes are gone; an upload of the same bytes waits
    (`row_lock`).
    """
    named = sa.exists().where(
        tasks.c.owner == _b.owner, tasks.c.digests.contains(array([_b.digest]))
    )
    candidates = await all_rows(
        db, sa.select(_b.owner, _b.digest, _b.used_at).where(which, ~named).limit(limit)
    )
    gone = list[tuple[str, str]]()
    for owner, digest, used_at in candidates:
        row = (
            sa.delete(blobs)
            .where(_b.owner == owner, _b.digest == digest, _b.used_at == used_at)
            .returning(_b.digest)
        )
        async with transaction(db) as connection:
            if (await connection.execute(row)).first():
                await store.delete(owner, digest)
                gone.append((owner, digest))
    return gone
