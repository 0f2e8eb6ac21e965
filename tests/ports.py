"""Ports for programs that are told where to listen and begin to seconds later."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_FIRST = 10_000
_SYSTEM = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given = set[int]()


def free_port() -> int:
    """A port that nobody listens on, and none of those that the system gives to whoever connects:
    by the time the program listens, a connection of somebody else's could have it.
    """
    end = int(_SYSTEM.read_text().split()[0]) if _SYSTEM.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(_FIRST, max(end, _FIRST + 10_000))
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("", port)):
            return True
    except OSError:
        return False
