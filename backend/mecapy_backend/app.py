"""The gateway: one FastAPI app over the store. `create_app` builds it, `serve` runs it (for `mecapy gateway`).

The routes are in `routes`, who asks in `auth`, errors in `problems`, settings in `settings`.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI

from mecapy_jupyter.version import __version__

from . import problems, queue
from .backlog import Backlog
from .routes import blobs, events, system, tasks
from .settings import Settings
from .store import database
from .store.blobs import open_store

_DESCRIPTION = """Run code on a pool of warm, confined Python workers.

```
curl -s $URL/tasks -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
     -d '{"code": "import numpy as np\\nfloat(np.linalg.norm([a, b]))", "inputs": {"a": 3, "b": 4}}'
curl -s $URL/tasks/$ID/result -H "Authorization: Bearer $TOKEN"
```

JSON inputs become variables of the code; the value of its last expression comes back as JSON.
Errors are problem documents (RFC 9457): `detail` says what to do, `type` is stable for programs.
"""

_EVENT_STREAMS = 2000  # each holds one Redis connection while it waits
_COMMAND_TIMEOUT_S = 2.0  # every statement here touches few rows by index; longer means the database is away


def create_app(settings: Settings) -> FastAPI:
    """The app; connections open when it starts. One per process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        db = database.connect(settings.database_url, command_timeout_s=_COMMAND_TIMEOUT_S, pool_size=20)
        fast, streams = queue.connect(settings.redis_url), queue.connect(settings.redis_url, max_connections=_EVENT_STREAMS)
        app.state.db, app.state.queue, app.state.streams = db, fast, streams
        app.state.backlog = Backlog(settings.max_queued_tasks)
        app.state.blobs = open_store(
            settings.blob_url, endpoint_url=settings.s3_endpoint_url, cache_dir=settings.cache_dir, cache_bytes=settings.cache_bytes
        )
        try:
            yield
        finally:
            for opened in (streams, fast):
                await opened.aclose(close_connection_pool=True)
            await db.dispose()

    app = FastAPI(title="MecaPy", version=__version__, description=_DESCRIPTION, lifespan=lifespan)
    app.state.settings = settings
    app.state.last_used = time.monotonic()  # see `auth`; an embedded stack that nobody uses ends
    problems.install(app)
    for part in (tasks, events, blobs, system):
        app.include_router(part.router)
    return app


def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8000, fd: int | None = None) -> None:
    """Run the gateway until SIGTERM or SIGINT, on an address or on a listening socket it was handed (`fd`).
    Open event streams end after two seconds; their clients come back and resume."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, host=host, port=port, access_log=False, log_level="warning", server_header=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    serve(Settings())
