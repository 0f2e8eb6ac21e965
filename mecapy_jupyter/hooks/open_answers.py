"""What urllib3 does not tell of an answer that is being read: whether more of it is here. Written
against urllib3 2 and `http.client`.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

import urllib3
from urllib3.util import wait_for_read


def arrives(answer: urllib3.BaseHTTPResponse, within_s: float) -> bool:
    """Whether bytes of its body are here or come within this time, and none is taken. False also
    where the connection does not tell.
    """
    file: Any = getattr(getattr(answer, "_fp", None), "fp", None)
    socket: Any = getattr(answer.connection, "sock", None)
    if file is None or socket is None:
        return False
    return _holds(file, socket) or (wait_for_read(socket, within_s) and _holds(file, socket))


def _holds(file: Any, socket: Any) -> bool:
    """Whether the buffer has bytes, or gets some at once."""
    timeout = socket.gettimeout()
    socket.settimeout(0)
    try:
        with suppress(ssl.SSLWantReadError):  # a piece of a record, or none of ours
            return bool(file.peek(1))
        return False
    finally:
        socket.settimeout(timeout)
