"""The connection to PostgreSQL. AUTOCOMMIT: one statement is one transaction is one round trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from mecapy_backend.store import json_text

Row = sa.Row[tuple[Any, ...]]
"""What a statement answers with: its columns by name; what they hold, the statement says."""

AWAY = (DBAPIError, PoolTimeout, OSError)
"""What a statement raises where PostgreSQL does not answer; asyncpg's refused connections and
time-outs are OSErrors.
"""

_TRANSIENT_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""Of SQLSTATEs: the server starts, stops, has no connection left, takes no writes now, or chose us
in a deadlock.
"""


def may_succeed_later(error: DBAPIError) -> bool:
    """Whether the same statement may well do so."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return error.connection_invalidated or state[:2] in _TRANSIENT_CLASSES


def driver_url(url: str) -> sa.URL:
    """`postgresql://…` with the driver we use."""
    return sa.make_url(url).set(drivername="postgresql+asyncpg")


def opener(url: str, **options: Any) -> Callable[[], Awaitable[Any]]:
    """What opens one connection. The driver reads the URL by itself: it knows what libpq's users
    write there (`sslmode`, `sslrootcert`, `application_name`, …), SQLAlchemy does not.
    """
    plain = (
        sa.make_url(url).set(drivername="postgresql").difference_update_query(["connect_timeout"])
    )  # ours holds
    return partial(
        cast(Any, asyncpg).connect, plain.render_as_string(hide_password=False), **options
    )


def connect(
    url: str, *, connect_s: float = 1.5, command_timeout_s: float = 10.0, pool_size: int = 10
) -> AsyncEngine:
    """An engine; nothing is opened before it is used. Close with `await db.dispose()`.

    `connect_s`: how long one connection may take to open, or to become free.
    """
    return create_async_engine(
        driver_url(url),
        isolation_level="AUTOCOMMIT",
        async_creator=opener(url, timeout=connect_s, command_timeout=command_timeout_s),
        hide_parameters=True,  # else an error, and with it the log, quotes somebody's code
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=connect_s,
        pool_recycle=1800,
        json_serializer=json_text.dumps,
        json_deserializer=json_text.loads,
    )


async def first(
    db: AsyncEngine, statement: sa.Executable, values: Mapping[str, object] | None = None
) -> Row | None:
    """One statement; its first row, or None. All of it in one greenlet: an AsyncConnection begins
    one for each of its steps, and a task for its end, which took longer than the statement does.
    """

    def run() -> Row | None:
        with db.sync_engine.connect() as connection:
            return connection.execute(statement, values).first()

    return await greenlet_spawn(run)
