"""The stack's PostgreSQL as an operator asks it: past all proxies, and also after a restart."""

from __future__ import annotations

from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]


async def connected(url: str) -> Any:
    """A connection of asyncpg, which has no types."""
    return await cast(Any, asyncpg).connect(url)


class Database:
    """One connection, made again once the server has dropped it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: Any = None

    async def execute(self, statement: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        for last in (False, True):
            try:
                if self._open is None:
                    self._open = await connected(self.url)
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
