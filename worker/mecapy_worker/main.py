"""The worker's process: opens its resources, runs the consumer and the loops beside it, closes all
in reverse. Started by `mecapy worker` (`serve`) or `python -m mecapy_worker.main`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from mecapy_backend.queue import queue
from mecapy_backend.queue.health_probe import refuse_cluster
from mecapy_backend.shared import logs, telemetry
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database, workers
from mecapy_backend.store.blobs import blob_store
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.shared.version import __version__
from mecapy_jupyter.wire import ConfinementInfo, JsonObject, WorkerInfo
from mecapy_worker.context import Context
from mecapy_worker.egress import rules
from mecapy_worker.log import log
from mecapy_worker.packages.environments import Environments
from mecapy_worker.pool import machine_memory
from mecapy_worker.pool.gpus import usable
from mecapy_worker.pool.pool import Pool, PoolOptions, TooWeak
from mecapy_worker.retry import is_transient
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.run.run_task import run_task
from mecapy_worker.upkeep import health, health_server, hide_secrets, installed_packages
from mecapy_worker.upkeep.lease import listen, renew, tell_usage
from mecapy_worker.upkeep.reconciler import reconcile

_GOODBYE_S = 2.0
_LOOK_S = 1.0  # whether it is idle
_CONNECTIONS = 4  # to PostgreSQL


def serve(
    settings: Settings | None = None, tag: str = "", hours: float = 0.0, idle_s: float = 0.0
) -> None:
    """Run a worker until SIGTERM or SIGINT. If it must not serve, it ends with the reason. `tag`:
    of the fleet's machine that it is; `hours`: it leaves after so long, `idle_s`: after so long
    without a task; 0: never.
    """
    settings = settings or Settings()
    hide_secrets.hide()
    allow_files()
    logs.configure(settings.log_format, "worker")
    telemetry.configure(settings.otlp_endpoint, "worker")
    try:
        import uvloop
    except ImportError:
        start = asyncio.run
    else:
        start = uvloop.run
    try:
        start(run(settings, tag=tag, hours=hours, idle_s=idle_s))
    except (TooWeak, rules.BadRule) as why:
        raise SystemExit(f"mecapy worker: {why}") from None
    finally:
        telemetry.close()


def allow_files() -> None:
    """Raise the limit of open files to the maximum, because each large buffer of a task's inputs is
    one. Children have their own limit.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):  # macOS says it has no limit, and refuses that
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(
    settings: Settings,
    *,
    child_module: str = "mecapy_worker.child.child",
    handle_signals: bool = True,
    tag: str = "",
    hours: float = 0.0,
    idle_s: float = 0.0,
) -> None:
    async with opened(settings, child_module) as context:
        consumer = Consumer(
            context, run_task, grace_s=settings.grace_s, handle_signals=handle_signals
        )
        await work(consumer, tag, hours, idle_s)


async def work(consumer: Consumer, tag: str = "", hours: float = 0.0, idle_s: float = 0.0) -> None:
    """The consumer and the loops beside it, until the consumer is stopped."""
    context = consumer.context
    state, about = health.of(context), describe(context, tag.rpartition("-")[2])
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(renew(context, about)),
            group.create_task(health.watch(state, about)),
            group.create_task(health_server.serve(context, state)),
            group.create_task(listen(context)),
            group.create_task(reconcile(context)),
            group.create_task(installed_packages.tell(context)),
            group.create_task(_drain_when_leaving(consumer)),
        ]
        if hours:
            beside.append(group.create_task(_leave_after(consumer, hours)))
        if idle_s:
            beside.append(group.create_task(_leave_when_idle(consumer, idle_s)))
        log.info("ready", worker=context.worker_id, slots=consumer.max_jobs)
        if (report := context.pool.report).level != "strict":
            log.warning("tasks are not fully confined", level=report.level, why=report.lacking())
        await consumer.async_run()
        await _end(beside)
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await tell_usage(context)
            await workers.remove(context.db, context.worker_id)
    except Exception as error:
        if not is_transient(error):
            raise
    log.info("stopped", worker=context.worker_id)


async def _leave_after(consumer: Consumer, hours: float) -> None:
    """The last of three ways in which a machine ends: it works even if nobody else stops the
    machine.
    """
    await asyncio.sleep(hours * 3600)
    log.warning("leaves", why="its hours are over", hours=hours)
    consumer.handle_sig(signal.SIGTERM)


async def _drain_when_leaving(consumer: Consumer) -> None:
    """While its last tasks end, neither estimates nor the scaler count on it."""
    await consumer.leaving.wait()
    while True:
        try:
            await workers.drain(consumer.context.db, consumer.context.worker_id, draining=True)
            return
        except Exception as error:
            if not is_transient(error):
                raise
            await asyncio.sleep(_LOOK_S)


