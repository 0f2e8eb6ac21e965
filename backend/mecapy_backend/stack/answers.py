"""Does a component answer? One short, blocking question each; never raises. Before it: `services`, `supervisor`, `state`."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

_ANSWER_S = 2.0
_LOGIN = b"user\0postgres\0database\0postgres\0\0"
# PostgreSQL's StartupMessage. One that serves asks for a password; one that is recovering, or full, answers with an error.
_STARTUP = (8 + len(_LOGIN)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + _LOGIN


def postgres(path: Path) -> bool:
    return _ask(path, _STARTUP).startswith(b"R")


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
