"""Connections through a pooler in transaction mode (PgBouncer): it lends a server's connection for
the length of a transaction. asyncpg prepares a statement and runs it in two messages, so both must
be of one transaction, and no prepared statement is kept.

Written against asyncpg 0.30 to 0.32 and SQLAlchemy 2.0 to 2.1; tests/operate/test_pgbouncer.py
fails when one of them changes.
"""

from __future__ import annotations

from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

_Connection: Any = asyncpg.Connection


class TransactionConnection(_Connection):
    """Each statement outside a transaction has one of its own."""

    async def _do_execute(self, *arguments: Any, **options: Any) -> Any:
        """All that asyncpg runs by itself: reading about types, `executemany`."""
        above: Any = super()
        if self.is_in_transaction():
            return await above._do_execute(*arguments, **options)
        async with self.transaction():
            return await above._do_execute(*arguments, **options)

    async def prepare(self, query: str, **options: Any) -> Any:
        """What SQLAlchemy runs: it prepares, looks at the columns, and fetches at once."""
        above: Any = super()
        if self.is_in_transaction():
            return await above.prepare(query, **options)
        transaction = self.transaction()
        await transaction.start()
        try:
            return _Once(await above.prepare(query, **options), transaction)
        except BaseException:
            await transaction.rollback()
            raise


class _Once:
    """A prepared statement that ends its transaction with its first rows."""

    def __init__(self, statement: Any, transaction: Any) -> None:
        self.get_attributes = statement.get_attributes
        self.get_statusmsg = statement.get_statusmsg
        self._statement, self._transaction = statement, transaction

    async def fetch(self, *arguments: Any) -> Any:
        try:
            rows = await self._statement.fetch(*arguments)
        except BaseException:
            await self._transaction.rollback()
            raise
        await self._transaction.commit()
        return rows
