"""Machines: their classes, what runs of each, and the figures that an outside scaler reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import structlog
from fastapi import Query, Response
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from mecapy_backend.api.auth import BearerToken
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.fleet import classes, credentials
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.desired import Machine, View, desired
from mecapy_backend.fleet.policy import POLICY
from mecapy_backend.fleet.store_role import NoStoreKeys
from mecapy_backend.store import machine_access, machines, workers
from mecapy_backend.store.machines import ClassLoad
from mecapy_backend.store.people import costs
from mecapy_jupyter import wire
from mecapy_jupyter.wire import ClassInfo, JsonObject, MachineInfo, MachinesInfo
from mecapy_jupyter.wire.shape import Shape

router = surface("system")
_log = structlog.get_logger()
_ANY_NUMBER = 10_000
Python = Annotated[str, Query(pattern=r"^(3\.\d{1,2})?$", description="minor version: 3.12")]
Why = Annotated[str, Query(max_length=300, pattern=r"^[^\x00]+$")]


@router.get("/machines", response_model=answer(MachinesInfo), summary="Classes of machines")
async def listed(services: WithServices) -> Response:
    """What a task may ask for (`resources`), what is free, what it costs, and the machines that
    `mecapy fleet` runs.
    """
    return json((await fleet_of(services)).as_json())


async def fleet_of(services: Services) -> MachinesInfo:
    loads, rows = await machines.loads(services.db), await machines.alive(services.db)
    refused = await machines.refusals(services.db)
    free, booted = await _free(services), await machines.boot_times(services.db)
    found = [
        replace(
            _info(one),
            boot_s=round(booted.get(one.name, one.boot_s), 1),
            free=free.get(one.name, 0),
            queued=loads[one.name].queued if one.name in loads else 0,
            refused=refused.get(one.name, ""),
        )
        for one in await services.placements.classes()
    ]
    there = [
        MachineInfo(
            row.id, row.machine_class, row.provider, row.state, row.worker, row.age_s, row.why
        )
        for row in rows
    ]
    spent = await costs.spent_today(services.db)
    return MachinesInfo(tuple(found), tuple(there), spent)


@router.post(
    "/machines/credentials",
    response_model=dict[str, dict[str, str]],
    openapi_extra={"security": [{}]},
    summary="A new machine's credentials",
)
async def issued(services: WithServices, token: BearerToken) -> Response:
    """Once, to a machine of the fleet that presents the token it was started with: the environment
    of its worker.
    """
    claimed = await machine_access.claim(services.db, token.credentials) if token else None
    kind = claimed and classes.named(services.placements.file.classes, claimed.machine_class)
    if token is None or claimed is None or kind is None:
        raise _no_machine()
    try:
        environment = await credentials.issue(
            services.db, services.queue, services.settings, claimed.id, kind
        )
    except (DBAPIError, RedisError, OSError, NoStoreKeys) as problem:
        _log.error("no credentials", machine=claimed.id, error=repr(problem))
        await machine_access.give_back(services.db, claimed.id, token.credentials)
        detail = "PostgreSQL, Redis or the object store made none; the gateway's log says why"
        raise Problem(503, "no-credentials", detail) from None
    return json({"environment": environment})


@router.post(
    "/machines/failed",
    status_code=204,
    response_class=Response,
    openapi_extra={"security": [{}]},
    summary="A new machine cannot serve",
)
async def failed(services: WithServices, token: BearerToken, why: Why) -> Response:
    """Sent with the token that the machine was started with. The machine is replaced."""
    machine = token and await machine_access.failed(services.db, token.credentials, why)
    if not machine:
        raise _no_machine()
    _log.warning("machine failed", machine=machine, why=why)
    return Response(status_code=204)


@dataclass(frozen=True, slots=True)
class ScaleFigures(Shape):
    """One class: tasks that may start and wait; their work, in seconds of one slot; tasks that
    run; live workers that take tasks, and how many there should be.
    """

    queued: int
    queued_s: float
    oldest_wait_s: float
    running: int
    workers: int
    wanted: int


@router.get(
    "/system/scale", response_model=answer(dict[str, ScaleFigures]), summary="How many workers"
)
async def scale(services: WithServices, python: Python = "") -> Response:
    """Each class: what waits, what runs, and how many workers there should be by the policy of
    `mecapy fleet`. KEDA's `metrics-api` reads `pool.wanted`. `python`: only what workers with this
    version serve, and these workers.
    """
    cap = services.settings.max_running_tasks
    loads = await machines.loads(services.db, python=python, cap=cap)
    running = await machines.running_by_worker(services.db)
    found = await workers.list_live(services.db)
    live = [one for one in found if not one.draining and python in ("", one.python)]
    figures: JsonObject = {}
    for kind in services.placements.file.classes:
        own = [
            Machine(one.id, wire.SERVING, running.get(one.id, 0))
            for one in live
            if one.info.machine_class == kind.name
        ]
        load = loads.get(kind.name, ClassLoad(0, 0.0, 0.0))
        view = View(
            kind.min, kind.max or _ANY_NUMBER, kind.slots, own, load.queued, load.queued_s,
            load.oldest_wait_s,
        )  # fmt: skip
        figures[kind.name] = ScaleFigures(
            load.queued,
            round(load.queued_s, 1),
            round(load.oldest_wait_s, 1),
            sum(one.running for one in own),
            len(own),
            desired(view, POLICY).wanted,
        ).as_json()
    return json(figures)


def _no_machine() -> Problem:
    return Problem(
        401,
        "no-such-machine",
        "this is no machine's token, or it was used before or too late; nothing needs to be done: "
        "the fleet replaces this machine",
    )


async def _free(services: Services) -> dict[str, int]:
    running = await machines.running_by_worker(services.db)
    free: dict[str, int] = {}
    for one in await workers.list_live(services.db):
        if not one.draining:
            places = max(0, one.info.slots - running.get(one.id, 0))
            name = one.info.machine_class
            free[name] = free.get(name, 0) + places
    return free


def _info(kind: MachineClass) -> ClassInfo:
    return ClassInfo(
        kind.name, kind.cpus, kind.memory_bytes, kind.gpu, kind.price, kind.provider,
        kind.on_demand, kind.boot_s, kind.min, kind.max,
    )  # fmt: skip
