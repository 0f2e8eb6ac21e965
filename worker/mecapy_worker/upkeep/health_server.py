"""The worker's port for `/metrics`, `/livez`, `/readyz`. Off unless MECAPY_WORKER_PORT or PORT is
set; accepts no body and no token. The loop that runs the tasks serves it, so a loop that hangs does
not look healthy.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from mecapy_backend.shared.health import Health
from mecapy_backend.shared.health_gauges import CONTENT_TYPE
from mecapy_worker import metrics
from mecapy_worker.context import Context
from mecapy_worker.log import log
from mecapy_worker.run.readiness import children

_ASKED_WITHIN_S = 5.0
_QUESTION_BYTES = 8192
_JSON = "application/json"

Answer = tuple[int, str, bytes]


async def serve(context: Context, health: Health) -> None:
    """Forever. If the port is taken, only the metrics are missing."""
    host, port = context.settings.worker_host, context.settings.worker_port
    if not port:
        return

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(
                OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                async with asyncio.timeout(_ASKED_WITHIN_S):
                    question = await reader.readuntil(b"\r\n\r\n")
                writer.write(_written(question, *await answer(question, context, health)))
                await writer.drain()
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(talk, host, port, limit=_QUESTION_BYTES)
    except OSError as error:
        return log.warning("no port", host=host, port=port, error=repr(error))
    async with server:
        await server.serve_forever()


async def answer(question: bytes, context: Context, health: Health) -> Answer:
    """Status, type and body for the head of an HTTP request."""
    method, _, rest = question.partition(b" ")
    if method not in (b"GET", b"HEAD"):
        return 405, "text/plain", b"only GET\n"
    match rest.partition(b" ")[0].partition(b"?")[0]:
        case b"/metrics":
            found, slots = await health.report(), context.settings.worker_slots
            return 200, CONTENT_TYPE, metrics.exposition(context.pool, slots, found)
        case b"/livez" | b"/healthz":  # what a new process would cure
            well = children(context.pool)
            body = {
                "status": "ok" if well.ok else "unavailable",
                "worker": context.worker_id,
                "advice": well.advice,
            }
            return 200 if well.ok else 503, _JSON, json.dumps(body).encode()
        case b"/readyz":
            found = await health.report()
            answer = found.as_json() | {"worker": context.worker_id}
            return 200 if found.ready else 503, _JSON, json.dumps(answer).encode()
        case _:
            return 404, "text/plain", b"/metrics, /livez or /readyz\n"


def _written(question: bytes, status: int, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: "
        f"{len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if question.startswith(b"HEAD") else body)
