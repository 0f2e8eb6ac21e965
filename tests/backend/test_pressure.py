"""What one client can cost a gateway: each thing is bounded, is refused with a word over its bound,
and others are served meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3
from pydantic import SecretStr

from mecapy_backend.api import request_body
from mecapy_backend.api.middleware import connections
from mecapy_backend.shared.settings import Settings

from ..conftest import TOKEN, RunningGateway, served

AUTH = {"Authorization": f"Bearer {TOKEN}"}
_GET = f"GET /me HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"


@pytest.fixture
def tight(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway whose bounds are near."""
    settings = Settings(
        database_url=database_url, redis_url=redis_url, blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN), max_connections=8, max_streams=4, max_owner_streams=3,
        max_body_bytes=10_000, quota_bytes=50_000,
    )  # fmt: skip
    with served(settings) as running:
        yield running


@contextlib.contextmanager
def connected(gateway: RunningGateway, said: str = "") -> Iterator[socket.socket]:
    address = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=120) as sock:
        sock.sendall(said.encode())
        yield sock


def answer_of(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and problem of an answer after which the gateway hangs up."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            got += more
    head, _, text = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text)


def served_well(gateway: RunningGateway) -> None:
    assert httpx.get(f"{gateway.url}/me", headers=AUTH, timeout=120).status_code == 200


def test_a_head_without_end(tight: RunningGateway) -> None:
    """Headers that grow for ever are cut at 64 KiB, with a word; the next client is served."""
    with connected(tight, _GET) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for number in range(10_000):
            sock.sendall(f"x-{number}: {'a' * 1000}\r\n".encode())
        raise AssertionError("ten megabytes of headers were taken")
    with connected(tight, _GET + f"x-long: {'a' * connections.HEAD_BYTES}") as sock:
        status, problem = answer_of(sock)
        assert status == 431 and "headers" in problem["detail"]
    served_well(tight)


