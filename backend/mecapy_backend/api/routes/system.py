"""The gateway itself: who am I, who works, is it healthy, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import structlog
from fastapi import Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Asker
from mecapy_backend.api.exposition import exposition
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.openapi import OpenApiExtra, OpenApiResponses
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.common import Request as RequestBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.notices import webhook
from mecapy_backend.shared.health_gauges import CONTENT_TYPE
from mecapy_backend.store import workers
from mecapy_backend.store.people import shares, users
from mecapy_backend.store.people.shares import QuotaUse
from mecapy_jupyter import wire
from mecapy_jupyter.shared.version import __version__
from mecapy_jupyter.wire import JsonObject

router = surface("system")
_log = structlog.get_logger()
WorkerId = Annotated[str, Path(max_length=300, pattern=r"^[^\x00]*$")]
PythonAsked = Annotated[
    str, Query(pattern=r"^(3\.\d{1,2})?$", description='"major.minor"; empty: any')
]
_OPEN: OpenApiExtra = {"security": [{}]}  # as OpenAPI says "also without a token"
_NOT_READY: OpenApiResponses = {
    503: {"description": "It cannot", "content": {"application/json": {}}}
}


@router.get(
    "/auth", response_model=answer(wire.LoginOffer), openapi_extra=_OPEN, summary="Where to log in"
)
async def where_to_log_in(services: WithServices) -> Response:
    """The OpenID Connect issuer whose tokens are accepted here, and as which client to ask it.
    `issuer` is null where a token is handed out by the operator instead.
    """
    settings = services.settings
    offer = wire.LoginOffer()
    if settings.oidc_issuer:
        offer = wire.LoginOffer(settings.oidc_issuer, settings.oidc_clients[0], settings.oidc_scope)
    return json(offer.as_json())


_WORKER = answer(workers.LiveWorker, python=str)


class WorkerBody(RequestBody):
    draining: bool


@router.get("/workers", response_model=list[_WORKER], summary="Live workers")
async def who_works(services: WithServices) -> Response:
    return json([worker.as_json() for worker in await workers.list_live(services.db)])


@router.patch(
    "/workers/{worker_id}",
    response_model=_WORKER,
    openapi_extra=request_body.described(WorkerBody),
    summary="Drain a worker",
)
async def drain(
    request: Request, services: WithServices, asker: Asker, worker_id: WorkerId
) -> Response:
    """A worker that drains ends what it runs and takes no more tasks, from its next heartbeat on
    (MECAPY_HEARTBEAT_S). Then it can be stopped and no task notices.
    """
    wanted = await services.bodies.read(request, WorkerBody)
    found = await set_draining(services, asker.owner, worker_id, draining=wanted.draining)
    return json(found.as_json())


async def set_draining(
    services: Services, by: str, worker_id: str, *, draining: bool
) -> workers.LiveWorker:
    """Raises Problem 404."""
    found = await workers.drain(services.db, worker_id, draining)
    if found is None:
        detail = f"no worker {worker_id[:60]!r}; GET /workers lists them"
        raise Problem(404, "no-such-worker", detail)
    _log.info("worker changed", worker=worker_id, by=by, draining=draining)
    return found


_PACKAGES = answer(wire.InstalledPackages, packages=dict[str, list[str]])


@router.get("/workers/packages", response_model=_PACKAGES, summary="What a task can import")
async def packages(services: WithServices, python: PythonAsked = "") -> Response:
    """What all living workers have, or all those with one Python version, and how much of a
    notebook's folder may go to them by itself. `python` of the answer: the versions there are;
    `packages`: module → distribution, then its version (several where workers differ).
    """
    found = await workers.common_packages(services.db, python)
    pythons = tuple(await workers.pythons(services.db))
    settings = services.settings
    there = wire.InstalledPackages(
        pythons, found, settings.folder_bytes, settings.folder_files, settings.packages
    )
    return json(there.as_json())


@router.get("/me", response_model=answer(wire.Me), summary="My user, role and quotas")
async def me(services: WithServices, asker: Asker) -> Response:
    settings = services.settings
    limits = {
        name: value
        for name, value in settings.model_dump().items()
        if name.startswith("max_") and name != "max_losses"
    }
    account = await users.name_and_email(services.db, asker.owner)
    status = await shares.quota_status(services.db, asker.owner, settings, with_bytes=True)
    return json(
        wire.Me(
            owner=asker.owner,
            name=account.name,
            email=account.email,
            role=asker.role,
            organisation=asker.organisation,
            scopes=tuple(sorted(asker.scopes)),
            tasks={
                state: int(status.of_owner[state].used) for state in (wire.QUEUED, wire.RUNNING)
            },
            limits=limits | {"keep_s": settings.keep_s},
            weight=status.share.weight,
            quotas=_quotas(status.of_owner),
            organisation_quotas=_quotas(status.of_organisation) or None,
            webhook_key=webhook.shown_key(settings.notify_secret.get_secret_value(), asker.owner),
        ).as_json()
    )


def _quotas(uses: Mapping[str, QuotaUse]) -> dict[str, wire.Quota]:
    return {name: wire.Quota(round(use.used, 6), use.limit, use.left) for name, use in uses.items()}


@router.get("/healthz", openapi_extra=_OPEN, summary="As /livez")
@router.get("/livez", openapi_extra=_OPEN, summary="The process lives")
async def livez(services: WithServices) -> Response:
    """`idle_s`: since the last request that needed a token, or since the start. `/healthz` is the
    same.
    """
    return json({"status": "ok", "idle_s": round(services.activity.idle_s, 1)})


@router.get(
    "/readyz", openapi_extra=_OPEN, responses=_NOT_READY, summary="Whether it can take requests"
)
async def readyz(request: Request, services: WithServices, verbose: str | None = None) -> Response:
    """503 while PostgreSQL does not answer, its schema is not one that this gateway serves on, or
    the gateway is about to stop: for balancers. Without Redis or the object store
    tasks are taken, and start later.

    `?verbose`: `parts` has a word for each part, those it can do without too, and `advice` what to
    do about it.
    """
    health = services.readiness if verbose is None else services.health
    report = await health.report()
    about: JsonObject = {"version": __version__, "now": datetime.now(UTC).isoformat()}
    answer = report.as_json(verbose=verbose is not None) | about
    if request.app.state.stopping:
        return json(answer | {"status": "stopping"}, 503)
    return json(answer, 200 if report.ready else 503)


@router.get(
    "/metrics",
    openapi_extra=_OPEN,
    response_class=PlainTextResponse,
    summary="Figures for Prometheus",
)
async def figures(services: WithServices) -> Response:
    """Without a token from the gateway's own machine, with an admin's (its scope `read` is enough)
    from anywhere else.
    """
    return Response(await exposition(services), media_type=CONTENT_TYPE)
