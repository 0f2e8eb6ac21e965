"""Requests that a proxy and the gateway might cut in different places: none is taken for two."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from ..conftest import TOKEN

HEAD = f"POST /tasks HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"
SECOND = (
    f"GET /me?second HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"
    "Connection: close\r\n\r\n"
)
CHUNKED = f"{len(SECOND):x}\r\n{SECOND}\r\n0\r\n\r\n"
# Two lengths, or a length that is read in two ways; behind it stands what would be a request.
UNCLEAR = {
    "length and chunks": f"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    f"{SECOND}",
    "two lengths": f"Content-Length: 0\r\nContent-Length: {len(SECOND)}\r\n\r\n{SECOND}",
    "lengths in one": f"Content-Length: 0, {len(SECOND)}\r\n\r\n{SECOND}",
    "a signed length": f"Content-Length: +0\r\n\r\n{SECOND}",
    "a length in hexadecimal": f"Content-Length: 0x0\r\n\r\n{SECOND}",
    "a negative length": f"Content-Length: -1\r\n\r\n{SECOND}",
    "a huge length": f"Content-Length: {'9' * 40}\r\n\r\n{SECOND}",
    "an unknown coding": f"Transfer-Encoding: xchunked\r\n\r\n{CHUNKED}",
    "chunked and more": f"Transfer-Encoding: chunked, identity\r\n\r\n{CHUNKED}",
    "a space before the colon": f"Transfer-Encoding : chunked\r\n\r\n{CHUNKED}",
    "a folded header": f"X: 1\r\n Transfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "a chunk's size that overflows": f"Transfer-Encoding: chunked\r\n\r\n{'f' * 17}\r\n{SECOND}",
    "a chunk without a number": f"Transfer-Encoding: chunked\r\n\r\nzz\r\n{SECOND}",
}


def answers(gateway: Any, said: str) -> bytes:
    """All that comes until the gateway hangs up."""
    host, port = gateway.url.removeprefix("http://").split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=120) as sock:
        sock.sendall(said.encode())
        try:
            while more := sock.recv(65536):
                got += more
        except ConnectionResetError:
            pass
    return got


@pytest.mark.parametrize("unclear", UNCLEAR)
def test_an_unclear_end(gateway: Any, unclear: str) -> None:
    """It is refused, the connection ends, and what stands behind it is never answered."""
    got = answers(gateway, HEAD + UNCLEAR[unclear])
    assert got.count(b"HTTP/1.1 ") <= 1 and b'"owner"' not in got, got
    assert got == b"" or 400 <= int(got.split()[1]) < 500, got
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{gateway.url}/me", headers=headers, timeout=120).status_code == 200


def test_two_clear_ones(gateway: Any) -> None:
    """The same second request is answered where the first has a clear end."""
    assert b'"owner"' in answers(gateway, f"{HEAD}Content-Length: 0\r\n\r\n{SECOND}")
