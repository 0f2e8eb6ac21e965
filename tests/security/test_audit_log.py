"""The audit: a line for each act, written in order, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from mecapy_backend.api import permissions
from mecapy_backend.api.audit import ACTS, AuditWriter
from mecapy_backend.store import audit, tables
from mecapy_backend.store.audit import AuditEntry
from mecapy_jupyter import wire

from ..backend.speak import Worker, client
from .test_edges import MAKING, changed


def lines(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return http.get("/audit", params=query).json()["lines"]


def eventually(http: httpx.Client, count: int, **query: Any) -> list[dict[str, Any]]:
    until = time.monotonic() + 240
    while len(found := lines(http, **query)) < count:
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


async def test_audit(gateway: Any) -> None:
    """A line for each submit, read and cancel, refused ones too: who, what, from where, under which
    request; newest first, in pages.
    """
    with client(gateway) as http:
        task_id = http.post("/tasks", json=MAKING).json()["task_id"]
        http.get(f"/tasks/{task_id}")  # there is nothing to read yet
        async with Worker(gateway) as worker:
            await worker.start(task_id)
            await worker.finish(task_id, wire.Outcome(wire.COMPLETED))
        http.get(f"/tasks/{task_id}/result", headers={"X-Request-ID": "look-1"})
        http.get(f"/tasks/{task_id}")
        http.post(f"/tasks/{task_id}/cancel")
        http.get(f"/tasks/{task_id}/events?follow=false")
        http.get("/tasks/nothing%0A%00forged/result")
        http.get("/me")
        found = eventually(http, 6, who="local")
        acts = [line["act"] for line in found if not line["act"].startswith("admin:")]
        assert acts == ["read result", "read log", "cancel", "read result", "read result", "submit"]
        refused, *_, read, submit = [line for line in found if not line["act"].startswith("admin:")]
        assert refused["what"] == "nothing??forged (404)"
        assert (read["what"], read["request"], read["source"]) == (
            task_id,
            "look-1",
            "127.0.0.1",
        ) and submit["what"] == task_id
        assert [line["id"] for line in found] == sorted(
            [line["id"] for line in found], reverse=True
        )
        page = http.get("/audit", params={"what": task_id, "limit": 2}).json()
        assert [line["act"] for line in page["lines"]] == ["read log", "cancel"]
        assert [line["act"] for line in lines(http, what=task_id, before=page["next"])] == [
            "read result",
            "read result",
            "submit",
        ]


async def test_acts_of_admins_are_written_before_they_are_answered(gateway: Any, db: Any) -> None:
    """Also when the gateway dies right after."""
    with client(gateway) as http:
        http.get("/users")
        async with db.connect() as connection:
            assert (await connection.execute(sa.select(tables.audit.c.act))).scalars().all() == [
                "admin: list users"
            ]


async def test_lines_on_their_way_are_written_at_shutdown(gateway: Any, db: Any) -> None:
    with changed(gateway) as running, client(running) as http:
        ids = {http.post("/tasks", json={"code": str(n)}).json()["task_id"] for n in range(20)}
    async with db.connect() as connection:
        assert set((await connection.execute(sa.select(tables.audit.c.what))).scalars()) == ids


async def test_the_audit_waits_for_the_database(db: Any, database_url: str) -> None:
    """What could not be written is kept, in order, until it can."""
    writer = AuditWriter(db, 1)
    async with db.connect() as connection:
        await connection.execute(sa.text("ALTER TABLE audit RENAME TO away"))
    await writer.note(AuditEntry("ann", "submit", "1", "", ""))
    async with writer, asyncio.timeout(240):
        await asyncio.sleep(0)
        await writer.note(AuditEntry("ann", "submit", "2", "", ""))
        async with db.connect() as connection:
            await connection.execute(sa.text("ALTER TABLE away RENAME TO audit"))
        while len(found := await audit.page(db, who="ann", limit=10)) < 2:  # noqa: ASYNC110  (a row sends no event)
            await asyncio.sleep(0.05)
    assert [entry.what for entry in found] == ["2", "1"]


async def test_old_lines_go(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: a part at a time."""
    monkeypatch.setattr(audit, "_DELETED_AT_ONCE", 2)
    async with db.connect() as connection:
        for days in (20, 20, 20, 20, 20, 5):
            row = {"who": "ann", "act": "submit", "what": str(days), "source": "", "request": ""}
            await connection.execute(
                sa.insert(tables.audit).values(at=sa.text(f"now() - interval '{days} days'"), **row)
            )
    await audit.delete_old(db, 10)
    found = await audit.page(db, limit=10)
    assert [entry.what for entry in found] == ["5"]


def test_every_route_is_audited_or_needs_not_be() -> None:
    """Who adds a route decides: it is in the audit's table, or here."""
    silent = {
        "GET /livez", "GET /healthz", "GET /readyz", "GET /docs", "GET /docs/oauth2-redirect",
        "GET /auth", "GET /metrics", "GET /workers",
        "GET /workers/packages", "GET /me", "GET /tasks", "POST /blobs/missing", "GET /blobs/place",
        "POST /blobs/take", "PUT /blobs/{digest}", "POST /blobs/{digest}/parts",
        "POST /blobs/{digest}/parts/{upload:path}", "DELETE /blobs/{digest}/parts/{upload:path}",
        "GET /tokens", "GET /proof", "GET /machines", "GET /system/scale",
        "POST /machines/credentials", "POST /machines/failed",
        "GET /sweeps", "GET /sweeps/{name}",
        "GET /workflows", "GET /workflows/{workflow_id}",
        "GET /cache", "DELETE /cache", "DELETE /cache/{task_id}",
    }  # fmt: skip
    assert permissions.RIGHTS.keys() - ACTS.keys() == silent
    of_the_page = {"POST /page/login", "POST /page/logout"}
    assert ACTS.keys() - of_the_page <= permissions.RIGHTS.keys()
