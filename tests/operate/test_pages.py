"""What breaks pages somebody, and stops when it is whole again: a real stack, Prometheus and
Alertmanager beside it, and a receiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from ..faults.conftest import bare_stack, cluster
from ..faults.stack import Process, Stack
from ..faults.test_disk import mounted
from ..stack.test_doctor import free_port
from .watch import Watch, watching

__all__ = ["bare_stack", "cluster"]


@pytest.fixture(scope="module")
def worker(bare_stack: Stack) -> Process:
    return bare_stack.worker(WORKER_PORT=str(free_port()))


@pytest.fixture(scope="module")
def watch(
    bare_stack: Stack, worker: Process, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watch]:
    targets = {
        "mecapy-gateway": [bare_stack.of("gateway")[0].url.removeprefix("http://")],
        "mecapy-worker": [f"127.0.0.1:{worker.environment['MECAPY_WORKER_PORT']}"],
    }
    with watching(tmp_path_factory.mktemp("watch"), targets) as opened:
        yield opened


def test_redis_is_killed(bare_stack: Stack, watch: Watch) -> None:
    """A page arrives, and its end when Redis is back, empty; a task then runs."""
    with watch.paged("MecapyRedisDown"):
        bare_stack.stop_valkey()
        watch.arrives("MecapyRedisDown")
        bare_stack.start_valkey()
    bare_stack.submit("6 * 7", 42)
    bare_stack.settle()


@pytest.mark.long
def test_a_worker_is_gone(bare_stack: Stack, worker: Process, watch: Watch) -> None:
    """Its address does not answer, no worker is left, and its task's lease is overdue: each is
    told, and ends when a worker is started in its place, which runs the task.
    """
    task = bare_stack.submit("print('on', flush=True); import time; time.sleep(5); 1", 1)
    bare_stack.until_running(task)
    with watch.paged("MecapyDown"), watch.paged("MecapyNoWorkers"):
        worker.kill()
        for alert in ("MecapyDown", "MecapyNoWorkers"):
            watch.arrives(alert)
        bare_stack.worker(WORKER_PORT=worker.environment["MECAPY_WORKER_PORT"])
    watch.arrives("MecapyWorkerLost", "ticket")
    bare_stack.settle()


@pytest.mark.long
def test_postgres_has_no_connection_left(bare_stack: Stack, watch: Watch) -> None:
    """Others take nearly all of its connections: a ticket, until they leave."""

    async def take() -> None:
        async with AsyncExitStack() as taken:
            for _ in range(88):
                connection = await asyncpg.connect(bare_stack.sql_url)
                taken.push_async_callback(connection.close)
            await asyncio.to_thread(watch.arrives, "MecapyConnectionsShort", "ticket")

    with watch.paged("MecapyConnectionsShort", "ticket"):
        asyncio.run(take())


@pytest.mark.long
def test_a_machine_is_past_its_hours(bare_stack: Stack, watch: Watch) -> None:
    """A machine that nobody stopped pages until it is gone."""
    with watch.paged("MecapyMachineOverdue"):
        bare_stack.sql(
            "INSERT INTO machines (id, machine_class, provider, state, created_at) VALUES "
            "('m', 'pool', 'local', 'serving', now() - interval '25 hours')"
        )
        watch.arrives("MecapyMachineOverdue")
        bare_stack.sql("UPDATE machines SET state = 'gone', ended_at = now() WHERE id = 'm'")


@pytest.mark.long
def test_a_disk_is_full(bare_stack: Stack, tmp_path: Path) -> None:
    """The store takes nothing more: a page, until there is room again."""
    with mounted(bare_stack.folder / "small", 80) as disk:
        gateway = bare_stack.gateway(BLOB_URL=f"file://{disk}/blobs")
        with watching(tmp_path, {"mecapy-gateway": [gateway.url.removeprefix("http://")]}) as watch:
            watch.arrives("MecapyDiskFills", "ticket")
            with watch.paged("MecapyStoreDown"):
                (disk / "large").write_bytes(bytes(60_000_000))
                watch.arrives("MecapyStoreDown")
                (disk / "large").unlink()
        bare_stack.end(gateway)


@pytest.mark.long
def test_postgres_stops(bare_stack: Stack, watch: Watch) -> None:
    """A page for PostgreSQL, which is the cause; none for the gateway, which is not ready then."""
    before = len(watch.told)
    with watch.paged("MecapyPostgresDown"):
        bare_stack.stop_postgres()
        watch.arrives("MecapyPostgresDown")
        bare_stack.start_postgres()
    assert ("page", "MecapyGatewayNotReady", "firing") not in watch.told[before:]
