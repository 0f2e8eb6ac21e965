"""The history of the tables, and `upgrade`, which brings a database to the newest shape. For
`mecapy migrate` and the stack.

A migration is frozen once released: it does not import `store.tables`, which moves on.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

from mecapy_backend.store.database import driver_url, opener

_LOCK = 0x6D656361  # "meca": two upgrades at once take turns


def upgrade(url: str) -> None:
    """Bring the database to the newest shape; nothing happens where it has it. Blocks; safe to call
    from anywhere.
    """
    with ThreadPoolExecutor(1) as thread:  # the caller may be inside an event loop
        thread.submit(lambda: asyncio.run(_upgrade(url))).result()


async def _upgrade(url: str) -> None:
    engine = create_async_engine(
        driver_url(url), poolclass=pool.NullPool, async_creator=opener(url, timeout=5)
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
