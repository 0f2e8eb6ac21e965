"""The connection to PostgreSQL. AUTOCOMMIT: one statement is one transaction and one round trip."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeAlias, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.concurrency import greenlet_spawn

from mecapy_backend.store import json_text
from mecapy_backend.store.transaction_pooler import TransactionConnection
from mecapy_jupyter.shared.errors import ConfigError, Unavailable

Pooler = Literal["none", "transaction"]
Row: TypeAlias = "sa.Row[*tuple[Any, ...]]"
"""The columns of a statement's answer by name."""
_Values = Mapping[str, object] | Sequence[Mapping[str, object]] | None
_T = TypeVar("_T")

AWAY = (DBAPIError, PoolTimeout, OSError)
"""What a statement raises where PostgreSQL does not answer; asyncpg's refused connections and
time-outs are OSErrors.
"""

_TRANSIENT_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATEs: the server starts, stops, has no connection left, takes no writes now, or
chose us in a deadlock.
"""
_CAUSES = {
    "28": "it refuses the user or password of MECAPY_DATABASE_URL",
    "3D": "it has no such database as MECAPY_DATABASE_URL names",
    "42501": "the user of MECAPY_DATABASE_URL may not use its tables",
    "53300": "it has no connection left: lower MECAPY_DATABASE_CONNECTIONS, or raise its "
    "max_connections",
    "26": "a pooler in transaction mode stands before it: set MECAPY_DATABASE_POOLER=transaction",
    "42P05": "a pooler in transaction mode stands before it: set "
    "MECAPY_DATABASE_POOLER=transaction",
    "57P03": "it is starting or stopping",
}
"""What an operator has to change, by SQLSTATE or its class. Contains no address and no secret."""
_NO_TABLE = "42P01"


def cause(error: BaseException) -> str:
    """Why PostgreSQL does not answer, in a few words; "" for an error that is not of that kind."""
    if isinstance(error, PoolTimeout):
        return (
            "all connections of this process are in use: raise MECAPY_DATABASE_CONNECTIONS, or "
            "start another process"
        )
    if isinstance(error, socket.gaierror):
        return "the host of MECAPY_DATABASE_URL is not known"
    if isinstance(error, TimeoutError):
        return "it gives no answer in time; see that MECAPY_DATABASE_URL names it"
    if isinstance(error, OSError):
        why = error.strerror or type(error).__name__
        return f"see that it runs and that MECAPY_DATABASE_URL names it ({why})"
    state = _sqlstate(error)
    return _CAUSES.get(state) or _CAUSES.get(state[:2], "")


def exhausted(error: BaseException) -> bool:
    """Whether only a free connection was missing, here or at the server."""
    return isinstance(error, PoolTimeout) or _sqlstate(error) == "53300"


def all_in_use(db: AsyncEngine) -> bool:
    """Whether a request for a connection of this engine would wait."""
    pool = cast(QueuePool, db.pool)
    return pool.checkedout() >= pool.size()


def may_succeed_later(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later, perhaps after an operator's change."""
    transient = _sqlstate(error)[:2] in _TRANSIENT_CLASSES
    return error.connection_invalidated or transient or bool(cause(error))


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def driver_url(url: str) -> sa.URL:
    """`postgresql://…` with the driver we use."""
    return sa.make_url(url).set(drivername="postgresql+asyncpg")


def opener(url: str, *, wait_s: float = 0.0, **options: Any) -> Callable[..., Awaitable[Any]]:
    """What opens one connection; a server that has none left is asked again for `wait_s`. The
    driver reads the URL by itself: it knows what libpq's users write there (`sslmode`,
    `sslrootcert`, `application_name`, …), SQLAlchemy does not, so what it has read is left aside.
    """
    at = sa.make_url(url).set(drivername="postgresql").difference_update_query(["connect_timeout"])
    if "application_name" not in at.query:
        at = at.update_query_dict({"application_name": "mecapy"})
    plain = at.render_as_string(hide_password=False)  # without theirs: ours holds

    async def open_one(*_: object, **__: object) -> Any:
        until = time.monotonic() + wait_s
        while True:
            try:
                return await cast(Any, asyncpg).connect(plain, **options)
            except asyncpg.TooManyConnectionsError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(random.uniform(0.05, 0.25))

    return open_one


