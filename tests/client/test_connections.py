"""Connections that a server closes while the client thinks they are open: no request is lost, and
none becomes the user's error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from mecapy_jupyter import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors


@pytest.fixture
def forgetful() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers the first request of each connection, keeps it open, and closes it on
    the second without an answer: what one does that gives up an idle connection at the moment when
    the client uses it. Its address, and the first lines of what it was asked.
    """
    asked = list[bytes]()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            for turn in range(2):
                request = b""
                while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
                    request += piece
                asked.append(request.partition(b"\r\n")[0])
                if turn == 0:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                        b"2\r\n\r\n{}"
                    )

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    listener.close()


@pytest.mark.parametrize("path", ["/tasks/1/cancel", "/blobs/missing", "/blobs/take"])
def test_a_connection_closed_under_a_request(forgetful: tuple[str, list[bytes]], path: str) -> None:
    """Cancel above all: five seconds after the request before it, a gateway may just have closed
    the connection.
    """
    url, asked = forgetful
    gateway = Gateway(url, "token")
    assert gateway.get("/me") == {}
    assert gateway.post(path, {}) == {}
    assert asked == [b"GET /me HTTP/1.1", *[f"POST {path} HTTP/1.1".encode()] * 2]


def test_a_refused_submission_says_why(client: Client) -> None:
    """What the gateway says against a task reaches whoever submitted it, though the answer was to
    be a stream.
    """
    with pytest.raises(errors.Refused, match="timeout: at most"):
        client.run("1", timeout=1e9)
