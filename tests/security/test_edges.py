"""The gateway's edges: headers, other origins, request rates, presigned URLs, idempotency keys, the
audit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from blake3 import blake3
from pydantic import SecretStr

from mecapy_backend.api import permissions
from mecapy_backend.api.audit import ACTS, AuditWriter
from mecapy_backend.api.limits.request_rate import RateLimit
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.short_tasks import ShortTasks
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import audit, json_text, tables
from mecapy_backend.store.audit import AuditEntry
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..backend.speak import Worker, client
from ..conftest import TOKEN, served

MAKING = {"code": "1", "name": "<script>\n2026 level=info event=forged"}


def changed(gateway: Any, **changes: Any) -> Any:
    return served(gateway.settings.model_copy(update=changes))


def test_headers_of_every_answer(gateway: Any) -> None:
    """What is answered is never sniffed, framed, cached or run, whether it is JSON, a problem or a
    blob; a blob is a download.
    """
    with client(gateway) as http:
        digest = blake3(b"<script>").hexdigest()
        assert http.put(f"/blobs/{digest}", content=b"<script>").status_code == 204
        for answer in (
            http.get("/tasks"),
            http.get("/nowhere"),
            http.get(f"/blobs/{digest}"),
            http.get("/healthz"),
            http.get("/docs"),
        ):
            assert (
                answer.headers["X-Content-Type-Options"] == "nosniff"
                and answer.headers["Cache-Control"] == "no-store"
            )
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert "set-cookie" not in answer.headers
        assert http.get(f"/blobs/{digest}").headers["Content-Disposition"] == "attachment"


def test_no_http_is_a_problem_too(gateway: Any) -> None:
    """A header without a length where one belongs is refused with a problem document."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"GET /me HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in answer, answer


def test_documents_need_no_foreign_host(gateway: Any) -> None:
    """All that /docs loads comes from the gateway itself, and the page may load nothing else."""
    with client(gateway) as http:
        page = http.get("/docs")
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(loaded) >= 3 and all(path.startswith("/") for path in loaded), loaded
        assert {http.get(path).status_code for path in loaded} == {200}
        assert "http" not in page.headers["Content-Security-Policy"]


