"""Does a component answer? One short, blocking question each; never raises. Before it: `services`, `supervisor`, `state`."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

_ANSWER_S = 2.0
# PostgreSQL's SSLRequest: any server that can fork a backend answers it with one byte, before any login.
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def postgres(path: Path) -> bool:
    return _ask(path, _SSL_REQUEST)[:1] in (b"S", b"N")


def valkey(path: Path) -> bool:
    return _ask(path, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def http(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def _ask(path: Path, question: bytes) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(_ANSWER_S)
            end.connect(str(path))
            end.sendall(question)
            return end.recv(64)
    except OSError:
        return b""
