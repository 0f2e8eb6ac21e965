"""What breaks pages somebody, and stops when it is whole again: a real stack, Prometheus and
Alertmanager beside it, and a receiver.
"""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from ..faults.database import connected
from ..faults.processes import Process
from ..faults.promises import settle
from ..faults.stack import Stack
from ..faults.test_disk import mounted
from ..ports import free_port
from ..stack.running import until
from .actions import Operator, commands
from .conftest import listens
from .watch import MONITORING, WITHIN_S, Watch, watching


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """With one gateway. Not in pytest's own folder, whose path is too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder)) as stack:
            stack.gateway()
            yield stack


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Process:
    """It takes tasks, and its address answers."""
    port = free_port()
    started = stack.worker(WORKER_PORT=str(port))
    until(lambda: listens(port), WITHIN_S)
    return started


@pytest.fixture(scope="module")
def watch(
    stack: Stack, worker: Process, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watch]:
    targets = {
        "mecapy-gateway": [stack.of("gateway")[0].url.removeprefix("http://")],
        "mecapy-worker": [f"127.0.0.1:{worker.environment['MECAPY_WORKER_PORT']}"],
    }
    with watching(tmp_path_factory.mktemp("watch"), targets) as opened:
        yield opened


@pytest.fixture(scope="module")
def operator(stack: Stack, worker: Process) -> Operator:
    worker_url = f"http://127.0.0.1:{worker.environment['MECAPY_WORKER_PORT']}"
    return Operator(stack, stack.of("gateway")[0], worker_url)


def test_what_to_do_can_be_typed(operator: Operator) -> None:
    """Each command of docs/alerts.md runs as it stands there, beside a stack that is whole; those
    that the tests below type again beside a broken one show what the page says.
    """
    operator.types("mecapy user add NAME")
    said = {one: operator.types(one) for one in commands("")}
    assert len(said) >= 12, list(said)
    assert "max_queued=7" in operator.types("mecapy user limit ada max_queued=NUMBER")
    assert '"store"' in said["curl 'WORKER/readyz?verbose'"]
    assert "serves" in said["mecapy workers"]
    operator.types("mecapy user enable NAME")


def test_redis_is_killed(stack: Stack, watch: Watch, operator: Operator) -> None:
    """A page arrives, and its end when Redis is back, empty; a task then runs. Meanwhile the doctor
    names it.
    """
    with watch.paged("MecapyRedisDown"):
        stack.services.stop_valkey()
        watch.arrives("MecapyRedisDown")
        until(lambda: "Redis does not answer" in operator.types_all("MecapyRedisDown"))
        stack.services.start_valkey()
    stack.submit("6 * 7", 42)
    settle(stack)


@pytest.mark.long
def test_a_worker_is_gone(stack: Stack, worker: Process, watch: Watch, operator: Operator) -> None:
    """Its address does not answer, no worker is left, and its task's lease is overdue: each is
    told, and ends when a worker is started in its place, which runs the task. What has lost
    workers, and whose it is, can be seen meanwhile.
    """
    task = stack.submit("print('on', flush=True); import time; time.sleep(5); 1", 1)
    stack.until_running(task)
    with watch.paged("MecapyDown"), watch.paged("MecapyNoWorkers"):
        worker.kill()
        for alert in ("MecapyDown", "MecapyNoWorkers"):
            watch.arrives(alert)
        assert "no worker" in operator.types("mecapy workers")
        with pytest.raises(AssertionError, match="connect"):
            operator.types("curl -f WORKER/livez")
        stack.worker(WORKER_PORT=worker.environment["MECAPY_WORKER_PORT"])
    watch.arrives("MecapyWorkerLost", "ticket")
    stack.until_running(task)
    assert task.id in operator.types(commands("MecapyWorkersDie")[0])
    settle(stack)


@pytest.mark.long
def test_postgres_has_no_connection_left(stack: Stack, watch: Watch, operator: Operator) -> None:
    """Others take nearly all of its connections: a ticket, until they leave; it can be seen whose
    they are.
    """

    async def take() -> None:
        async with AsyncExitStack() as taken:
            for _ in range(88):
                connection = await connected(stack.services.sql_url)
                taken.push_async_callback(connection.close)
            await asyncio.to_thread(watch.arrives, "MecapyConnectionsShort", "ticket")
            said = await asyncio.to_thread(operator.types_all, "MecapyConnectionsShort")
            others = re.search(r"'postgres', 'application_name': '', 'count': (\d+)", said)
            assert others and int(others[1]) >= 88, said
            assert "'application_name': 'mecapy'" in said

    with watch.paged("MecapyConnectionsShort", "ticket"):
        asyncio.run(take())


@pytest.mark.long
def test_a_machine_is_past_its_hours(stack: Stack, watch: Watch, operator: Operator) -> None:
    """A machine that nobody stopped pages until it is gone; `mecapy fleet status` shows it."""
    with watch.paged("MecapyMachineOverdue"):
        stack.sql(
            "INSERT INTO machines (id, machine_class, provider, state, created_at) VALUES "
            "('m', 'pool', 'local', 'serving', now() - interval '25 hours')"
        )
        watch.arrives("MecapyMachineOverdue")
        assert "pool" in operator.types_all("MecapyMachineOverdue")
        stack.sql("UPDATE machines SET state = 'gone', ended_at = now() WHERE id = 'm'")


@pytest.mark.long
def test_a_disk_is_full(stack: Stack, tmp_path: Path) -> None:
    """The store takes nothing more: a page, until there is room again."""
    with mounted(stack.folder / "small", 80) as disk:
        gateway = stack.gateway(BLOB_URL=f"file://{disk}/blobs")
        with watching(tmp_path, {"mecapy-gateway": [gateway.url.removeprefix("http://")]}) as watch:
            watch.arrives("MecapyDiskFills", "ticket")
            with watch.paged("MecapyStoreDown"):
                (disk / "large").write_bytes(bytes(60_000_000))
                watch.arrives("MecapyStoreDown")
                said = Operator(stack, gateway).types_all("MecapyStoreDown")
                assert "make room" in json.loads(said)["advice"]["store"], said
                (disk / "large").unlink()
        stack.end(gateway)


@pytest.mark.long
def test_postgres_stops(stack: Stack, watch: Watch, operator: Operator) -> None:
    """A page for PostgreSQL, which is the cause, and which /readyz names with what to do; none for
    the gateway, which is not ready then.
    """
    before = len(watch.told)
    with watch.paged("MecapyPostgresDown"):
        stack.services.stop_postgres()
        watch.arrives("MecapyPostgresDown")
        assert (
            "PostgreSQL"
            in json.loads(operator.types_all("MecapyPostgresDown"))["advice"]["postgres"]
        )
        stack.services.start_postgres()
    assert ("page", "MecapyGatewayNotReady", "firing") not in watch.told[before:]


def test_every_panel_has_data(stack: Stack, watch: Watch) -> None:
    """Each expression of the dashboard, as Grafana asks it, beside a stack that runs tasks and
    refuses some; the committed file is what the code makes.
    """
    made: str = runpy.run_path(str(MONITORING / "dashboard.py"))["made"]()
    assert (MONITORING / "dashboard.json").read_text() == made
    lines = {
        target["expr"].replace("$__rate_interval", "1m")
        for panel in json.loads(made)["panels"]
        for target in panel.get("targets", ())
    }
    assert len(lines) > 30
    left = lines

    def all_there() -> bool:
        """Some are rates: something has to happen from one look of Prometheus to the next."""
        nonlocal left
        stack.final(stack.submit("6 * 7", 42))
        with stack.http() as http:
            assert http.post("/tasks", json={"nonsense": 1}).status_code == 422
        left = {one for one in left if not any(v["value"][1] != "NaN" for v in watch.values(one))}
        return not left

    with suppress(AssertionError):
        until(all_there, WITHIN_S)
    assert not left
    settle(stack)
