"""One question to PostgreSQL on a connection of its own; what the supervisor knows of the tables
passes here.

Without SQLAlchemy, whose import would be a good part of a stack's start.
"""

from __future__ import annotations

from typing import Any, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

_ANSWER_S = 2


class Unanswered(Exception):
    """PostgreSQL is away, or does not know the tables (yet)."""


async def rows(url: str, question: str) -> list[tuple[Any, ...]]:
    try:
        connection = cast(Any, await asyncpg.connect(url, timeout=_ANSWER_S))  # pyright: ignore[reportUnknownMemberType]
        try:
            return [tuple(row) for row in await connection.fetch(question, timeout=_ANSWER_S)]
        finally:
            await connection.close(timeout=_ANSWER_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        raise Unanswered(str(problem)) from problem
