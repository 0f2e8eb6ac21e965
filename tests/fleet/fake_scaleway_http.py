"""What is common to all answers of the small Scaleway: JSON over HTTP, and faults instead."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from ..http_server import QuietHandler


@dataclass
class Fault:
    """What is answered instead, `times` times, to what matches; `after`: it happens all the same.
    `status` 0: nothing; the connection ends after `seconds`.
    """

    matches: str
    status: int
    body: dict[str, Any] = field(default_factory=dict)
    times: int = 10**9
    after: bool = False
    seconds: float = 0.0


def handler(answer: Callable[[str, str, bytes], tuple[int, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, found = answer(self.command, self.path, body)
            if not status:
                self.close_connection = True
                return
            text = b"" if found is None else json.dumps(found).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

    return Handler
