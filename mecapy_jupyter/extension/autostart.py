"""Starts the embedded stack with the Jupyter server if `MECAPY_AUTOSTART=1` (Binder). A thread
starts it, so that the server serves meanwhile; an early cell waits for the same start. The stack is
another process, outlives the server, and ends when idle.
"""

from __future__ import annotations

import logging
import os
import threading

from mecapy_jupyter.client import config
from mecapy_jupyter.shared.errors import MecapyError


def wanted() -> bool:
    return os.environ.get("MECAPY_AUTOSTART") == "1"


def begin(log: logging.Logger) -> threading.Thread:
    """Start it in the background, unless a gateway is configured."""
    thread = threading.Thread(target=_start, args=(log,), name="mecapy autostart", daemon=True)
    thread.start()
    return thread


def _start(log: logging.Logger) -> None:
    try:
        endpoint = config.resolve(say=log.info)
    except (MecapyError, OSError) as problem:
        log.warning("MecaPy: no stack started with this server: %s", problem)
    else:
        log.info("MecaPy: ready at %s", endpoint.url)
