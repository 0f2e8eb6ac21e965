"""The tables of a backup: read in one snapshot into files, and filled from them again.

COPY and not `pg_dump`: it needs no program beside us, no matching version of one, and no more
rights than a gateway has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mecapy_backend.store.backup.archive import BlobRow, Manifest
from mecapy_backend.store.database import opener
from mecapy_backend.store.tables import metadata, reservations, workers
from mecapy_jupyter.wire import WORKER_LIVES_S

_NOT_KEPT = {workers.name, reservations.name}  # about live processes, so invalid later
_BLOBS = "SELECT owner, digest, coalesce(size, 0) FROM blobs"
_COLUMNS = """SELECT column_name FROM information_schema.columns
  WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"""
_NUMBERED = """SELECT table_name, column_name FROM information_schema.columns
  WHERE table_schema = current_schema() AND is_identity = 'YES'"""
_UNNAMED = """SELECT t.id::text, t.name, t.state, array_agg(named.digest)
  FROM tasks t, unnest(t.digests) AS named (digest)
  WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.owner = t.owner AND b.digest = named.digest)
  GROUP BY t.id ORDER BY t.created_at"""


@dataclass(frozen=True, slots=True)
class IncompleteTask:
    """A task that names blobs which are not stored."""

    task_id: str
    name: str
    state: str
    digests: tuple[str, ...]


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """asyncpg's own connection: SQLAlchemy knows no COPY. Statements may take any time."""
    connection = await opener(url, timeout=10, statement_cache_size=0)()
    try:
        yield connection
    finally:
        await connection.close()


async def dump(url: str, folder: Path) -> tuple[Manifest, list[BlobRow]]:
    """All rows as of one moment, into `folder`; and the blobs there were at that moment."""
    async with (
        connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        tables = dict[str, tuple[str, ...]]()
        for table in metadata.sorted_tables:
            if table.name in _NOT_KEPT:
                continue
            columns = [row[0] for row in await connection.fetch(_COLUMNS, table.name)]
            await connection.copy_from_table(
                table.name, columns=columns, output=_file(folder, table.name)
            )
            tables[table.name] = tuple(columns)
        schema = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
        rows = await connection.fetch(_BLOBS)
    return Manifest(folder.name, str(schema), tables), [BlobRow(*row) for row in rows]


async def still_there(url: str, blobs: Collection[BlobRow]) -> list[BlobRow]:
    """Those that the database names now: the others were deleted since."""
    found = list[BlobRow]()
    async with connected(url) as connection:
        for blob in blobs:
            named = "SELECT 1 FROM blobs WHERE owner = $1 AND digest = $2"
            if await connection.fetchval(named, blob.owner, blob.digest):
                found.append(blob)
    return found


async def why_not_empty(url: str) -> str:
    """What a restore would replace in a database; "": nothing."""
    async with connected(url) as connection:
        if not await connection.fetchval("SELECT to_regclass('tasks')"):
            return ""
        found = [
            f"{count} {table}"
            for table in ("tasks", "blobs", "organisations")
            if (count := await connection.fetchval(f"SELECT count(*) FROM {table}"))
        ]
        people = await connection.fetchval("SELECT count(*) FROM users WHERE id <> 'local'")
        return ", ".join(found + ([f"{people} users"] if people else []))


async def live_workers(url: str) -> list[str]:
    async with connected(url) as connection:
        if not await connection.fetchval("SELECT to_regclass('workers')"):
            return []
        query = f"SELECT id FROM workers WHERE seen_at > now() - interval '{WORKER_LIVES_S} s'"
        return [row[0] for row in await connection.fetch(query)]


async def drop_all(url: str) -> None:
    """Drops all of MecaPy's tables."""
    names = ", ".join([*(table.name for table in metadata.sorted_tables), "alembic_version"])
    async with connected(url) as connection:
        await connection.execute(f"DROP TABLE IF EXISTS {names} CASCADE")


async def load(url: str, folder: Path, manifest: Manifest) -> None:
    """Fill the tables, all or nothing."""
    async with connected(url) as connection, connection.transaction():
        await connection.execute("DELETE FROM users")  # a migration made `local`
        for table, columns in manifest.tables.items():
            await connection.copy_to_table(
                table, columns=list(columns), source=_file(folder, table)
            )
        for table, column in await connection.fetch(_NUMBERED):
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
                f"(SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
            )


async def blobs(url: str) -> list[BlobRow]:
    """All blobs that the database names."""
    async with connected(url) as connection:
        return [BlobRow(*row) for row in await connection.fetch(_BLOBS)]


async def forget_blobs(url: str, lost: Collection[BlobRow]) -> None:
    """Forgets blobs whose bytes are gone: without a row, a client that has the bytes is asked to
    send them.
    """
    async with connected(url) as connection:
        await connection.executemany(
            "DELETE FROM blobs WHERE owner = $1 AND digest = $2",
            [(blob.owner, blob.digest) for blob in lost],
        )


async def incomplete_tasks(url: str) -> list[IncompleteTask]:
    async with connected(url) as connection:
        rows = await connection.fetch(_UNNAMED)
    return [IncompleteTask(row[0], row[1], row[2], tuple(row[3])) for row in rows]


def _file(folder: Path, table: str) -> Path:
    return folder / f"{table}.copy"
