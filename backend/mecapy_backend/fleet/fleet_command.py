"""`mecapy fleet`, and its `status`, `stop` and `resume`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachinesFile
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.local import LocalProvider
from mecapy_backend.fleet.policy import POLICY
from mecapy_backend.fleet.provider import Provider
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.fleet.slurm import SlurmProvider
from mecapy_backend.queue import queue
from mecapy_backend.shared import environment, logs
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database, machines
from mecapy_backend.store.people import costs
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import duration

log = structlog.get_logger()
_STOP_S, _LOOK_S = 300.0, 0.5
_LOCK_IDLE_S = 600
_PLAIN = (
    "MECAPY_SANDBOX", "MECAPY_PRELOAD", "MECAPY_EGRESS", "MECAPY_CACHE_BYTES", "MECAPY_KEEP_S",
    "MECAPY_LOG_FORMAT", "MECAPY_LEASE_S", "MECAPY_HEARTBEAT_S", "MECAPY_GRACE_S",
    "MECAPY_STORE_PATIENCE_S", "MECAPY_SHORT_S",
)  # fmt: skip


def run(*, leave_none: bool = False) -> int:
    """Scale until SIGTERM or SIGINT. `leave_none`: no machine of ours outlives this."""
    settings, file = _configured()
    logs.configure(settings.log_format, "fleet")
    asyncio.run(_run(settings, file, leave_none=leave_none))
    return 0


def status(database_url: str = "") -> int:
    """`database_url` "": what is set."""
    asyncio.run(_status(environment.settings(database_url)))
    return 0


def stop(database_url: str = "") -> int:
    """Stop every machine, and start none until `resume`. `database_url`: of an embedded stack,
    whose own scaler does it.
    """
    if database_url:
        return asyncio.run(_stop(environment.settings(database_url), None))
    settings, file = _configured()
    return asyncio.run(_stop(settings, file))


def resume(database_url: str = "") -> int:
    asyncio.run(_resume(environment.settings(database_url)))
    print("a running `mecapy fleet` starts machines again")
    return 0


def _configured() -> tuple[Settings, MachinesFile]:
    settings = environment.settings()
    file = classes.read(settings.machines)
    if all(one.provider in classes.NOT_OURS for one in file.classes):
        where = settings.machines or "MECAPY_MACHINES, which is not set,"
        raise ConfigError(
            f"{where} names no class with a provider that this command asks: there is nothing to "
            "scale"
        )
    return settings, file


def providers(file: MachinesFile) -> Mapping[str, Provider]:
    """Those that the file names."""
    found: dict[str, Provider] = {}
    for name in {one.provider for one in file.classes}:
        if name == classes.LOCAL:
            found[name] = LocalProvider(worker_environment())
        elif name == classes.SLURM:
            found[name] = SlurmProvider(worker_environment(), Path.home() / ".mecapy" / "slurm")
        elif name in classes.CLOUDS:
            found[name] = _scaleway(file, name)
    return found


def _scaleway(file: MachinesFile, name: str) -> Provider:
    url = os.environ.get("MECAPY_URL", "")
    if not url:
        raise ConfigError(
            f"the provider {name} needs MECAPY_URL: the gateway's address, where its machines "
            "ask for their credentials"
        )
    try:
        from mecapy_backend.fleet.scaleway_container import ScalewayContainerProvider
        from mecapy_backend.fleet.scaleway_job import ScalewayJobProvider
        from mecapy_backend.fleet.scaleway_vm import ScalewayVmProvider
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"the provider {name} needs {missing.name}: pip install 'mecapy-jupyter[scaleway]'"
        ) from None
    own = [one for one in file.classes if one.provider == name]
    zones = tuple(dict.fromkeys(zone for one in own for zone in one.zones))
    made = {
        classes.SCALEWAY_VM: ScalewayVmProvider,
        classes.SCALEWAY_JOB: ScalewayJobProvider,
        classes.SCALEWAY_CONTAINER: ScalewayContainerProvider,
    }
    return made[name](zones, url, plain_settings())


def plain_settings() -> dict[str, str]:
    """The settings of a worker, none of them a secret or an address."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("MECAPY_MAX_") or name in _PLAIN
    }