def test_other_origins(gateway: Any) -> None:
    """A page of another origin gets nothing unless its origin is in the list; then only that one
    does.
    """
    origin = {
        "Origin": "https://lab.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    with client(gateway) as http:
        assert not any(
            name.startswith("access-control") for name in http.get("/tasks", headers=origin).headers
        )
        assert http.options("/tasks", headers=origin).status_code in (401, 405)
    with (
        changed(gateway, cors_origins=("https://lab.example",)) as running,
        client(running) as http,
    ):
        assert (
            http.options("/tasks", headers=origin).headers["Access-Control-Allow-Origin"]
            == "https://lab.example"
        )
        assert (
            "Access-Control-Allow-Origin"
            not in http.get("/tasks", headers={"Origin": "https://evil.example"}).headers
        )


def test_a_user_who_asks_too_often(gateway: Any) -> None:
    """Beyond the rate 429 says when to come back; our client does, without a word to anybody."""
    with changed(gateway, requests_per_s=1.0) as running, client(running) as http:
        answers = [http.get("/me") for _ in range(40)]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert (
            refused.json()["type"] == "urn:mecapy:problem:too-many-requests"
            and int(refused.headers["Retry-After"]) >= 1
        )
        assert "MECAPY_REQUESTS_PER_S" in refused.json()["detail"]
        assert http.get("/healthz").status_code == 200
        gateway_ = Gateway(running.url, running.token)
        assert gateway_.get("/me")["owner"] == "local"
        gateway_.close()


def test_buckets_are_each_users_own() -> None:
    """One who is refused slows nobody else down."""
    rates = RateLimit(1)
    with pytest.raises(Problem):
        for _ in range(100):
            rates.spend("ann")
    rates.spend("bob")


def test_one_body_one_key(gateway: Any) -> None:
    """200 retries at the same moment make one task, and who is asked to come again does; the key
    with another body is refused, and is free for another user.
    """
    with (
        client(gateway, limits=httpx.Limits(max_connections=40)) as http,
        concurrent.futures.ThreadPoolExecutor(20) as threads,
    ):
        begin = threading.Barrier(20)

        def submit(n: int) -> httpx.Response:
            if n < 20:
                begin.wait(60)
            answer = http.post("/tasks", json=MAKING, headers={"Idempotency-Key": "k"})
            while answer.status_code == 503:  # all connections of a busy gateway were taken
                time.sleep(float(answer.headers["Retry-After"]))
                answer = http.post("/tasks", json=MAKING, headers={"Idempotency-Key": "k"})
            return answer

        answers = list(threads.map(submit, range(200)))
        assert {answer.status_code for answer in answers} == {201} and len(
            {answer.json()["task_id"] for answer in answers}
        ) == 1
        other = http.post("/tasks", json={"code": "2"}, headers={"Idempotency-Key": "k"})
        assert (
            other.status_code == 422 and other.json()["type"] == "urn:mecapy:problem:key-conflict"
        )


async def test_a_key_is_its_users_own(db: Any) -> None:
    from mecapy_backend.store import tasks

    body = wire.TaskRequest("1").as_json()
    ids = {
        (await tasks.submit(db, owner, body, idempotency_key="k")).task_id
        for owner in ("ann", "bob", "ann")
    }
    assert len(ids) == 2


async def test_presigned_urls(s3_url: str, tmp_path: Path) -> None:
    """A URL is good for one method, one blob of one owner and that many bytes, for minutes; any
    change is refused by the store.
    """
    store = open_store(
        f"s3://blobs/{tmp_path.name}",
        endpoint_url=s3_url,
        cache_dir=str(tmp_path / "cache"),
        cache_bytes=10**7,
    )
    data, other = os.urandom(5000), os.urandom(5000)
    mine, theirs = blake3(data).hexdigest(), blake3(other).hexdigest()
    up = await store.upload_url("ann", mine, len(data))
    down = await store.download_url("ann", mine)
    assert up and down
    for url in (up, down):
        assert int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0]) <= 600 and "secret" not in url
    assert "content-length" in parse_qs(urlsplit(up).query)["X-Amz-SignedHeaders"][0]
    async with httpx.AsyncClient(timeout=60) as http:
        assert (await http.put(up, content=data)).status_code == 200
        assert (await http.get(down)).content == data
        tried = [
            await http.put(up, content=data + b"x"),  # more bytes
            await http.put(up.replace(mine, theirs), content=data),  # another blob
            await http.put(up.replace("/ann/", "/bob/"), content=data),  # another owner
            await http.get(down.replace("/ann/", "/bob/")),
            await http.get(up),  # another method
            await http.delete(up),
            await http.get(down.replace("X-Amz-Expires=600", "X-Amz-Expires=6000")),
            await http.get(down.partition("?")[0]),  # not signed
        ]
    assert [answer.status_code // 100 for answer in tried] == [4] * len(tried), [
        answer.status_code for answer in tried
    ]
    assert await store.size("ann", mine) == len(data)


def lines(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return http.get("/audit", params=query).json()["lines"]


def eventually(http: httpx.Client, count: int, **query: Any) -> list[dict[str, Any]]:
    until = time.monotonic() + 60
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
    async with writer, asyncio.timeout(60):
        await asyncio.sleep(0)
        await writer.note(AuditEntry("ann", "submit", "2", "", ""))
        async with db.connect() as connection:
            await connection.execute(sa.text("ALTER TABLE away RENAME TO audit"))
        while len(found := await audit.page(db, who="ann", limit=10)) < 2:  # noqa: ASYNC110  (a row sends no event)
            await asyncio.sleep(0.05)
    assert [entry.what for _, entry in found] == ["2", "1"]


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
    assert [entry.what for _, entry in found] == ["5"]


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


def test_tokens_of_a_local_user_end_with_it(gateway: Any) -> None:
    """Made with MECAPY_TOKEN, refused once that is unset: nobody could revoke them any more."""
    with client(gateway) as http:
        made = http.post(
            "/tokens", json={"name": "ci", "scopes": ["tasks", "read", "admin"]}
        ).json()["token"]
        with_it = {"Authorization": f"Bearer {made}"}
        assert http.get("/me", headers=with_it).status_code == 200
    with (
        changed(gateway, token=SecretStr(""), oidc_issuer="http://127.0.0.1:1/") as running,
        client(running) as http,
    ):
        assert http.get("/me", headers=with_it).status_code == 401
    with changed(gateway) as running, client(running) as http:
        assert http.get("/me", headers=with_it).status_code == 200
