"""Connections to an embedded stack. Each connection proves itself before the first request with the
token, so another program on the stack's port learns nothing.
"""

from __future__ import annotations

import hmac
import http.client
import secrets
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from mecapy_jupyter.shared.proof import PATH, proof

_LONGEST = 200  # bytes of an answer


def proven_pool(token: str, **options: Any) -> urllib3.PoolManager:
    """A pool for the stack that has this token. `options`: of `PoolManager`."""

    class Proven(HTTPConnection):
        """`connect` raises NewConnectionError if another program listens there, as if the port were
        closed.
        """

        def connect(self) -> None:
            super().connect()
            try:
                why = "" if _proves(self, token) else "another program has taken its port"
            except (OSError, http.client.HTTPException, UnicodeDecodeError) as broken:
                why = f"it did not prove its identity, {broken}"
            if why:
                self.close()
                raise urllib3.exceptions.NewConnectionError(self, why)

    class ProvenPool(HTTPConnectionPool):
        ConnectionCls = Proven  # pyright: ignore[reportAssignmentType]  (as in urllib3's own pool)

    manager = urllib3.PoolManager(**options)
    pools: dict[str, type[HTTPConnectionPool] | type[HTTPSConnectionPool]] = {"http": ProvenPool}
    manager.pool_classes_by_scheme = pools
    return manager


def _proves(connection: HTTPConnection, token: str) -> bool:
    """Asked on the same connection, so that no other program can take its place meanwhile."""
    challenge = secrets.token_hex(16)
    host, port = connection.host, int(connection.port or 0)
    question = f"GET {PATH}?challenge={challenge} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    connection.sock.sendall(question.encode())
    with http.client.HTTPResponse(connection.sock, method="GET") as answer:
        answer.begin()
        reply = answer.read(_LONGEST).decode("ascii")
        stays = answer.isclosed() and not answer.will_close
    return stays and hmac.compare_digest(reply, proof(token, challenge, port))
