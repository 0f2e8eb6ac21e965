"""The lines of the audit that wait in memory when a gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mecapy_backend.api.audit import AuditWriter
from mecapy_backend.store import audit
from mecapy_backend.store.audit import AuditEntry

LINE = AuditEntry("ada", "submit", "task", "", "request")


async def written(db: Any) -> list[str]:
    return [entry.what for entry in await audit.page(db, limit=10)]


async def test_a_write_that_has_begun_ends(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that stops while a line waits for a connection has written it, once."""
    began, free, insert = asyncio.Event(), asyncio.Event(), audit.insert

    async def slow(engine: Any, entries: Sequence[AuditEntry]) -> None:
        began.set()
        await free.wait()
        await insert(engine, entries)

    monkeypatch.setattr(audit, "insert", slow)
    writer = await AuditWriter(db, 1).__aenter__()
    await writer.note(LINE)
    await began.wait()
    ending = asyncio.ensure_future(writer.__aexit__())
    await asyncio.wait({ending}, timeout=0.2)
    free.set()
    await ending
    assert await written(db) == ["task"]


async def test_a_write_that_fails_is_repeated(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that stops while no connection is free writes the lines once one is."""
    refused, insert = asyncio.Event(), audit.insert

    async def busy(engine: Any, entries: Sequence[AuditEntry]) -> None:
        if refused.is_set():
            return await insert(engine, entries)
        refused.set()
        raise PoolTimeout

    monkeypatch.setattr(audit, "insert", busy)
    async with AuditWriter(db, 1) as writer:
        await asyncio.sleep(0)  # the first turn finds nothing to write
        await writer.note(LINE)
    assert refused.is_set() and await written(db) == ["task"]
