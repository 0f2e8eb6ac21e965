"""A worker for each test: the real consumer, store, queue and confined children; only the zygote is
shared by the whole run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from resource import RLIMIT_NOFILE, setrlimit
from typing import Any

import psutil
import pytest
import pytest_asyncio

pytest.importorskip(
    "mecapy_backend.store.tasks",
    reason="needs the server parts (pip install 'mecapy-jupyter[local]')",
)

from mecapy_backend.queue import queue as queues
from mecapy_backend.shared import logs
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database, tasks
from mecapy_backend.store.blobs import blob_store
from mecapy_backend.store.log import events
from mecapy_jupyter import wire
from mecapy_worker import main
from mecapy_worker.context import Context
from mecapy_worker.packages.environments import Environments
from mecapy_worker.pool.pool import Pool
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.run.run_task import run_task
from mecapy_worker.upkeep import reconciler

from ..outside import leader_in

OWNER = "ann"
LIMIT_S = 180.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for this folder: the pool lives in it."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Desk:
    """What a client and an operator would do, without HTTP."""

    def __init__(self, settings: Settings, db: Any, queue: queues.Queue, store: Any) -> None:
        self.settings, self.db, self.queue, self.blobs = settings, db, queue, store

    async def submit(self, code: str, *, enqueue: bool = True, **more: Any) -> str:
        request = wire.TaskRequest(code, **more)
        task_id = (await tasks.submit(self.db, OWNER, request.as_json())).task_id
        if enqueue:
            await self.queue.enqueue(task_id, OWNER, request.priority)
        return task_id

    async def until(self, task_id: str, *kinds: str, text: str = "") -> list[wire.Event]:
        """The task's events up to the first of a kind (that says `text`), waiting for it."""
        seen: list[wire.Event] = []
        async with asyncio.timeout(LIMIT_S):
            while True:
                for event in await events.read(
                    self.queue, task_id, seen[-1].id if seen else events.START, block_ms=1000
                ):
                    seen.append(event)
                    if event.type in kinds and text in str(event.data.get("text", "")):
                        return seen

    async def outcome(self, task_id: str) -> wire.Outcome:
        return wire.Outcome.from_json((await self.until(task_id, *wire.FINAL))[-1].data)

    async def run(self, code: str, **more: Any) -> wire.Outcome:
        return await self.outcome(await self.submit(code, **more))

    async def failed(self, code: str, **more: Any) -> wire.ErrorInfo:
        outcome = await self.run(code, **more)
        assert outcome.state == "failed" and outcome.error, outcome
        return outcome.error

    async def state(self, task_id: str) -> str:
        task = await tasks.get(self.db, OWNER, task_id)
        return task.state if task else "gone"

    async def eventually(self, true: Callable[[], Awaitable[Any]]) -> Any:
        """Ask the store until the answer is yes; that answer."""
        async with asyncio.timeout(LIMIT_S):
            while not (answer := await true()):  # noqa: ASYNC110  (a row sends no event)
                await asyncio.sleep(0.02)
            return answer

    async def row(self, task_id: str) -> tasks.TaskRow:
        task = await tasks.get(self.db, OWNER, task_id)
        assert task
        return task

    async def pid(self, task_id: str) -> int:
        """The process of a running task, which printed where it is: `print('pid', os.getcwd())`."""
        async with asyncio.timeout(LIMIT_S):
            seen = await self.until(task_id, "stdout")
            while not (found := re.search(r"pid (.+)\n", text_of(seen))):
                seen += await events.read(self.queue, task_id, seen[-1].id, block_ms=1000)
            return leader_in(found[1])


def text_of(seen: list[wire.Event], kind: str = "stdout") -> str:
    return "".join(event.data["text"] for event in seen if event.type == kind)


