"""Personal API tokens: made, listed, revoked, found by their digest. The token itself is shown once
and never stored.

A plain SHA-256 is enough: 256 random bits cannot be guessed, so there is nothing for a slow hash to
protect.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first
from mecapy_backend.store.people.users import User, is_user
from mecapy_backend.store.tables import api_tokens, users
from mecapy_jupyter.wire import TokenInfo

PREFIX = "mecapy_"
"""A prefix by which scanners for leaked secrets recognise a token."""

_NEVER_S = 2.0**53
_USED_EVERY = sa.text("interval '1 minute'")
_t, _u = api_tokens.c, users.c
_now = sa.func.clock_timestamp()
_valid = sa.and_(_t.revoked_at.is_(None), sa.or_(_t.expires_at.is_(None), _t.expires_at > _now))


@dataclass(frozen=True, slots=True)
class TokenOwner:
    user: User
    scopes: frozenset[str]
    expires_s: float  # since 1970


_COLUMNS = (_t.id, _t.name, _t.scopes, _t.created_at, _t.expires_at, _t.used_at)


async def create(
    db: AsyncEngine,
    owner: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    most: int,
) -> TokenInfo | None:
    """Creates a token; its text is there this once. None: the owner has the maximum number of
    tokens.
    """
    token = PREFIX + secrets.token_urlsafe(32)
    held = sa.select(sa.func.count()).where(_t.owner == owner, _valid).scalar_subquery()
    values = {
        "id": str(uuid.uuid4()),
        "owner": owner,
        "name": name,
        "digest": sha256(token.encode()).digest(),
        "scopes": list(scopes),
        "expires_at": expires_at,
    }
    row = sa.select(
        *[sa.literal(value, _t[column].type) for column, value in values.items()]
    ).where(held < most)
    new = sa.insert(api_tokens).from_select(list(values), row)
    made = await first(db, new.returning(*_COLUMNS))
    return TokenInfo(*made, token=token) if made else None


async def list_valid(db: AsyncEngine, owner: str) -> list[TokenInfo]:
    """The valid ones, the newest first."""
    query = sa.select(*_COLUMNS).where(_t.owner == owner, _valid).order_by(_t.created_at.desc())
    return [TokenInfo(*row) for row in await all_rows(db, query)]


async def revoke(db: AsyncEngine, owner: str, token_id: str) -> bool:
    """False: the owner has no such token (any more)."""
    change = (
        sa.update(api_tokens)
        .where(_t.id == token_id, _t.owner == owner, _t.revoked_at.is_(None))
        .values(revoked_at=_now)
    )
    return await changed(db, change) > 0


async def find(db: AsyncEngine, digest: bytes) -> TokenOwner | None:
    """The owner and rights of a valid token. Notes its use, at most once a minute."""
    expires_s = sa.func.coalesce(sa.extract("epoch", _t.expires_at), _NEVER_S)
    query = sa.select(_u.id, _u.organisation, _u.role, _u.disabled, _t.scopes, expires_s)
    query = query.join_from(api_tokens, users, _t.owner == _u.id).where(
        _t.digest == digest, _valid, is_user
    )
    used = sa.update(api_tokens).where(
        _t.digest == digest, sa.or_(_t.used_at.is_(None), _t.used_at < _now - _USED_EVERY)
    )
    row = await first(db, query)
    if row is None:
        return None
    await changed(db, used.values(used_at=_now))
    return TokenOwner(User(*row[:4]), frozenset(row[4]), float(row[5]))
