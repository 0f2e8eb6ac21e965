"""The gateway: one FastAPI app over the store. `create_app` builds it, `serve` runs it (for `mecapy
gateway`).

The routes are in `routes`, who asks in `auth`, errors in `problems`, settings in `settings`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from mecapy_backend.api import problems
from mecapy_backend.api.audit import Audit
from mecapy_backend.api.auth import Callers, caller_of
from mecapy_backend.api.limits.allowance import TaskQuotas
from mecapy_backend.api.limits.open_streams import StreamLimit
from mecapy_backend.api.limits.request_rate import RateLimit
from mecapy_backend.api.live_pythons import LivePythons
from mecapy_backend.api.middleware import connections
from mecapy_backend.api.middleware.traffic import Traffic
from mecapy_backend.api.routes import audit, blobs, events, parts, system, tasks, tokens, users
from mecapy_backend.api.short_tasks import ShortTasks
from mecapy_backend.api.start_estimate import StartEstimator
from mecapy_backend.queue import queue
from mecapy_backend.shared import logs
from mecapy_backend.shared.health import Health
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_jupyter.shared.version import __version__

_DESCRIPTION = """Run code on a pool of warm, confined Python workers.

```
curl -s $URL/tasks -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
     -d '{"code": "import numpy as np\\nfloat(np.linalg.norm([a, b]))", "inputs": {"a": 3, "b": 4}}'
curl -s $URL/tasks/$ID/result -H "Authorization: Bearer $TOKEN"
```

JSON inputs become variables of the code; the value of its last expression comes back as JSON.
Errors are problem documents (RFC 9457): `detail` says what to do, `type` is stable for programs.
"""

_log = structlog.get_logger()
_EXPOSED = ("Location", "Retry-After", "X-Request-ID")
# of an idle connection: longer than a user thinks between two cells, so that each finds it open
_KEEP_ALIVE_S = 75
_COMMAND_TIMEOUT_S = (
    2.0  # every statement here touches few rows by index; longer means the database is away
)


def create_app(settings: Settings) -> FastAPI:
    """The app; connections open when it starts. One per process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        db = database.connect(
            settings.database_url, command_timeout_s=_COMMAND_TIMEOUT_S, pool_size=20
        )
        fast, streams = (
            queue.connect(settings.redis_url),
            queue.connect(settings.redis_url, max_connections=settings.max_streams + 10),
        )
        app.state.db, app.state.queue, app.state.streams = db, fast, streams
        app.state.open_streams, app.state.held_bytes = (
            StreamLimit(settings.max_streams, settings.max_owner_streams),
            0,
        )
        app.state.callers = Callers(db, settings)
        app.state.allowances, app.state.paces = TaskQuotas(settings), ShortTasks(settings.short_s)
        app.state.audit = Audit(db, settings.audit_days)
        app.state.forecast = StartEstimator(db, fast, settings.short_s)
        app.state.pythons = LivePythons(db)
        app.state.blobs = open_store(
            settings.blob_url,
            endpoint_url=settings.s3_endpoint_url,
            cache_dir=settings.cache_dir,
            cache_bytes=settings.cache_bytes,
        )
        app.state.health = Health(db, fast, app.state.blobs)
        _log.info("ready", version=__version__)
        writing = asyncio.create_task(app.state.audit.run())
        try:
            yield
        finally:
            _log.info("stopping")
            writing.cancel()
            await app.state.audit.close()
            for opened in (streams, fast):
                await opened.aclose(close_connection_pool=True)
            await db.dispose()

    app = FastAPI(
        title="MecaPy",
        version=__version__,
        description=_DESCRIPTION,
        responses=problems.DOCUMENTED,
        lifespan=lifespan,
        dependencies=[Depends(caller_of)],
    )
    app.state.settings = settings
    app.state.rates = RateLimit(settings.requests_per_s)
    app.state.last_used = time.monotonic()  # see `auth`; an embedded stack that nobody uses ends
    problems.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(Traffic)
    for surface in (tasks, events, blobs, parts, tokens, users, audit, system):
        app.include_router(surface.router)
    return app


def serve(
    settings: Settings, host: str = "127.0.0.1", port: int = 8000, fd: int | None = None
) -> None:
    """Run the gateway until SIGTERM or SIGINT, on an address or on a listening socket it was handed
    (`fd`). Open event streams end after two seconds; their clients come back and resume.
    """
    logs.configure(settings.log_format, "gateway")
    app = create_app(settings)
    connections.room_for(settings.max_connections, settings.max_streams)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=2,
        http=connections.BoundedProtocol,
        limit_concurrency=settings.max_connections,
        backlog=512,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    serve(Settings())