def connect(
    url: str,
    *,
    connections: int = 10,
    pooler: Pooler = "none",
    wait_s: float = 10.0,
    connect_s: float = 1.5,
    command_timeout_s: float = 10.0,
) -> AsyncEngine:
    """An engine; nothing is opened before it is used. Close with `await db.dispose()`.

    `connections`: at most; who finds none free waits `wait_s` for one. `connect_s`: how long one
    may take to open. `pooler`: what stands before PostgreSQL.
    """
    options: dict[str, Any] = {"timeout": connect_s, "command_timeout": command_timeout_s}
    arguments: dict[str, Any] = {}
    if pooler == "transaction":
        options |= {"statement_cache_size": 0, "connection_class": TransactionConnection}
        arguments["prepared_statement_cache_size"] = 0
    return create_async_engine(
        driver_url(url),
        isolation_level="AUTOCOMMIT",
        connect_args={"async_creator_fn": opener(url, wait_s=wait_s, **options), **arguments},
        hide_parameters=True,  # else an error, and with it the log, quotes somebody's code
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_s,
        pool_recycle=1800,
        json_serializer=json_text.dumps,
        json_deserializer=json_text.loads,
    )


@asynccontextmanager
async def opened(url: str, pooler: Pooler) -> AsyncGenerator[AsyncEngine]:
    """A database for one command, which ends with a sentence where PostgreSQL does not answer or
    has no tables.
    """
    db = connect(url, connections=3, pooler=pooler)
    try:
        yield db
    except AWAY as away:
        if _sqlstate(away) == _NO_TABLE:
            raise ConfigError(
                "the database has no tables of MecaPy: run `mecapy migrate`"
            ) from None
        if not (why := cause(away)):
            raise
        raise Unavailable(f"PostgreSQL does not answer: {why}") from away
    finally:
        await db.dispose()


async def _result(
    db: AsyncEngine,
    statement: sa.Executable,
    values: _Values,
    take: Callable[[sa.CursorResult[*tuple[Any, ...]]], _T],
) -> _T:
    """The answer of one statement, which is a transaction. All in one greenlet, because an
    AsyncConnection creates one for each of its steps and a task for its end, which took longer than
    the statement.
    """

    def run() -> _T:
        with db.sync_engine.connect() as connection:
            return take(connection.execute(statement, values))

    return await greenlet_spawn(run)


async def first(db: AsyncEngine, statement: sa.Executable, values: _Values = None) -> Row | None:
    """The first row."""
    return await _result(db, statement, values, lambda result: result.first())


async def all_rows(
    db: AsyncEngine, statement: sa.Executable, values: _Values = None
) -> Sequence[Row]:
    return await _result(db, statement, values, lambda result: result.all())


async def column(db: AsyncEngine, statement: sa.Executable, values: _Values = None) -> list[Any]:
    """The first value of each row."""
    return await _result(db, statement, values, lambda result: list(result.scalars()))


async def scalar(db: AsyncEngine, statement: sa.Executable, values: _Values = None) -> Any:
    """The first value of the first row; None: there is no row."""
    return await _result(db, statement, values, lambda result: result.scalar())


async def changed(db: AsyncEngine, statement: sa.Executable, values: _Values = None) -> int:
    """How many rows the statement has added, changed or deleted."""
    return await _result(db, statement, values, lambda result: result.rowcount)


def transaction(db: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """A transaction of several statements."""
    return db.execution_options(isolation_level="READ COMMITTED").begin()


@asynccontextmanager
async def try_lock(db: AsyncEngine, lock: int, idle_s: int) -> AsyncGenerator[bool]:
    """Whether this process has the lock now. A transaction holds it, and PostgreSQL ends that when
    it has been idle for `idle_s`, so a stopped or disconnected process cannot hold it forever.
    """
    limit = sa.func.set_config("idle_in_transaction_session_timeout", f"{idle_s}s", True)
    async with transaction(db) as connection:
        asked = sa.select(sa.func.pg_try_advisory_xact_lock(lock), limit)
        yield bool((await connection.execute(asked)).one()[0])
