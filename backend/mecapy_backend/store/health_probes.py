"""Whether PostgreSQL with its schema, Redis and the object store can be used: the probes of
`shared.health`, for gateway and worker alike.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache, partial
from pathlib import Path

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mecapy_backend.queue.health_probe import probe_redis
from mecapy_backend.queue.queue import Queue
from mecapy_backend.shared.health import LOW_BYTES, PROBE_TIMEOUT_S, Check, Health, Probed
from mecapy_backend.store.blobs import causes
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_backend.store.database import cause

_CONNECTIONS = sa.text(
    "SELECT count(datid), current_setting('max_connections')::int "
    "- current_setting('superuser_reserved_connections')::int FROM pg_stat_activity"
)
_MOST_USED = 0.85

NEEDED = frozenset({"postgres", "schema"})
"""The parts that a gateway needs: without Redis and the object store it takes tasks, which start
later.
"""

_OWNER, _BYTES = "mecapy.health", b"mecapy"
_DIGEST = blake3(_BYTES).hexdigest()
_FULL, _READ_ONLY = {errno.ENOSPC, errno.EDQUOT}, {errno.EROFS, errno.EACCES, errno.EPERM}
_NOW_S = sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")
_SCHEMA = sa.text(
    "SELECT max(version_num) AS found, "
    "substring(obj_description('alembic_version'::regclass) FROM 'serves ([0-9]+)') AS serves "
    "FROM alembic_version"
)


def readiness(db: AsyncEngine) -> Health:
    """Whether requests can be answered: asks only PostgreSQL, however slow the rest is."""
    return Health(NEEDED, {"PostgreSQL": partial(probe_postgres, db)})


def server_health(
    db: AsyncEngine,
    queue: Queue,
    blobs: BlobStore,
    needs: frozenset[str] = NEEDED,
    local: Callable[[], Sequence[Check]] = tuple,
) -> Health:
    """All that a server uses, and what only this one can look at (`local`). Changes are logged."""
    clocks = {"PostgreSQL": partial(probe_postgres, db), "Redis": partial(probe_redis, queue)}
    return Health(needs, clocks, [ObjectStoreProbe(blobs)], local, logged=True)


async def probe_postgres(db: AsyncEngine) -> Probed:
    asked_s = time.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), db.connect() as connection:
            now_s = float((await connection.execute(_NOW_S)).scalar_one())
            ahead_s = (asked_s + time.time()) / 2 - now_s
            checks = Check("postgres"), await _check_schema(connection)
            return Probed((*checks, await _check_connections(connection)), ahead_s)
    except Exception as error:
        why = cause(error) or f"see MECAPY_DATABASE_URL ({type(error).__name__})"
        advice = f"PostgreSQL does not answer: {why}"
        return Probed((Check("postgres", "away", advice), Check("schema", "unknown")))


async def _check_connections(connection: AsyncConnection) -> Check:
    used, most = (await connection.execute(_CONNECTIONS)).one()
    if used < _MOST_USED * most:
        return Check("connections")
    advice = (
        f"{used} of PostgreSQL's {most} connections are in use: lower MECAPY_DATABASE_CONNECTIONS, "
        f"raise max_connections, or put a pooler before it (MECAPY_DATABASE_POOLER)"
    )
    return Check("connections", "short", advice)


async def _check_schema(connection: AsyncConnection) -> Check:
    """A newer schema also serves this program if its migration notes so."""
    try:
        found, serves = (await connection.execute(_SCHEMA)).one()
    except ProgrammingError:  # no such table
        found, serves = None, None
    known = known_schema()
    if found == known or (found and found > known >= (serves or found)):
        return Check("schema")
    if found and found > known:
        advice = (
            f"the database has schema {found}, which serves programs that know {serves or found} "
            f"or newer; this one knows {known}: upgrade it"
        )
        return Check("schema", "new", advice)
    has = f"schema {found}" if found else "no tables"
    advice = f"the database has {has}, this program needs {known}: run `mecapy migrate`"
    return Check("schema", "old", advice)


@cache
def known_schema() -> str:
    """The newest migration of this installation. Read from the file names, because Alembic takes a
    second to import.
    """
    return max(
        path.name.partition("_")[0]
        for path in (Path(__file__).parents[1] / "migrations" / "versions").glob("[0-9]*.py")
    )


class ObjectStoreProbe:
    """Stores and deletes a few bytes like a blob, so it finds whatever would stop a result. One
    write at a time, because boto3 may try for a minute.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._writing: asyncio.Task[Check] | None = None

    async def __call__(self) -> Probed:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(_check_writing(self._blobs))
        done, _ = await asyncio.wait({self._writing}, timeout=PROBE_TIMEOUT_S)
        return Probed(
            (self._writing.result() if done else _store_check("away", "does not answer"),)
        )


async def _check_writing(blobs: BlobStore) -> Check:
    try:
        await blobs.write(_OWNER, _DIGEST, _once(_BYTES))
        await blobs.delete(_OWNER, _DIGEST)
        free = await asyncio.to_thread(free_bytes, blobs)
    except OSError as error:
        if error.errno in _FULL:
            return _store_check("full", "is full: make room, or move it to a larger disk")
        if error.errno in _READ_ONLY:
            return _store_check(
                "read-only", "cannot be written to: see how it is mounted and who owns it"
            )
        return _refused(error)
    except Exception as error:  # boto3's errors come from nowhere in particular
        return _refused(error)
    if free is not None and free < LOW_BYTES:
        return _store_check(
            "full", f"has only {free // 1_000_000} MB left: make room, or move it to a larger disk"
        )
    return Check("store")


def _store_check(state: str, what: str) -> Check:
    return Check("store", state, f"the object store (MECAPY_BLOB_URL) {what}")


def _refused(error: Exception) -> Check:
    return _store_check(*causes.cause(error))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def free_bytes(blobs: BlobStore) -> int | None:
    """Free space of a store that is a directory; else None."""
    return shutil.disk_usage(blobs.root).free if isinstance(blobs, FileStore) else None