async def content(desk: Desk, digest: str) -> bytes:
    """The bytes of a blob."""
    with os.fdopen(await desk.blobs.open(OWNER, digest), "rb") as file:
        return file.read()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(  # pyright: ignore[reportCallIssue]
        database_url=database_url, redis_url=redis_url, blob_url=f"file://{tmp_path}/blobs",
        sandbox="best-effort", preload=(),
        lease_s=60.0, heartbeat_s=0.2, grace_s=0.3,
        max_output_bytes=20_000_000, max_result_bytes=50_000_000, max_memory_bytes=1_000_000_000,
        max_disk_bytes=200_000_000,
    )  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    db, queue = (
        database.connect(settings.database_url, connect_s=60),
        queues.connect(settings.redis_url),
    )
    yield Desk(settings, db, queue, blob_store.open_store(settings.blob_url))
    await queue.aclose(close_connection_pool=True)
    await db.dispose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """One zygote for the folder; every task still gets a child of its own."""
    logs.configure("console")
    reconciler.LOOK_S = 0.2
    settings = Settings(  # pyright: ignore[reportCallIssue]
        sandbox="best-effort",
        preload=(),
        worker_slots=2,
        max_memory_bytes=1_000_000_000,
        max_disk_bytes=200_000_000,
    )
    async with Pool(
        main.pool_options(settings, tmp_path_factory.mktemp("scratch"), "mecapy_worker.child.child")
    ) as opened:
        yield opened


@asynccontextmanager
async def working(
    desk: Desk,
    pool: Pool,
    folder: Path | None = None,
    environments: Environments | None = None,
    idle_s: float = 0.0,
    **changes: Any,
) -> AsyncIterator[Consumer]:
    """A worker in this process, with the loops beside it; stopped and drained at the end."""
    settings = desk.settings.model_copy(update=changes)
    scratch = (folder or Path(desk.settings.blob_url.removeprefix("file://")).parent) / "spool"
    scratch.mkdir(exist_ok=True)
    context = Context(
        main.worker_id(),
        settings,
        desk.db,
        desk.queue,
        desk.blobs,
        pool,
        scratch,
        environments=environments,
    )
    consumer = Consumer(context, run_task, grace_s=settings.grace_s, handle_signals=False)
    async with asyncio.TaskGroup() as group:
        group.create_task(main.work(consumer, idle_s=idle_s))
        yield consumer
        consumer.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def worker(desk: Desk, pool: Pool) -> AsyncIterator[Consumer]:
    async with working(desk, pool) as consumer:
        yield consumer


class Process:
    """`python -m mecapy_worker.main`, as an operator runs it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings, self.log = settings, log
        self.process: asyncio.subprocess.Process

    async def start(
        self, python: str = sys.executable, open_files: tuple[int, int] | None = None
    ) -> Process:
        """`open_files`: the soft and the hard limit that it begins with."""
        names = (
            "database_url",
            "redis_url",
            "blob_url",
            "sandbox",
            "lease_s",
            "heartbeat_s",
            "grace_s",
        )
        said = {f"MECAPY_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                python,
                "-m",
                "mecapy_worker.main",
                env=os.environ | said | {"MECAPY_PRELOAD": ""},
                stdout=log,
                stderr=log,
                preexec_fn=open_files and partial(setrlimit, RLIMIT_NOFILE, open_files),
            )
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within_s: float = LIMIT_S) -> int:
        return await asyncio.wait_for(self.process.wait(), within_s)

    def offspring(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest_asyncio.fixture(loop_scope="session")
async def start_worker(settings: Settings, tmp_path: Path) -> AsyncIterator[Any]:
    """Starts worker processes; those still alive at the end are killed."""
    started: list[Process] = []

    async def start(open_files: tuple[int, int] | None = None, **changes: Any) -> Process:
        process = Process(
            settings.model_copy(update=changes), tmp_path / f"worker{len(started)}.log"
        )
        started.append(process)
        return await process.start(open_files=open_files)

    yield start
    offspring: list[psutil.Process] = []
    for one in started:
        if one.process.returncode is None:
            with contextlib.suppress(psutil.NoSuchProcess):  # the test killed it
                offspring = one.offspring()
            with contextlib.suppress(ProcessLookupError):
                one.process.kill()
            await one.process.wait()
            psutil.wait_procs(offspring, timeout=5)


def gone(pid: int, within_s: float = LIMIT_S) -> bool:
    """Whether a process ends within a time. Polls, for nobody tells the death of a stranger's
    child.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not psutil.pid_exists(pid):
            return True
        time.sleep(0.005)
    return False
