"""Whoever holds the port of an embedded stack that has ended, or stands before one that runs, is
shown no token.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from mecapy_jupyter.client import config
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.data_dir import data_dir
from mecapy_jupyter.stack import embedded
from mecapy_jupyter.stack.proven import proven_pool
from notebooks import run_demo

from ..stack.running import Stack, until

ANSWERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Thief:
    """Another user's program on a port: keeps what it hears. It answers everything with 200, or
    passes it on to a gateway and back.
    """

    def __init__(self, port: int, passes_on_to: int = 0) -> None:
        self.heard, self._to = b"", passes_on_to
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listens, daemon=True).start()

    def _listens(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serves, args=(connection,), daemon=True).start()

    def _serves(self, connection: socket.socket) -> None:
        with connection:
            while heard := connection.recv(65536):
                self.heard += heard
                connection.sendall(self._answer(heard))

    def _answer(self, heard: bytes) -> bytes:
        if not self._to:
            return ANSWERS
        with socket.create_connection(("127.0.0.1", self._to)) as further:
            further.sendall(heard)
            answer = http.client.HTTPResponse(further, method="GET")
            answer.begin()
            body = answer.read()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def thief(port: int, passes_on_to: int = 0) -> Generator[Thief]:
    there = Thief(port, passes_on_to)
    try:
        yield there
    finally:
        there.close()


def test_a_token_is_for_the_stack_alone(tmp_path: Path) -> None:
    """A client kept over `mecapy down` shows it to nobody else at the old port, and finds the stack
    that is started next, which has another token.
    """
    data = tmp_path / "data"
    first = Stack.up(data)
    try:
        endpoint = embedded.joined(data)
        assert endpoint
        client = Client(endpoint=endpoint)
        assert client.submit(int, "42").result() == 42
    finally:
        first.down()
    assert not data_dir(data).token.exists()
    port = int(first.url.rpartition(":")[2])
    with thief(port) as there:
        with pytest.raises(errors.ConnectionFailed, match="another program has taken its port"):
            client.gateway.get("/me")
        assert b"GET /proof" in there.heard and b"Authorization" not in there.heard
        second = Stack.up(data)
        try:
            assert second.token != first.token and second.url != first.url
            assert client.submit(int, "43").result() == 43
            assert first.token.encode() not in there.heard
        finally:
            second.down()


@pytest.mark.long
def test_a_stack_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MECAPY_URL and MECAPY_TOKEN of the user's own stack make it no other's: it proves itself;
    what is named and is none of theirs is asked as it is.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    stack = Stack.up(data_dir().data)
    try:
        monkeypatch.setenv("MECAPY_URL", stack.url)
        monkeypatch.setenv("MECAPY_TOKEN", "another")
        assert not config.resolve(start=False).data
        monkeypatch.setenv("MECAPY_TOKEN", stack.token)
        with Client() as client:
            assert client.endpoint.source == "MECAPY_URL"
            assert client.submit(int, "42").result() == 42
            stack.down()
            with thief(int(stack.url.rpartition(":")[2])) as there:
                with pytest.raises(errors.ConnectionFailed, match="another program has taken"):
                    client.gateway.get("/me")
                assert b"GET /proof" in there.heard and stack.token.encode() not in there.heard
    finally:
        stack.down()


def test_passing_the_challenge_on_proves_nothing(running_stack: run_demo.Stack) -> None:
    """Who asks the stack itself for the answer gets that of the stack's port, not of its own."""
    url = running_stack.url
    port = int(url.rpartition(":")[2])
    with thief(0, passes_on_to=port) as there, proven_pool(running_stack.token) as pool:
        assert pool.request("GET", f"{url}/me", retries=False).status == 401
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="has taken its port"):
            pool.request("GET", f"http://127.0.0.1:{there.port}/me", retries=False)
        assert until(lambda: there.heard.count(b"GET")) == 1


def test_only_a_stack_proves_itself() -> None:
    """Answers would help to guess a token that a person has chosen."""
    from pydantic import SecretStr

    from mecapy_backend.api.app import create_app
    from mecapy_backend.shared.settings import Settings

    chosen = Settings(token=SecretStr("chosen"))  # pyright: ignore[reportCallIssue]
    paths = [
        {getattr(route, "path", "") for route in create_app(chosen, embedded=embedded).routes}
        for embedded in (False, True)
    ]
    assert paths[1] - paths[0] == {"/proof"}
