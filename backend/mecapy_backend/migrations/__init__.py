"""The history of the tables, and `upgrade`, which brings a database to the newest schema. For
`mecapy migrate` and the stack.

A released migration is frozen: it does not import `store.tables`, which changes. Gateways and
workers of the previous release serve during a migration and after it, so a migration only adds; the
next release removes what is no longer used. `serves` names the oldest revision whose program can
use the tables.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import event, pool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mecapy_backend.store import database
from mecapy_backend.store.database import driver_url, opener
from mecapy_jupyter.shared import errors

PATIENCE_S = 300.0
_PAUSE_S = 2.0
_LOCK = 0x6D656361  # "meca": two upgrades at once take turns
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
"""For each transaction. All statements on a table wait behind a migration that waits for it."""
_LOCK_NOT_AVAILABLE = "55P03"
_log = structlog.get_logger()


def upgrade(
    url: str,
    *,
    to: str = "head",
    patience_s: float = PATIENCE_S,
    versions: Path | None = None,
) -> None:
    """Bring the database to the newest schema, if it is not there yet. Blocks; safe to call from
    anywhere. Each migration is a transaction, so a second call continues where the first was
    interrupted. `to`: a revision; `versions`: a folder of further migrations.
    """
    _in_thread(_upgrade(url, to, patience_s, _config(versions)))


def dry_run(url: str) -> str:
    """The SQL that `upgrade` would run now; "" for none."""
    printed = io.StringIO()
    config = _config(output=printed)

    def print_sql(connection: sa.Connection) -> None:
        found = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, f"{found}:head" if found else "head", sql=True)

    async def look() -> None:
        async with _engine(url) as engine, engine.connect() as connection:
            await connection.run_sync(print_sql)

    _in_thread(look())
    return printed.getvalue()


def _in_thread(work: Coroutine[Any, Any, None]) -> None:
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller may be inside an event loop
            thread.submit(asyncio.run, work).result()
    except database.AWAY as away:
        if not (why := database.cause(away)):
            raise
        raise errors.Unavailable(f"PostgreSQL does not answer: {why}") from away


def _config(versions: Path | None = None, output: io.StringIO | None = None) -> Config:
    here = Path(__file__).parent
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    if versions:
        folders = f"{here / 'versions'}\n{versions}"
        config.set_main_option("version_locations", folders.replace("%", "%%"))
    return config


@asynccontextmanager
async def _engine(url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_async_engine(
        driver_url(url),
        poolclass=pool.NullPool,
        connect_args={"async_creator_fn": opener(url, timeout=5)},
    )
    event.listen(engine.sync_engine, "begin", _limit_waiting)
    try:
        yield engine
    finally:
        await engine.dispose()


def _limit_waiting(connection: sa.Connection) -> None:
    connection.exec_driver_sql(_LOCK_TIMEOUT)


async def _upgrade(url: str, to: str, patience_s: float, config: Config) -> None:
    until = time.monotonic() + patience_s
    async with _engine(url) as engine:
        while True:
            try:
                if await _in_turn(engine, config, to):
                    return
                why = "another migration runs"
            except DBAPIError as refused:
                if getattr(refused.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                    raise
                why = "a table is in use"
            await _pause(why, until)


async def _in_turn(engine: AsyncEngine, config: Config, to: str) -> bool:
    """False: another upgrade has its turn. It is not awaited inside PostgreSQL, and its owner keeps
    no snapshot, because an index that is built concurrently would wait for both.
    """

    def run(connection: sa.Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, to)

    async with engine.begin() as turn:
        mine = await turn.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK)))
        if not mine.scalar_one():
            return False
        await turn.exec_driver_sql(_LOCK_TIMEOUT)  # any statement that ends the last one's snapshot
        async with engine.connect() as connection:
            await connection.run_sync(run)
    return True


async def _pause(why: str, until: float) -> None:
    if time.monotonic() > until:
        raise errors.Unavailable(
            f"the migration gave up: {why}, for {PATIENCE_S:.0f} s. Finished migrations stay. "
            f"`SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start` shows the "
            f"oldest transactions: wait for them, or end them, then run `mecapy migrate` again"
        )
    _log.warning("migration waits", why=why)
    await asyncio.sleep(_PAUSE_S)
