"""The gateway: one FastAPI app over the store. `create_app` builds it, `serve` runs it (for `mecapy
gateway`).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from types import FrameType

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from mecapy_backend.api import problems
from mecapy_backend.api.auth import caller_of
from mecapy_backend.api.middleware import connections
from mecapy_backend.api.middleware.traffic import Traffic
from mecapy_backend.api.routes import (
    audit,
    blobs,
    comms,
    events,
    extension,
    machines,
    notices,
    parts,
    proof,
    result_cache,
    sharing,
    submission,
    sweeps,
    system,
    tasks,
    tokens,
    users,
    workflows,
)
from mecapy_backend.api.services import Services, open_services
from mecapy_backend.notices import delivery
from mecapy_backend.page import routes as page
from mecapy_backend.queue.health_probe import refuse_cluster
from mecapy_backend.shared import logs, telemetry
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_store
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
# of an idle connection: longer than the usual time between two cells, so that each finds it open
_KEEP_ALIVE_S = 75


def create_app(settings: Settings, *, embedded: bool = False) -> FastAPI:
    """The app; connections open when it starts. One per process. `embedded`: in a stack, which
    proves itself to notebooks.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Services]]:
        async with open_services(settings) as services, services.audit:
            _log.info("ready", version=__version__)
            loops = _loops(services, settings)
            try:
                yield {"services": services}
            finally:
                _log.info("stopping")
                for loop in loops:
                    loop.cancel()

    app = FastAPIOffline(  # the scripts of its page are served from here
        redoc_url=None,
        title="MecaPy",
        version=__version__,
        description=_DESCRIPTION,
        responses=problems.DOCUMENTED,
        lifespan=lifespan,
        dependencies=[Depends(caller_of)],
    )
    app.state.stopping = False
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
    of_tasks = (
        *(submission, tasks, extension, notices, comms, sharing),
        *(sweeps, workflows, result_cache, events),
    )
    for surface in (*of_tasks, blobs, parts, tokens, users, audit, system, machines):
        app.router.routes.extend(surface.router.routes)
    if embedded:
        app.router.routes.extend(proof.router.routes)
    page.install(app)
    return app


def _loops(services: Services, settings: Settings) -> list[asyncio.Task[None]]:
    """What the gateway does beside answering."""
    return [
        asyncio.create_task(services.health.log_what_is_wrong()),
        asyncio.create_task(services.queue_history.watch()),
        asyncio.create_task(delivery.run(services.db, settings)),
        asyncio.create_task(services.changes.watch()),
    ]


class _Server(uvicorn.Server):
    """After SIGTERM it answers for `drain_s` while /readyz is 503, so that a balancer stops sending
    before it closes. A second signal stops it at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app, self._drain_s = app, drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._drain_s or self._app.state.stopping:
            return super().handle_exit(sig, frame)
        self._app.state.stopping = True
        stop = threading.Timer(self._drain_s, super().handle_exit, (sig, frame))
        stop.daemon = True
        stop.start()
        return None


def serve(
    settings: Settings, host: str = "127.0.0.1", port: int = 8000, fd: int | None = None
) -> None:
    """Run the gateway until SIGTERM or SIGINT, on an address or an inherited listening socket
    (`fd`). Open event streams end after two seconds; clients resume them.
    """
    logs.configure(settings.log_format, "gateway")
    telemetry.configure(settings.otlp_endpoint, "gateway")
    blob_store.configured(settings)  # report an unusable folder in one line
    asyncio.run(refuse_cluster(settings.redis_url))
    app = create_app(settings, embedded=fd is not None)
    connections.room_for(settings.max_connections, settings.max_streams)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=2,
        http=connections.BoundedProtocol,
        limit_concurrency=settings.max_connections,
        backlog=512,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = _Server(config, app, 0.0 if fd is not None else settings.drain_s)
    with suppress(KeyboardInterrupt):
        server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    telemetry.close()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    serve(Settings())