async def _leave_when_idle(consumer: Consumer, idle_s: float) -> None:
    """Ends a worker that a job engine has started for waiting tasks, once no more come."""
    busy_s = time.monotonic()
    while time.monotonic() - busy_s < idle_s:
        await asyncio.sleep(min(_LOOK_S, idle_s))
        if consumer.busy:
            busy_s = time.monotonic()
    log.info("leaves", why="no task came", idle_s=idle_s)
    consumer.leave()


async def _end(loops: Collection[asyncio.Task[None]]) -> None:
    """Cancel them repeatedly, because a library may swallow a cancel, and they run forever."""
    while loops:
        for task in loops:
            task.cancel()
        _, loops = await asyncio.wait(loops, timeout=1)


@asynccontextmanager
async def opened(
    settings: Settings, child_module: str = "mecapy_worker.child.child"
) -> AsyncGenerator[Context]:
    """The resources of a worker, with its working folder."""
    allowed = rules.of(settings)
    memory_bytes = settings.max_memory_bytes or machine_memory.of_a_task(settings.worker_slots)
    settings = settings.model_copy(update={"max_memory_bytes": memory_bytes})
    await refuse_cluster(settings.redis_url)
    async with AsyncExitStack() as stack:
        scratch = scratch_folder()
        db = database.connect(
            settings.database_url,
            connections=settings.database_connections or _CONNECTIONS,
            pooler=settings.database_pooler,
        )
        stack.push_async_callback(db.dispose)
        express = queue.connect(settings.redis_url)
        stack.push_async_callback(express.aclose, close_connection_pool=True)
        store = blob_store.configured(settings)
        added = None if settings.packages == "off" else Environments(settings, packages(settings))
        options = pool_options(settings, scratch, child_module, added)
        pool = await stack.enter_async_context(Pool(options))
        yield Context(
            worker_id(),
            settings,
            db,
            express,
            store,
            pool,
            spool_folder(scratch, settings.max_timeout_s),
            allowed,
            added,
        )


def pool_options(
    settings: Settings, scratch: Path, child_module: str, added: Environments | None = None
) -> PoolOptions:
    gpus = usable(settings.worker_slots) if settings.gpus == "all" else ()
    return PoolOptions(
        # so that the next short task finds a child while the successor of the last one is forked;
        # one with a GPU is forked for its task
        spares=1 + (0 if gpus else settings.worker_slots),
        preload=settings.preload,
        sandbox=settings.sandbox,
        scratch=scratch,
        memory_bytes=settings.max_memory_bytes,
        disk_bytes=settings.max_disk_bytes,
        child_module=child_module,
        egress=bool(settings.egress) and sys.platform == "linux",
        environments=added.root if added else None,
        gpus=gpus,
    )


def scratch_folder() -> Path:
    """Shared by all workers of this user, so that each removes what a crashed one left. Children
    pass through it.
    """
    folder = Path(tempfile.gettempdir()) / f"mecapy-worker-{os.geteuid()}"
    try:
        return own_folder(folder, 0o711, setting="TMPDIR")
    except ConfigError as taken:
        log.warning("another folder to work in", why=str(taken))
        return own_folder(Path(tempfile.mkdtemp(prefix="mecapy-worker-")), 0o711, setting="TMPDIR")


def packages(settings: Settings) -> Path:
    """The folder of what tasks add; children pass through it."""
    usual = Path(tempfile.gettempdir()) / f"mecapy-packages-{os.geteuid()}"
    return own_folder(Path(settings.packages_dir or usual), 0o711, setting="MECAPY_PACKAGES_DIR")


def spool_folder(scratch: Path, longest_task_s: float) -> Path:
    """The folder of long logs, without those of tasks that can no longer run."""
    folder = own_folder(scratch / "logs", setting="TMPDIR")
    for left in folder.glob("*.log"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - 2 * longest_task_s:
                left.unlink()
    return folder


def worker_id() -> str:
    """Different for every process, so that a successor never renews its predecessor's leases."""
    return f"{platform.node() or 'worker'}-{os.getpid()}-{secrets.token_hex(3)}"


def describe(context: Context, machine: str = "") -> JsonObject:
    """The worker's entry in `GET /workers`."""
    report = context.pool.report
    network = tuple(str(rule) for rule in context.egress.rules)
    return WorkerInfo(
        host=platform.node(),
        pid=os.getpid(),
        version=__version__,
        slots=context.settings.worker_slots,
        python=report.python,
        packages=report.packages,
        network=None if "network" in report.through else network,
        confinement=ConfinementInfo(
            report.level, report.layers, report.missing, report.through, report.landlock
        ),
        machine=machine,
        machine_class=context.settings.machine_class,
        cpus=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 0,
        memory_bytes=context.settings.max_memory_bytes,
    ).as_json()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve()
