"""The stack's PostgreSQL as an operator asks it: past all proxies, and also after a restart."""

from __future__ import annotations

import asyncpg


class Database:
    """One connection, made again once the server has dropped it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: asyncpg.Connection[asyncpg.Record] | None = None

    async def execute(
        self, statement: str, arguments: tuple[object, ...] = ()
    ) -> list[asyncpg.Record]:
        for last in (False, True):
            try:
                if self._open is None:
                    self._open = await asyncpg.connect(self.url)
                if ";" in statement:
                    await self._open.execute(statement)
                    return []
                return await self._open.fetch(statement, *arguments)
            except (
                OSError,
                asyncpg.InterfaceError,
                asyncpg.PostgresConnectionError,
                asyncpg.OperatorInterventionError,
            ):
                if self._open is not None:
                    self._open.terminate()
                self._open = None
                if last:
                    raise
        raise AssertionError

    async def hang_up(self) -> None:
        if self._open is not None:
            self._open.terminate()
