"""The only way from the installer to the network: an HTTP proxy that connects to the hosts of the
indexes and to nothing else. The worker runs it; the installer, confined, reaches nothing but its
port.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urlsplit

from mecapy_worker.egress import rules
from mecapy_worker.egress.rules import HostRule
from mecapy_worker.log import log

_HEAD_WITHIN_S, _CONNECT_WITHIN_S, _PIECE_BYTES = 30.0, 30.0, 1 << 16


@contextlib.asynccontextmanager
async def serving(listener: socket.socket, hosts: Sequence[HostRule]) -> AsyncGenerator[None]:
    """Serve on this socket inside the block."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            await _answer(reader, writer, hosts)
        writer.close()

    server = await asyncio.start_server(answer, sock=listener)
    try:
        yield
    finally:
        server.close()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hosts: Sequence[HostRule]
) -> None:
    async with asyncio.timeout(_HEAD_WITHIN_S):
        head = await reader.readuntil(b"\r\n\r\n")
    first, _, others = head.partition(b"\r\n")
    method, target, _ = first.decode("ascii").split(" ", 2)
    url = urlsplit(f"//{target}" if method == "CONNECT" else target)
    host, port = rules.name(url.hostname or ""), url.port or 80
    literal = rules.address(url.hostname or "")
    host = str(literal) if literal else host
    if not any(rule.names(host) and rule.port == port for rule in hosts):
        log.warning("index connection refused", host=f"{host[:300]}:{port}")
        writer.write(b"HTTP/1.1 403 not the index\r\nContent-Length: 0\r\n\r\n")
        return await writer.drain()
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        there, to_there = await asyncio.open_connection(host, port)
    try:
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 connected\r\n\r\n")
        else:  # one request a connection, because the next may be for another host
            path = url._replace(scheme="", netloc="").geturl() or "/"
            kept = [
                line
                for line in others.split(b"\r\n")
                if not line.lower().startswith((b"connection:", b"proxy-"))
            ]
            to_there.write(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode())
            to_there.write(b"\r\n".join(kept))
        await asyncio.gather(_pass_on(reader, to_there), _pass_on(there, writer))
    finally:
        to_there.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
