"""What is nobody's business is answered with a reason, and never with a failure of ours."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from mecapy_backend.api import app
from mecapy_backend.shared.settings import Settings

from ..backend.speak import client
from .provider import Provider

EDGES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")


@pytest.mark.parametrize("at", EDGES)
def test_times_at_the_edge_of_the_calendar(gateway: Any, at: str) -> None:
    """An offset may lead out of it; in a cursor, too."""
    cursor = base64.urlsafe_b64encode(f"{at} {uuid.uuid4()}".encode()).decode()
    with client(gateway) as http:
        for asked in ({"since": at}, {"until": at}, {"cursor": cursor}):
            answer = http.get("/tasks", params=asked)
            assert answer.status_code == 422, (asked, answer.text)
        assert http.get("/tasks", params={"since": "0001-01-01T00:00:00"}).status_code == 200


@pytest.mark.parametrize("subject", ["a\0b", "a\ud800"])
def test_subjects_that_no_database_holds(
    oidc_gateway: Any, provider: Provider, subject: str
) -> None:
    """Such a token is refused, with the reason."""
    token = provider.token("ada", sub=subject)
    answer = httpx.get(
        f"{oidc_gateway.url}/me", headers={"Authorization": f"Bearer {token}"}, timeout=120
    )
    assert answer.status_code == 401 and "subject" in answer.json()["detail"], answer.text


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    """At a shorter path first: a socket's may not be long."""
    above = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(f"/proc/self/fd/{above}/{path.name}")
    os.close(above)


@pytest.mark.parametrize("leave", [a_link, a_pipe, a_folder, a_socket])
def test_what_is_left_is_no_file(gateway: Any, leave: Callable[[Path], None]) -> None:
    """The gateway takes no such thing, does not wait for it, and shows none of its paths."""
    name = uuid.uuid4().hex
    with client(gateway) as http:
        incoming = http.get("/blobs/place").json()["incoming"]
        leave(Path(incoming, name))
        answer = http.post("/blobs/take", json={"files": [name]})
        assert answer.status_code == 422 and incoming not in answer.text, answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80"])
def test_figures_are_for_this_machine_by_its_own_name(gateway: Any, host: str) -> None:
    """A page in a browser here, whose name was made to lead here, gets none, nor the store's
    folders.
    """
    assert httpx.get(f"{gateway.url}/metrics", timeout=120).status_code == 200
    assert (
        httpx.get(f"{gateway.url}/metrics", headers={"Host": host}, timeout=120).status_code == 401
    )
    with client(gateway) as http:
        place = http.get("/blobs/place", headers={"Host": host}).json()
        assert place == {"incoming": None, "blobs": None}


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
def test_who_asked_is_believed_of_named_proxies_only(
    monkeypatch: pytest.MonkeyPatch, trusted: tuple[str, ...]
) -> None:
    """Without a setting nobody is believed, loopback included."""
    seen = list[Any]()

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    def run(server: uvicorn.Server, sockets: object) -> None:
        server.started = True
        server.config.load()
        headers = [(b"x-forwarded-for", b"203.0.113.7")]
        scope = {"type": "http", "client": ("127.0.0.1", 5), "headers": headers}
        asyncio.run(server.config.loaded_app(scope, None, None))  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(app, "create_app", lambda *_, **__: behind)
    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(app.logs, "configure", lambda *_: None)  # this process has its own
    monkeypatch.setattr(app.connections, "room_for", lambda *_: None)
    app.serve(Settings(token=SecretStr("t"), trusted_proxies=trusted))  # pyright: ignore
    assert seen == ["203.0.113.7" if trusted else "127.0.0.1"]
