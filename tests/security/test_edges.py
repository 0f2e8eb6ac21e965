"""The gateway's edges: headers, other origins, rates, presigned URLs, idempotency keys, tokens."""

from __future__ import annotations

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
from blake3 import blake3
from pydantic import SecretStr

from mecapy_backend.api.limits.request_rate import RateLimit
from mecapy_backend.api.problems import Problem
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway

from ..backend.speak import client
from ..conftest import served

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
        answers = (http.get("/me") for _ in range(1000))
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
                begin.wait(240)
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
