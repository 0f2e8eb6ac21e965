"""Credentials of a machine: it asks the gateway for them once, with the token it was started with,
and they end with it. The scaler offers and revokes, the gateway issues; neither sends a secret
through a provider.

A machine's PostgreSQL role and Redis user are its own. So are its keys of the object store where
that has roles (MECAPY_MACHINE_S3_ROLE); elsewhere one key is for all machines
(MECAPY_MACHINE_S3_KEY), because S3 itself makes none.
"""

from __future__ import annotations

import asyncio
import os
import secrets

import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.fleet import store_role
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.local import worker_settings
from mecapy_backend.fleet.provider import ProviderRefused
from mecapy_backend.queue import machine_users
from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import machine_access, machines
from mecapy_jupyter.wire import MACHINE_HOURS

log = structlog.get_logger()
_SPARE_S = 3600.0
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class MachineCredentials:
    """The scaler's side."""

    def __init__(self, db: AsyncEngine, queue: Queue) -> None:
        self._db, self._queue = db, queue

    async def offer(self, machine: str, for_s: float) -> str:
        """A token with which this machine, and nobody else, gets its credentials, once. Raises
        ProviderRefused where nobody could make any: no machine is paid for that cannot work.
        """
        if not await machine_access.may_make_roles(self._db):
            raise ProviderRefused(
                "the user of MECAPY_DATABASE_URL may not make roles, and each machine gets one of "
                "its own: ALTER ROLE … CREATEROLE"
            )
        token = secrets.token_hex(32)
        await machine_access.offer(self._db, machine, token, for_s)
        return token

    async def revoke(self, stack: str) -> None:
        """All of machines that are gone. What cannot be reached now is revoked in the next
        round.
        """
        try:
            alive = {row.id for row in await machines.alive(self._db) if row.state != "stopping"}
            revoked = await machine_access.drop_roles(self._db, stack, alive)
            digests = await machine_access.redis_digests(self._db)
            digests = {machine: found for machine, found in digests.items() if machine in alive}
            revoked += await machine_users.keep_users(self._queue, stack, digests)
        except (DBAPIError, RedisError, OSError) as problem:
            log.warning("credentials not revoked yet", error=repr(problem))
        else:
            if revoked:
                log.info("credentials revoked", of=revoked)


async def issue(
    db: AsyncEngine, queue: Queue, settings: Settings, machine: str, kind: MachineClass
) -> dict[str, str]:
    """Credentials made for this machine: the environment of its worker."""
    for_s = kind.hours * 3600 + _SPARE_S
    store_keys = await _store_keys(settings, machine, for_s)
    stack = (await machines.fleet_row(db)).stack
    password, redis_password = secrets.token_hex(24), secrets.token_hex(24)
    redis_digest = machine_access.digest(redis_password)
    await machine_access.remember_redis(db, machine, redis_digest)
    role = await machine_access.make_role(db, stack, machine, password, for_s)
    user = await machine_users.make_user(queue, stack, machine, redis_digest)
    found = {
        "MECAPY_DATABASE_URL": _as(settings.database_url, role, password),
        "MECAPY_DATABASE_POOLER": settings.database_pooler,
        "MECAPY_REDIS_URL": _as(settings.redis_url, user, redis_password),
        "MECAPY_BLOB_URL": settings.blob_url,
        "MECAPY_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "MECAPY_S3_REGION": settings.s3_region,
    }
    found |= store_keys
    log.info("credentials issued", machine=machine, role=role)
    return {name: value for name, value in found.items() if value} | worker_settings(kind)


async def _store_keys(settings: Settings, machine: str, for_s: float) -> dict[str, str]:
    """Raises NoStoreKeys. A role's keys may end before the machine's hours do: then it leaves in
    time.
    """
    if settings.machine_s3_role:
        found = await asyncio.to_thread(store_role.keys, settings, machine, for_s)
        hours = (min(for_s, store_role.MOST_S) - _SPARE_S) / 3600
        return found | {MACHINE_HOURS: f"{hours:g}"}
    key, _, secret = settings.machine_s3_key.get_secret_value().partition(":")
    if not key and settings.blob_url.startswith("s3:"):
        log.warning("a machine has the gateway's own key of the store", machine=machine)
    own = (os.environ.get(name, "") for name in _AWS)
    return dict(zip(_AWS, (key, secret) if key else own, strict=True))


def _as(url: str, user: str, password: str) -> str:
    made = sa.make_url(url).set(username=user, password=password)
    return made.render_as_string(hide_password=False)
