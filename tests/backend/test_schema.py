"""Migrations and tables."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mecapy_backend.migrations import upgrade
from mecapy_backend.store.tables import metadata


async def test_migrations_make_the_tables(db: Any) -> None:
    """A migrated database has exactly the shape that the code's tables say."""
    async with db.connect() as connection:
        differences = await connection.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata))
    assert differences == []


async def test_upgrade_twice(database_url: str) -> None:
    """Upgrading a database that is up to date does nothing, also from inside an event loop."""
    upgrade(database_url)