def worker_environment() -> dict[str, str]:
    """A worker does not need the gateway's token."""
    return {name: value for name, value in os.environ.items() if name != "MECAPY_TOKEN"}


def _opened(settings: Settings) -> AbstractAsyncContextManager[AsyncEngine]:
    return database.opened(settings.database_url, settings.database_pooler)


@asynccontextmanager
async def scaling(
    settings: Settings, db: AsyncEngine, file: MachinesFile
) -> AsyncGenerator[Scaler]:
    """The scaler of this file; a machine in a cloud has credentials of its own."""
    redis = queue.connect(settings.redis_url)
    cloudy = any(one.provider in classes.CLOUDS for one in file.classes)
    credentials = MachineCredentials(db, redis) if cloudy else None
    try:
        yield Scaler(db, file.classes, providers(file), file.budget, credentials=credentials)
    finally:
        await redis.aclose(close_connection_pool=True)


async def _run(settings: Settings, file: MachinesFile, *, leave_none: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with _opened(settings) as db:
        while not stopping.is_set():
            async with scaling(settings, db, file) as scaler:
                log.info("ready", classes=[one.name for one in file.classes if one.provider])
                newer = await _until_changed(settings, file, db, scaler, stopping)
                if leave_none and stopping.is_set():
                    await scaler.end()
            file = newer


async def _until_changed(
    settings: Settings, file: MachinesFile, db: AsyncEngine, scaler: Scaler, stopping: asyncio.Event
) -> MachinesFile:
    """Scale by this file until another one stands there (`mecapy deploy workers` writes it)."""
    said = ""
    while not stopping.is_set():
        await look(db, scaler)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLICY.look_s)
        try:
            newer = await asyncio.to_thread(classes.read, settings.machines)
            if newer != file and providers(newer):
                return newer
        except ConfigError as wrong:
            if str(wrong) != said:
                said = str(wrong)
                log.warning("the classes stay as they were; the changed file is wrong", error=said)
    return file


async def look(db: AsyncEngine, scaler: Scaler) -> int | None:
    """One round, if no other scaler is in one. None: it was not, or PostgreSQL is away."""
    try:
        async with database.try_lock(db, machines.SCALER_LOCK, _LOCK_IDLE_S) as locked:
            return await scaler.look() if locked else None
    except (DBAPIError, OSError) as problem:
        log.warning("waiting", what="database", error=database.cause(problem) or repr(problem))
        return None


async def _stop(settings: Settings, file: MachinesFile | None) -> int:
    async with (
        _opened(settings) as db,
        scaling(settings, db, file) if file else nullcontext() as scaler,
    ):
        await machines.set_stopped(db, True)
        left: int | None = None
        for _ in range(round(_STOP_S / _LOOK_S)):
            left = await look(db, scaler) if scaler else len(await machines.alive(db))
            if left == 0:
                print("no machine is left; `mecapy fleet resume` allows new ones")
                return 0
            await asyncio.sleep(_LOOK_S)
    print(f"machines left: {'not known' if left is None else left}; see `mecapy fleet status`")
    return 1


async def _resume(settings: Settings) -> None:
    async with _opened(settings) as db:
        await machines.set_stopped(db, False)


async def _status(settings: Settings) -> None:
    async with _opened(settings) as db:
        fleet, rows = await machines.fleet_row(db), await machines.alive(db)
        loads, spent = await machines.loads(db), await costs.spent_today(db)
    print(f"stack {fleet.stack}{', stopped' if fleet.stopped else ''}; €{spent:.2f} today")
    for row in rows:
        why = f"  ({row.why})" if row.why else ""
        print(
            f"{row.id}  {row.machine_class:<12} {row.provider:<7} {row.state:<9} "
            f"{duration(row.age_s):>7}  {row.worker or row.handle}{why}"
        )
    if not rows:
        print("no machines")
    for name, load in loads.items():
        print(f"{name}: {load.queued} waiting, {load.queued_s:.0f} s of work")
