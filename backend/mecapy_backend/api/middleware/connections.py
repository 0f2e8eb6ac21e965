"""Limits the cost of connections, which uvicorn does not: endless headers, unwanted bodies, readers
that do not read, too many connections. Each costs only its own connection, for a limited time.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mecapy_backend.api.problems import Problem

HEAD_BYTES = 64 * 1024
HEAD_S = 10.0
"""How long the request line with its headers may take, from the first byte or the connection on;
also a refused body.
"""
STALLED_S = 60.0
"""How long a client may not read what is sent to it."""
_PER_STREAM = 2  # file descriptors: the client's and one of Redis
_OTHERS = 200


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's `limit_concurrency` is the number of connections."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # uvicorn's own answer does not say what to do.
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._in_head, self._in_body, self._head_bytes, self._surplus = True, False, 0, False
        self._head_ends: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        over = len(self.connections) - (self._most or 1_000_000)
        if over > _OTHERS:  # not even for an answer
            return transport.abort()
        self._surplus = over > 0
        self._head_within(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_within(None)
        self._writing_within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(
                    431,
                    "head-too-large",
                    f"the request's headers are longer than {HEAD_BYTES} bytes; send less in them",
                )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._in_body, self._head_bytes = True, True, 0
        self._head_within(HEAD_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Otherwise it follows a body; nobody reads those, and they would accumulate.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_within(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._head_within(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        # It was answered before it arrived completely: wait for the rest, but not forever.
        if self._in_body:
            self._head_within(HEAD_S)
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._writing_within(STALLED_S)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writing_within(None)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Invalid HTTP gets a problem document too."""
        detail = "this is no HTTP request that the gateway can read; check its headers"
        self._refuse(400, "not-understood", detail)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, _full(app) if self._surplus else app)

    def _head_within(self, seconds: float | None) -> None:
        if self._head_ends:
            self._head_ends.cancel()
        self._head_ends = self.loop.call_later(seconds, self._too_slow) if seconds else None

    def _writing_within(self, seconds: float | None) -> None:
        if self._stalled:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(seconds, self.transport.abort) if seconds else None

    def _too_slow(self) -> None:
        if self._head_bytes and self._in_head:
            self._refuse(
                408,
                "too-slow",
                f"the request's headers did not arrive within {HEAD_S:.0f} s; send it again",
            )
        else:
            self.transport.abort()

    def _refuse(self, status: int, name: str, detail: str) -> None:
        """Answer and close, but not while an earlier answer is being sent."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            body = bytes(Problem(status, name, detail).response().body)
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: "
                f"application/problem+json\r\nconnection: close\r\n"
            )
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


def _full(app: Any) -> Any:
    """Answers one connection too many. The liveness address still works."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ("/livez", "/healthz"):
            return await app(scope, receive, send)
        detail = (
            "this gateway has no connection left; try again in a moment, or use another gateway"
        )
        await Problem(
            503, "busy", detail, headers={"Retry-After": "2", "Connection": "close"}
        ).response()(scope, receive, send)

    return answer


def room_for(connections: int, streams: int) -> None:
    """Raise this process's limit of open files as far as needed and allowed."""
    needed = connections + (_PER_STREAM - 1) * streams + _OTHERS * 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
