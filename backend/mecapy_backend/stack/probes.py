"""Does a component answer? One short, blocking question each; never raises."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

_ANSWER_S = 2.0
# Whatever proxy is set is not for our own loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_LOGIN = b"user\0postgres\0database\0postgres\0\0"
# PostgreSQL's StartupMessage. One that serves asks for a password; one that is recovering, or full,
# answers with an error.
_STARTUP = (8 + len(_LOGIN)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + _LOGIN


def postgres(path: Path) -> bool:
    return _ask(path, _STARTUP).startswith(b"R")


def valkey(path: Path) -> bool:
    return _ask(path, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def gateway(url: str) -> bool:
    return _health(url).get("status") == "ok"


def idle_s(url: str) -> float:
    """Seconds since the gateway's last request; 0 if it does not report them."""
    return float(_health(url).get("idle_s", 0.0))


def _health(url: str) -> dict[str, Any]:
    try:
        with _DIRECT.open(f"{url}/livez", timeout=_ANSWER_S) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return {}


def _ask(path: Path, question: bytes) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(_ANSWER_S)
            end.connect(str(path))
            end.sendall(question)
            return end.recv(64)
    except OSError:
        return b""
