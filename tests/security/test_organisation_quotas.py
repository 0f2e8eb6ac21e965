"""What an organisation may use in all, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.api.short_tasks import ShortTasks
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import json_text, tables
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..backend.speak import client
from ..conftest import TOKEN
from .test_edges import changed


def test_paces() -> None:
    """Short is what may run no longer, or did not the last time; what a cell returns cannot say how
    long it ran.
    """
    short = ShortTasks(2.0)
    assert short.expects("ann", "x", 1.5) and not short.expects("ann", "x", 300)
    outcome = wire.Outcome(
        wire.COMPLETED, result='"seconds": 90.0, "stopped_s": null}', seconds=0.2
    ).as_json()
    event = EncodedEvent("1-0", wire.COMPLETED, json_text.dumps(outcome)).decoded()
    assert isinstance(event.body, wire.Outcome) and event.body.seconds == 0.2
    short.learn("ann", "x", 0.2)
    assert short.expects("ann", "x", 300) and not short.expects("bob", "x", 300)
    short.learn("ann", "x", 7.5)
    assert not short.expects("ann", "x", 300)
    assert not ShortTasks(0).expects("ann", "x", 0.1)


def test_a_month_is_not_waited_for(gateway: Any) -> None:
    """A quota that is used up is an error at once, for our client too,
    and says who can raise it.
    """
    with changed(gateway, cpu_hours=1.0) as running:
        asyncio.run(_use(running.settings))
        gateway_ = Gateway(running.url, TOKEN)
        with pytest.raises(
            errors.Unavailable, match=r"you have used 2.00 of 1 CPU-hours this month.* admin"
        ):
            gateway_.post("/tasks", {"code": "1"}, key="k")
        quotas = gateway_.get("/me")["quotas"]
        assert (
            quotas["cpu_hours"] == {"used": 2.0, "limit": 1.0, "left": 0}
            and quotas["queued"]["limit"] == 1000
        )
        gateway_.close()
        with client(running) as http:
            refused = http.post("/tasks", json={"code": "1"})
            assert (
                refused.status_code == 429
                and 0 < int(refused.headers["Retry-After"]) <= 31 * 86400 + 1
            )


async def _use(settings: Settings) -> None:
    from mecapy_backend.store import database
    from mecapy_backend.store.people import shares

    db = database.connect(settings.database_url, connect_s=60)
    await shares.add_usage(db, {"local": shares.Took(7200.0, 3)})
    await db.dispose()


async def test_quotas_of_an_organisation(gateway: Any, db: Any) -> None:
    """What all its users have together: queued tasks and stored bytes; each refusal says whose
    quota, how much, and who can raise it.
    """
    async with db.connect() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO organisations (id, name, max_queued, quota_bytes) VALUES ('acme', "
                "'Acme', 2, 100)"
            )
        )
        await connection.execute(
            sa.text("UPDATE users SET organisation = 'acme' WHERE id = 'local'")
        )
        await connection.execute(
            sa.text(
                "INSERT INTO users (id, issuer, subject, organisation) VALUES ('eve', 'i', 'eve', "
                "'acme')"
            )
        )
        await connection.execute(
            sa.insert(tables.blobs).values(owner="eve", digest="0" * 64, size=90)
        )
    try:
        with client(gateway) as http:
            for n in range(2):
                assert http.post("/tasks", json={"code": str(n)}).status_code == 201
            refused = http.post("/tasks", json={"code": "2"})
            assert (
                refused.status_code == 429
                and refused.json()["type"] == "urn:mecapy:problem:queue-full"
            )
            assert (
                "your organisation has 2 queued tasks" in refused.json()["detail"]
                and "admin" in refused.json()["detail"]
            )
            large = http.post(
                "/blobs/missing", json={"digests": [{"digest": "1" * 64, "size": 50}]}
            )
            assert (
                large.status_code == 413
                and large.json()["type"] == "urn:mecapy:problem:quota"
                and large.headers["Retry-After"]
            )
            assert "your organisation's blobs take 90 of 100 bytes" in large.json()["detail"]
            assert http.get("/me").json()["organisation_quotas"]["bytes"] == {
                "used": 90,
                "limit": 100,
                "left": 10,
            }
    finally:
        async with db.connect() as connection:
            await connection.execute(
                sa.text("UPDATE users SET organisation = NULL WHERE id = 'local'")
            )
