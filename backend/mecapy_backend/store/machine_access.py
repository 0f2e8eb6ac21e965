"""What a machine of the fleet may reach in PostgreSQL: a token that works once, and a role that
ends with the machine. All SQL of it. A role's name contains the stack and the machine, so that
leftovers can be found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.database import all_rows, changed, first, scalar, transaction
from mecapy_backend.store.tables import machines
from mecapy_jupyter import wire

_m = machines.c

READ = ("alembic_version", "fleet", "machines", "organisations", "users")
WRITTEN = (
    "blobs", "counts", "reservations", "sweep_tasks", "sweeps", "task_inputs", "tasks", "usage",
    "waits", "workers", "workflows",
)  # fmt: skip
"""The tables that a worker needs. Neither the users' tokens nor the audit is among them."""


@dataclass(frozen=True, slots=True)
class ClaimedMachine:
    """A machine whose token was presented, for the first and last time."""

    id: str
    machine_class: str


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def offer(db: AsyncEngine, machine: str, token: str, for_s: float) -> None:
    """The holder of this token may ask for the machine's credentials, once, within `for_s`."""
    until = sa.func.now() + timedelta(seconds=for_s)
    change = sa.update(machines).where(_m.id == machine)
    await changed(db, change.values(token_digest=digest(token), token_until=until))


async def claim(db: AsyncEngine, token: str) -> ClaimedMachine | None:
    """None: there is no such token any more, or the machine is on its way out."""
    change = sa.update(machines).where(
        _m.token_digest == digest(token),
        _m.token_until > sa.func.now(),
        _m.state.in_((wire.WANTED, wire.BOOTING)),
    )
    row = await first(db, change.values(token_digest=None).returning(_m.id, _m.machine_class))
    return ClaimedMachine(*row) if row else None


async def give_back(db: AsyncEngine, machine: str, token: str) -> None:
    """A claim that led to no credentials is undone: the token may be presented again."""
    change = sa.update(machines).where(_m.id == machine)
    await changed(db, change.values(token_digest=digest(token)))


async def failed(db: AsyncEngine, token: str, why: str) -> str | None:
    """A machine reports that it cannot serve, so the scaler replaces it. Returns its id; None:
    unknown token.
    """
    claimed = await claim(db, token)
    if claimed:
        change = sa.update(machines).where(_m.id == claimed.id).values(state=wire.STOPPING, why=why)
        await changed(db, change)
    return claimed.id if claimed else None


async def remember_redis(db: AsyncEngine, machine: str, password_digest: str) -> None:
    """The password of the Redis user, so that it can be created again if Redis has lost it."""
    change = sa.update(machines).where(_m.id == machine)
    await changed(db, change.values(redis_digest=password_digest))


async def redis_digests(db: AsyncEngine) -> dict[str, str]:
    """Machine → digest of its Redis password, of all that are not gone and have a Redis user."""
    query = sa.select(_m.id, _m.redis_digest).where(_m.state != wire.GONE, _m.redis_digest != "")
    return {row.id: row.redis_digest for row in await all_rows(db, query)}


def role_name(stack: str, machine: str) -> str:
    return f"mecapy_{stack}_{machine}"


async def may_make_roles(db: AsyncEngine) -> bool:
    asked = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    return bool(await scalar(db, sa.text(asked)))


async def make_role(db: AsyncEngine, stack: str, machine: str, password: str, for_s: float) -> str:
    """A role that can log in for so long and do what a worker does; its name. Stack, machine and
    password are hexadecimal: none needs to be quoted.
    """
    assert all(int(text, 16) >= 0 for text in (stack, machine, password))
    role, group = role_name(stack, machine), f"mecapy_{stack}_workers"
    statements = [
        f"DO $$ BEGIN CREATE ROLE {group} NOLOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
        f"GRANT USAGE ON SCHEMA public TO {group}",
        f"GRANT SELECT ON {', '.join(READ)} TO {group}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(WRITTEN)} TO {group}",
        f"DO $$ BEGIN EXECUTE format('CREATE ROLE {role} LOGIN PASSWORD ''{password}'' "
        f"VALID UNTIL %L IN ROLE {group}', now() + interval '{for_s:.0f} s'); END $$",
        f"GRANT {role} TO CURRENT_USER",  # its members may end its connections
    ]
    async with transaction(db) as connection:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _GRANTS})
        for statement in statements:
            await connection.exec_driver_sql(statement)
    return role


_GRANTS = 0x6D656361_726F6C65  # two at once would change the same rows of the catalogue


async def drop_roles(db: AsyncEngine, stack: str, alive: Collection[str]) -> list[str]:
    """Removes the roles and connections of this stack's machines that are not alive; returns their
    names.
    """
    prefix = role_name(stack, "")
    query = sa.text("SELECT rolname FROM pg_roles WHERE rolcanlogin AND starts_with(rolname, :p)")
    async with db.connect() as connection:
        names = (await connection.execute(query, {"p": prefix})).scalars().all()
        gone = [name for name in names if name.removeprefix(prefix) not in alive]
        for role in gone:
            await connection.exec_driver_sql(f'ALTER ROLE "{role}" NOLOGIN')
            await connection.execute(_END, {"role": role})
            await connection.exec_driver_sql(f'DROP ROLE IF EXISTS "{role}"')
    return gone


_END = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role")
