"""Migrations and tables."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mecapy_backend.migrations import upgrade
from mecapy_backend.store import database
from mecapy_backend.store.tables import metadata


async def test_migrations_make_the_tables(db: Any) -> None:
    """A migrated database has exactly the shape that the code's tables say."""
    async with db.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert differences == []


async def test_upgrade_twice(database_url: str) -> None:
    """Upgrading a database that is up to date does nothing, also from inside an event loop."""
    upgrade(database_url)


@pytest.mark.parametrize(
    "words", ["sslmode=prefer", "sslmode=disable&application_name=mine&connect_timeout=5"]
)
async def test_what_others_write_into_a_url(database_url: str, words: str) -> None:
    """The words of libpq, in `mecapy migrate` and in what gateway and worker open."""
    url = f"{database_url}{'&' if '?' in database_url else '?'}{words}"
    upgrade(url)
    db = database.connect(url, connect_s=60)
    try:
        async with db.connect() as connection:
            name = (await connection.execute(sa.text("SHOW application_name"))).scalar()
    finally:
        await db.dispose()
    assert name == ("mine" if "application_name" in words else "mecapy")
