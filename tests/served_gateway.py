"""A gateway in this process, on a free port of loopback."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class RunningGateway:
    """A real uvicorn in a thread of this process."""

    url: str
    token: str
    settings: Any


_PATIENT: dict[str, Any] = {"wait_s": 60.0, "connect_s": 60.0, "command_timeout_s": 60.0}


class served:
    """Runs a gateway with these settings: `with served(settings) as gateway:`.

    A busy machine's PostgreSQL may take longer than a gateway waits, which then refuses a request
    with 503. This one waits longer; `hasty`: as long as any other.
    """

    def __init__(self, settings: Any, *, hasty: bool = False) -> None:
        import uvicorn

        from mecapy_backend.api.app import create_app
        from mecapy_backend.api.middleware.connections import BoundedProtocol

        self._hasty = hasty
        self._socket = socket.create_server(("127.0.0.1", 0))
        bounds: Any = {"http": BoundedProtocol, "limit_concurrency": settings.max_connections}
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings), log_level="warning", timeout_graceful_shutdown=1, **bounds
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="gateway"
        )
        self.running = RunningGateway(
            f"http://127.0.0.1:{self._socket.getsockname()[1]}",
            settings.token.get_secret_value(),
            settings,
        )

    def __enter__(self) -> RunningGateway:
        from mecapy_backend.store import database

        connect = database.connect

        def connected(url: str, **options: Any) -> Any:
            return connect(url, **options | _PATIENT)

        with patch.object(database, "connect", connect if self._hasty else connected):
            return self._started()

    def _started(self) -> RunningGateway:
        self._thread.start()
        until = time.monotonic() + 120
        while not self._server.started:
            assert self._thread.is_alive(), "the gateway did not start"
            assert time.monotonic() < until, "the gateway takes too long to start"
            time.sleep(0.005)
        return self.running

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(120)
        self._socket.close()
        assert not self._thread.is_alive(), "the gateway does not stop"