def test_a_head_that_trickles(tight: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow loris: a head that does not end in time gets 408, a connection that says nothing is
    closed; both hang up.
    """
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    with connected(tight, _GET) as slow, connected(tight) as silent:
        status, problem = answer_of(slow)
        assert status == 408 and problem["type"] == "urn:mecapy:problem:too-slow"
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(100) == b""
    monkeypatch.undo()  # a client of a busy machine may take longer, too
    served_well(tight)


def test_a_body_that_trickles(tight: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body below a thousand bytes a second gets 408 and the connection ends."""
    monkeypatch.setattr(request_body, "_SLOW_S", 0.3)
    post = (
        f"POST /tasks HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer "
        f"{TOKEN}\r\nContent-Length: 5000\r\n\r\n{{"
    )
    with connected(tight, post) as sock:
        status, problem = answer_of(sock)
        assert status == 408 and "slowly" in problem["detail"]
    monkeypatch.undo()
    served_well(tight)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_long_is_not_read(tight: RunningGateway, chunked: bool) -> None:
    """413 with a sentence, of an announced length before any of it is read, of an unknown one once
    it is over; then it hangs up.
    """
    how = "Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: 1000000000\r\n\r\n"
    with connected(
        tight,
        f"POST /tasks HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\nConnection: "
        f"close\r\n{how}",
    ) as sock:
        if chunked:
            for _ in range(3):
                sock.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        status, problem = answer_of(sock)
    assert status == 413 and "10000 bytes" in problem["detail"]
    served_well(tight)


def test_bodies_held_at_once(tight: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many large bodies at a time; one more gets 503 with Retry-After, and small ones too until
    there is room again.
    """
    monkeypatch.setattr(request_body, "_HELD", 2)
    post = (
        f"POST /tasks HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: "
        f"9999\r\n\r\n" + "{" * 9900
    )
    with connected(tight, post), connected(tight, post):
        until = time.monotonic() + 120
        code = "'" + "x" * 5000 + "'"
        while (
            refused := httpx.post(
                f"{tight.url}/tasks", json={"code": code}, headers=AUTH, timeout=120
            )
        ).status_code == 201:
            assert time.monotonic() < until
        assert (
            refused.status_code == 503
            and refused.headers["Retry-After"]
            and "hold" in refused.json()["detail"]
        )
    until = time.monotonic() + 120
    while (
        httpx.post(f"{tight.url}/tasks", json={"code": code}, headers=AUTH, timeout=120).status_code
        != 201
    ):
        assert time.monotonic() < until


def test_connections(tight: RunningGateway) -> None:
    """One connection too many gets 503 with Retry-After and a sentence; whether the process lives
    can be asked all the same.
    """
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(tight, _GET)) for _ in range(8)]
        until = time.monotonic() + 120
        while (
            refused := httpx.get(f"{tight.url}/me", headers=AUTH, timeout=120)
        ).status_code == 200:
            assert time.monotonic() < until
        assert (
            refused.status_code == 503
            and refused.headers["Retry-After"]
            and "no connection left" in refused.json()["detail"]
        )
        assert httpx.get(f"{tight.url}/healthz", timeout=120).status_code == 200
        held[0].sendall(b"\r\n")
        assert held[0].recv(100).startswith(b"HTTP/1.1 200")
    until = time.monotonic() + 120
    while httpx.get(f"{tight.url}/me", headers=AUTH, timeout=120).status_code != 200:
        assert time.monotonic() < until


def test_event_streams(tight: RunningGateway) -> None:
    """One more than one may have gets 429 with Retry-After, also a submission that would follow
    itself; nothing was submitted.
    """
    with (
        httpx.Client(base_url=tight.url, headers=AUTH, timeout=120) as http,
        contextlib.ExitStack() as stack,
    ):
        address = f"/tasks/{http.post('/tasks', json={'code': '1'}).json()['task_id']}/events"
        told = [stack.enter_context(http.stream("GET", address)).iter_lines() for _ in range(3)]
        assert [next(lines) for lines in told] == ["event: queued"] * 3
        refused = http.get(address)
        assert (
            refused.status_code == 429
            and refused.headers["Retry-After"]
            and "streams" in refused.json()["detail"]
        )
        assert (
            http.post(
                "/tasks", json={"code": "2"}, headers={"Accept": "text/event-stream"}
            ).status_code
            == 429
        )
        assert len(http.get("/tasks").json()["tasks"]) == 1
        assert http.post("/tasks", json={"code": "2"}).status_code == 201
        stack.close()
        until = time.monotonic() + 120
        while http.get(address, params={"follow": False}).status_code != 200:
            assert time.monotonic() < until


def test_an_upload_ends_where_the_quota_does(tight: RunningGateway, tmp_path: Path) -> None:
    """Also one that does not say how long it is: nothing of it is kept."""
    data = b"z" * 60_000

    def pieces() -> Iterator[bytes]:
        yield from (data[at : at + 10_000] for at in range(0, len(data), 10_000))

    refused = httpx.put(
        f"{tight.url}/blobs/{blake3(data).hexdigest()}", content=pieces(), headers=AUTH, timeout=120
    )
    assert refused.status_code == 413
    assert not [
        path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.name != ".boot"
    ]


def downloads(http: httpx.Client) -> list[str]:
    """What the gateway says of those that have ended."""
    return re.findall(
        r'mecapy_http_answers_total{method="GET",route="/blobs/{digest}",status="200"} (\S+)',
        http.get("/metrics").text,
    )


def test_a_reader_that_reads_nothing(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off once it has taken nothing for a time; it got what the network holds, and the
    gateway waits for it no more.
    """
    monkeypatch.setattr(connections, "STALLED_S", 0.5)
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN),
    )
    data = b"y" * 50_000_000
    with (
        served(settings) as gateway,
        httpx.Client(base_url=gateway.url, headers=AUTH, timeout=120) as http,
    ):
        address = f"/blobs/{blake3(data).hexdigest()}"
        assert http.put(address, content=data).status_code == 204
        before = downloads(http)
        with connected(
            gateway,
            f"GET {address} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        ) as sock:
            until = time.monotonic() + 120
            while downloads(http) == before:
                assert time.monotonic() < until, "it waits for a reader that reads nothing"
            got = 0
            with contextlib.suppress(ConnectionResetError):
                while more := sock.recv(1 << 20):
                    got += len(more)
        assert got < len(data)
