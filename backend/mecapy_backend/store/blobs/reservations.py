"""Room for bytes that are on their way, set aside before any of them is taken: however many come at
once, to however many gateways and workers, they keep to the quota together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.blobs.blob_types import BadName, RowLock
from mecapy_backend.store.database import changed, transaction
from mecapy_backend.store.tables import reservations

_r = reservations.c
DIRECT_UPLOAD_S = 900.0
"""Presigned URLs are good for ten minutes until the request begins."""

_COMMIT_S = 60.0
"""Far more than it takes until checked bytes have their place."""


class NoRoom(Exception):
    """`whose` quota has no room for so many `more_bytes`; nothing was taken."""

    def __init__(self, whose: str, used: int, limit: int, more_bytes: int) -> None:
        super().__init__(whose, used, limit, more_bytes)
        self.whose, self.used, self.limit, self.more_bytes = whose, used, limit, more_bytes

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    def __str__(self) -> str:
        return (
            f"{self.whose} blobs take {self.used:,} of {self.limit:,} bytes here, "
            f"uploads in progress included; {self.left:,} more may be stored, and "
            f"{self.more_bytes:,} do not fit: delete tasks you no longer need "
            "(DELETE /tasks/…), or try again when unused blobs have been deleted; an "
            "admin can raise it (`quota_bytes`)"
        )


async def reserve(
    db: AsyncEngine,
    owner: str,
    wanted: Mapping[str, int],
    settings: Settings,
    valid_s: float,
    instead_of: str = "",
) -> None:
    """Reserves room for a time; 0: only checks that there is room. `wanted`: bytes by their digest,
    or by another name; what is stored or reserved under that name, or under `instead_of`, counts
    once. Raises NoRoom. A reservation lasts until its time ends, because a URL for it may be in
    use.
    """
    if not wanted:
        return
    if any("\0" in key for key in wanted):
        raise BadName("a blob's name has no character 0")
    keys, more = [*wanted, instead_of], sum(wanted.values())
    rows = [{"owner": owner, "key": key, "size": size} for key, size in wanted.items()]
    until = sa.func.clock_timestamp() + timedelta(seconds=valid_s)
    row = insert(reservations).values([one | {"until": until} for one in rows])
    excluded = row.excluded
    row = row.on_conflict_do_update(
        index_elements=["owner", "key"],
        set_={
            "size": sa.case(
                (_r.until > sa.func.clock_timestamp(), sa.func.greatest(_r.size, excluded.size)),
                else_=excluded.size,
            ),
            "until": sa.func.greatest(_r.until, excluded.until),
        },
    )
    async with transaction(db) as connection:
        await connection.execute(_ALONE, {"owner": owner})
        found = (await connection.execute(_USED, {"owner": owner, "keys": keys})).one()
        own = settings.quota_bytes if found.quota is None else int(found.quota)
        for whose, used, limit in (
            ("your", found.own, own),
            ("your organisation's", found.whole, found.o_quota),
        ):
            if limit is not None and used + more > limit:
                raise NoRoom(whose, int(used), int(limit), more)
        if valid_s:
            await connection.execute(row)
        if instead_of:
            await connection.execute(_named(owner, [instead_of]))


async def release(db: AsyncEngine, owner: str, keys: Sequence[str]) -> None:
    """Releases the reservations of these names, because their bytes are stored or will not come."""
    await changed(db, _named(owner, keys))


def _named(owner: str, keys: Sequence[str]) -> sa.Delete:
    return sa.delete(reservations).where(_r.owner == owner, _r.key.in_(keys))


def reserving(db: AsyncEngine, owner: str, settings: Settings, instead_of: str = "") -> RowLock:
    """`blob_rows.row_lock`, for bytes whose size nobody knew before: entering it raises NoRoom.
    `instead_of`: what was reserved for them under another name.
    """
    storing = blob_rows.row_lock(db, owner)

    @asynccontextmanager
    async def locked(digest: str, size: int) -> AsyncGenerator[None]:
        await reserve(db, owner, {digest: size}, settings, _COMMIT_S, instead_of)
        async with storing(digest, size):
            yield

    return locked


# Two that ask at once must not both find the same room: the second waits, then sees the first's.
_ALONE = sa.text(
    """SELECT pg_advisory_xact_lock(hashtextextended('mecapy quota ' || coalesce(
         (SELECT organisation FROM users WHERE id = :owner), :owner), 0))"""
).bindparams(sa.bindparam("owner", type_=sa.Text))


def _sum(whose: str) -> str:
    return f"""(SELECT coalesce(sum(size), 0) FROM (
         SELECT size FROM blobs WHERE {whose} AND NOT (owner = :owner AND digest = ANY(:keys))
         UNION ALL
         SELECT size FROM reservations WHERE {whose} AND until > clock_timestamp()
           AND NOT (owner = :owner AND key = ANY(:keys))) AS counted)"""


_OF_ALL = "owner IN (SELECT id FROM users WHERE organisation = u.organisation)"
_USED = sa.text(
    f"""SELECT u.quota_bytes AS quota, o.quota_bytes AS o_quota, {_sum("owner = :owner")} AS own,
               CASE WHEN o.quota_bytes IS NOT NULL THEN {_sum(_OF_ALL)} END AS whole
        FROM (SELECT 1) one LEFT JOIN users u ON u.id = :owner
        LEFT JOIN organisations o ON o.id = u.organisation"""
).bindparams(sa.bindparam("owner", type_=sa.Text), sa.bindparam("keys", type_=ARRAY(sa.Text)))
