"""Every request in and out: its id in the log, metrics, audit line, security headers. A plain ASGI
middleware, because it must not collect a body or delay an event stream.
"""

from __future__ import annotations

import time

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mecapy_backend.api import metrics
from mecapy_backend.api.audit import begin_request, entry_of
from mecapy_backend.api.middleware.security_headers import more_headers
from mecapy_backend.api.services import services_of
from mecapy_backend.shared import logs

HEADER = "X-Request-ID"
_NOWHERE = "(none)"


class Traffic:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        name = logs.request_id(Headers(scope=scope).get(HEADER))
        logs.bind_contextvars(request=name)  # uvicorn runs each request in its own context
        about = begin_request()
        began, status, received, sent = time.perf_counter(), 500, 0, 0

        async def hear() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                if entry := entry_of(scope, status, headers, name, about):
                    await services_of(HTTPConnection(scope)).audit.note(entry)
                message["headers"] = [
                    *headers,
                    (b"x-request-id", name.encode()),
                    *more_headers(headers),
                ]
                metrics.answer_s.labels(_route(scope)).observe(time.perf_counter() - began)
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, hear, say)
        finally:
            route = _route(scope)
            metrics.answers.labels(_method(scope), route, status).inc()
            if received:
                metrics.received_bytes.labels(route).inc(received)
            metrics.sent_bytes.labels(route).inc(sent)


def _route(scope: Scope) -> str:
    """The route's pattern: `/tasks/{task_id}`."""
    return getattr(scope.get("route"), "path", _NOWHERE)


def _method(scope: Scope) -> str:
    """Clients may invent methods, each of which would be a series."""
    return (
        scope["method"]
        if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
        else "other"
    )
