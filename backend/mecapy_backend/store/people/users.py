"""Users and organisations: made at the first login, kept as their issuer describes them, disabled
and limited by an admin.

A user's id is the owner of their tasks and blobs.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first, scalar
from mecapy_backend.store.people import costs
from mecapy_backend.store.tables import counts, organisations, tasks, users
from mecapy_jupyter.wire import Json, OrganisationInfo, UserInfo

DELETING, DELETED = "deleting", "deleted"
"""The issuer of a user whose deletion has begun, or is done (`deletion`)."""

MADE_HERE = "mecapy"
"""The issuer of users that an admin has created: they have no identity provider, so they have API
tokens only.
"""

Role = Literal["user", "manager", "admin"]
_u, _o = users.c, organisations.c
is_user = _u.issuer.not_in((DELETING, DELETED))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token speaks of, as its issuer says."""

    issuer: str
    subject: str
    name: str
    email: str
    organisation: str | None
    role: Role
    expires_s: float  # seconds since 1970: the token's, not the person's


@dataclass(frozen=True, slots=True)
class User:
    id: str
    organisation: str | None
    role: Role
    disabled: bool


_COLUMNS = (_u.id, _u.organisation, _u.role, _u.disabled)


async def upsert_identity(db: AsyncEngine, person: Identity) -> User:
    """A new token's user: the row is created if there is none, and updated to what the issuer
    reports.
    """
    columns = {
        "name": person.name,
        "email": person.email,
        "organisation": person.organisation,
        "role": person.role,
    }
    row = insert(users).values(
        id=uuid.uuid4().hex, issuer=person.issuer, subject=person.subject, **columns
    )
    row = row.on_conflict_do_update(
        index_elements=["issuer", "subject"], set_={**columns, "seen_at": sa.func.clock_timestamp()}
    )
    async with db.connect() as connection:
        await _have_organisation(connection, person.organisation)
        return User(*(await connection.execute(row.returning(*_COLUMNS))).one())


async def _have_organisation(connection: AsyncConnection, organisation: str | None) -> None:
    if organisation:
        row = insert(organisations).values(id=organisation, name=organisation)
        await connection.execute(row.on_conflict_do_nothing())


async def add_user(
    db: AsyncEngine, name: str, email: str, organisation: str | None, role: Role
) -> UserInfo | None:
    """Creates a user without an identity provider. None: the name is taken."""
    row = insert(users).values(
        id=uuid.uuid4().hex,
        issuer=MADE_HERE,
        subject=name,
        name=name,
        email=email,
        organisation=organisation,
        role=role,
    )
    row = row.on_conflict_do_nothing(index_elements=["issuer", "subject"])
    async with db.connect() as connection:
        await _have_organisation(connection, organisation)
        made = (await connection.execute(row.returning(*_LISTED))).first()
    return UserInfo(*made) if made else None


async def is_made_here(db: AsyncEngine, user_id: str) -> bool | None:
    """None: no such user."""
    query = sa.select(_u.issuer == MADE_HERE).where(_u.id == user_id, is_user)
    return await scalar(db, query)


async def get(db: AsyncEngine, user_id: str) -> User | None:
    row = await first(db, sa.select(*_COLUMNS).where(_u.id == user_id, is_user))
    return User(*row) if row else None


@dataclass(frozen=True, slots=True)
class AccountName:
    """What the issuer called them; empty where it did not say."""

    name: str = ""
    email: str = ""


async def name_and_email(db: AsyncEngine, user_id: str) -> AccountName:
    row = await first(db, sa.select(_u.name, _u.email).where(_u.id == user_id))
    return AccountName(*row) if row else AccountName()


_LISTED = [_u[one.name] for one in fields(UserInfo)]
_COUNTED = ("users", "euros", "euros_today", "tasks")
_ORGANISATION = [_o[one.name] for one in fields(OrganisationInfo) if one.name not in _COUNTED]


async def list_users(
    db: AsyncEngine, organisation: str | None, after: str, limit: int
) -> list[UserInfo]:
    """Users in the order of their ids, those after `after`. `organisation` None: all users."""
    query = sa.select(*_LISTED).where(is_user, _u.id > after).order_by(_u.id).limit(limit)
    if organisation is not None:
        query = query.where(_u.organisation == organisation)
    return [UserInfo(*row) for row in await all_rows(db, query)]


async def update_user(db: AsyncEngine, user_id: str, values: Mapping[str, Json]) -> UserInfo | None:
    """Disable, enable, limit. None: no such user."""
    chosen = sa.update(users).where(_u.id == user_id, is_user).values(id=_u.id, **values)
    row = await first(db, chosen.returning(*_LISTED))
    return UserInfo(*row) if row else None


async def list_organisations(db: AsyncEngine, organisation: str | None) -> list[OrganisationInfo]:
    """All, or that one."""
    heads = sa.func.count().filter(is_user)
    people = sa.select(_u.organisation, heads.label("count")).group_by(_u.organisation).subquery()
    cost = costs.by_organisation()
    sums = (people.c.count, cost.c.euros, cost.c.euros_today)
    query = sa.select(*_ORGANISATION, *[sa.func.coalesce(one, 0) for one in sums]).order_by(_o.id)
    query = query.join_from(organisations, people, people.c.organisation == _o.id, isouter=True)
    query = query.join(cost, cost.c.organisation == _o.id, isouter=True)
    kept = sa.select(tasks.c.owner, tasks.c.state, sa.func.count().label("tasks")).group_by(
        tasks.c.owner, tasks.c.state
    )
    all_ever = sa.union_all(
        kept, sa.select(counts.c.owner, counts.c.state, counts.c.tasks)
    ).subquery()
    states = sa.select(
        _u.organisation, all_ever.c.state, sa.cast(sa.func.sum(all_ever.c.tasks), sa.BigInteger)
    )
    states = states.join(users, all_ever.c.owner == _u.id).group_by(
        _u.organisation, all_ever.c.state
    )
    if organisation is not None:
        query = query.where(_o.id == organisation)
        states = states.where(_u.organisation == organisation)
    rows, counted = await all_rows(db, query), await all_rows(db, states)
    had: dict[str, dict[str, int]] = {}
    for name, state, count in counted:
        had.setdefault(name, {})[state] = count
    return [OrganisationInfo(*row, tasks=had.get(row.id, {})) for row in rows]  # pyright: ignore[reportCallIssue]


async def update_organisation(
    db: AsyncEngine, organisation_id: str, values: Mapping[str, Json]
) -> bool:
    """False: no such organisation."""
    chosen = sa.update(organisations).where(_o.id == organisation_id).values(id=_o.id, **values)
    return await changed(db, chosen) > 0
