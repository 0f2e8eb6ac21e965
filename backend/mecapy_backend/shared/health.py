"""Can this process do its job? PostgreSQL and its schema, Redis, the object store (by writing to
it), and whether the clocks agree.

Gateway and worker both ask; each adds what only it knows. Says no address, no path and no secret:
`/readyz` needs no token.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from blake3 import blake3
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.blobs.blob_store import BlobStore

OK = "ok"
CLOCK_S = 30.0
"""Clocks may differ by so much. Nothing is lost over this: leases and times are PostgreSQL's. But
the queue's order, logs and S3's signatures are by the clock of each host.
"""
LOW_BYTES = 50_000_000
"""With less free space a disk counts as full: what comes next is a task that cannot store its
result.
"""
WITHIN_S, FRESH_S = 3.0, 2.0

_OWNER, _BYTES = "mecapy.health", b"mecapy"
_DIGEST = blake3(_BYTES).hexdigest()
_FULL, _READ_ONLY = {errno.ENOSPC, errno.EDQUOT}, {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Check:
    """`state` is one word, "ok" or what is wrong; `advice` a sentence with what to do."""

    name: str
    state: str = OK
    advice: str = ""
    needed: bool = True  # without it the component cannot do its job

    @property
    def ok(self) -> bool:
        return self.state == OK


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far this host's clock is ahead of another's, in seconds; None: not known."""

    postgres_s: float | None = None
    redis_s: float | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    parts: tuple[Check, ...]
    clock: ClockOffset

    @property
    def ready(self) -> bool:
        return all(part.ok or not part.needed for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        said = {part.name: part.advice for part in self.parts if part.advice}
        return {
            "status": OK if self.ready else "unavailable",
            "parts": {part.name: part.state for part in self.parts},
            "advice": said,
        }


class Health:
    """Looks when asked, at most every `FRESH_S`, however many ask: the addresses that show it need
    no token.
    """

    def __init__(
        self,
        db: AsyncEngine,
        queue: Queue,
        blobs: BlobStore,
        own: Callable[[], Sequence[Check]] = tuple,
    ) -> None:
        self._db, self._queue, self._blobs, self._own = db, queue, blobs, own
        self._looking = asyncio.Lock()
        self._found, self._at = HealthReport((), ClockOffset()), -FRESH_S
        self._writing: asyncio.Task[Check] | None = None

    async def look(self) -> HealthReport:
        async with self._looking:
            if time.monotonic() - self._at >= FRESH_S:
                (postgres, schema, by_postgres), (redis, by_redis), store = await asyncio.gather(
                    _postgres(self._db), _redis(self._queue), self._store()
                )
                clock = ClockOffset(by_postgres, by_redis)
                self._found = HealthReport(
                    (postgres, schema, redis, store, _clock(clock), *self._own()), clock
                )
                self._at = time.monotonic()
            return self._found

    async def _store(self) -> Check:
        """One write at a time: boto3 may try for a minute, and whoever asks again meanwhile starts
        no other.
        """
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(_written(self._blobs))
        done, _ = await asyncio.wait({self._writing}, timeout=WITHIN_S)
        return self._writing.result() if done else _store_part("away", "does not answer")


async def _postgres(db: AsyncEngine) -> tuple[Check, Check, float | None]:
    asked = time.time()
    try:
        async with asyncio.timeout(WITHIN_S), db.connect() as connection:
            now_s = float(
                (
                    await connection.execute(
                        sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")
                    )
                ).scalar_one()
            )
            offset_s = (asked + time.time()) / 2 - now_s
            return Check("postgres"), await _schema(connection), offset_s
    except Exception as error:
        advice = (
            f"PostgreSQL does not answer ({type(error).__name__}): see that it runs and that "
            f"MECAPY_DATABASE_URL names it"
        )
        return Check("postgres", "away", advice), Check("schema", "unknown", needed=False), None


async def _schema(connection: Any) -> Check:
    try:
        found = str(
            (
                await connection.execute(sa.text("SELECT max(version_num) FROM alembic_version"))
            ).scalar()
            or ""
        )
    except ProgrammingError:  # no such table
        found = ""
    if found == known_schema():
        return Check("schema")
    if found > known_schema():
        return Check(
            "schema",
            "new",
            f"the database has schema {found}, this program knows {known_schema()}: upgrade it",
        )
    said = f"schema {found}" if found else "no tables"
    return Check(
        "schema",
        "old",
        f"the database has {said}, this program needs {known_schema()}: run `mecapy migrate`",
    )


@cache
def known_schema() -> str:
    """The newest migration this installation brings. From the names: Alembic takes a second to
    import.
    """
    return max(
        path.name.partition("_")[0]
        for path in (Path(__file__).parents[1] / "migrations" / "versions").glob("[0-9]*.py")
    )


async def _redis(queue: Queue) -> tuple[Check, float | None]:
    asked = time.time()
    try:
        async with asyncio.timeout(WITHIN_S), queue.pipeline(transaction=False) as pipe:
            pipe.time()  # pyright: ignore[reportUnknownMemberType]
            pipe.set(keys.PROBE, "1", ex=10)
            pipe.delete(keys.PROBE)
            (seconds, micros), *_ = await pipe.execute()
    except ReadOnlyError:
        return Check(
            "redis",
            "read-only",
            "Redis takes no writes (a replica?): MECAPY_REDIS_URL must name the primary",
        ), None
    except OutOfMemoryError:
        return Check(
            "redis",
            "full",
            "Redis has reached its `maxmemory`: raise it, or see what else writes there",
        ), None
    except Exception as error:
        advice = (
            f"Redis does not answer ({type(error).__name__}): see that it runs and that "
            f"MECAPY_REDIS_URL names it"
        )
        return Check("redis", "away", f"{advice}. Tasks are kept; they start when it is back"), None
    return Check("redis"), (asked + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)


async def _written(blobs: BlobStore) -> Check:
    """A few bytes stored and deleted, as a blob is: whatever would stop a result stops them."""
    try:
        await blobs.write(_OWNER, _DIGEST, _once(_BYTES))
        await blobs.delete(_OWNER, _DIGEST)
        free = await asyncio.to_thread(free_bytes, blobs)
    except OSError as error:
        if error.errno in _FULL:
            return _store_part("full", "is full: make room, or move it to a larger disk")
        if error.errno in _READ_ONLY:
            return _store_part(
                "read-only", "cannot be written to: see how it is mounted and who owns it"
            )
        return _store_part("away", f"does not work ({type(error).__name__})")
    except Exception as error:  # boto3's errors come from nowhere in particular
        return _store_part(
            "away",
            f"refuses ({_code(error)}): see that it runs, the bucket exists, and the keys may "
            f"write to it",
        )
    if free is not None and free < LOW_BYTES:
        return _store_part(
            "full", f"has only {free // 1_000_000} MB left: make room, or move it to a larger disk"
        )
    return Check("store")


def _store_part(state: str, what: str) -> Check:
    return Check("store", state, f"the object store (MECAPY_BLOB_URL) {what}")


def _code(error: Exception) -> str:
    """S3's own word for it, where there is one: `NoSuchBucket`, `AccessDenied`,
    `RequestTimeTooSkewed`.
    """
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)[:60]


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def free_bytes(blobs: BlobStore) -> int | None:
    """Free space of a store that is a directory; None: it is none."""
    root: Any = getattr(blobs, "root", None)
    return shutil.disk_usage(root).free if isinstance(root, Path) else None


def _clock(clock: ClockOffset) -> Check:
    """Who is wrong: this host when both others say so, else the one that stands alone."""
    off = {
        name: s
        for name, s in (("PostgreSQL", clock.postgres_s), ("Redis", clock.redis_s))
        if s is not None and abs(s) > CLOCK_S
    }
    if not off:
        return Check("clock", needed=False)
    name, s = next(iter(off.items()))
    alone = len(off) == 1 and clock.postgres_s is not None and clock.redis_s is not None
    culprit = f"{name}'s host" if alone else "this host"
    ahead = f"{abs(s):.0f} s {'ahead of' if s > 0 else 'behind'} {name}"
    return Check(
        "clock",
        "wrong",
        f"this host's clock is {ahead}: set the clock of {culprit} right (NTP)",
        needed=False,
    )
