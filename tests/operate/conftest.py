"""Services as an operator has them: PostgreSQL behind PgBouncer, Redis of the distribution."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mecapy_backend.migrations import upgrade
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres

from ..conftest import TOKEN
from ..ports import free_port
from ..stack.running import until


def program(name: str) -> str:
    """Where a program of the distribution is; what needs it is skipped where it is missing."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return found or pytest.skip(f"needs {name} (apt-get install {name})")


@contextmanager
def running(*argv: str, log: Path, user: int | None = None) -> Generator[subprocess.Popen[bytes]]:
    """A program for the length of the block."""
    with log.open("ab") as out:
        started = subprocess.Popen(argv, stdout=out, stderr=out, cwd="/", user=user)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(240)


def listens(port: int) -> bool:
    with socket.socket() as end:
        return end.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """That other users can enter, with a short path: sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="mecapy-operate-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def bare_postgres(open_folder: Path) -> Iterator[Postgres]:
    """A server of this test's own, without tables."""
    with Postgres.start(open_folder / "p") as server:
        yield server


@pytest.fixture
def own_postgres(bare_postgres: Postgres) -> Postgres:
    """The same, migrated."""
    upgrade(bare_postgres.url)
    return bare_postgres


@pytest.fixture
def settings(own_postgres: Postgres, redis_url: str, tmp_path: Path) -> Settings:
    given: Any = {"token": TOKEN, "blob_url": f"file://{tmp_path}/blobs"}
    return Settings(database_url=own_postgres.url, redis_url=redis_url, **given)


@pytest.fixture
def pgbouncer(own_postgres: Postgres, open_folder: Path) -> Iterator[str]:
    """The URL of that server through a real PgBouncer in transaction mode, which has two
    connections for everybody.
    """
    from mecapy_backend.store.database import driver_url

    at, port = driver_url(own_postgres.url), free_port()
    sockets = Path(str(at.query["host"]))
    for above in (sockets, *sockets.parents):
        if above.is_relative_to(open_folder):
            above.chmod(0o755)
    folder = open_folder / "pgbouncer"
    folder.mkdir()
    folder.chmod(0o777)
    (users := folder / "users").write_text(f'"{at.username}" "{at.password}"\n')
    (config := folder / "config").write_text(
        f"[databases]\n* = host={sockets}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    for path in (users, config):
        path.chmod(0o644)
    user = None if os.geteuid() else 65534  # it refuses to run as root
    with running(program("pgbouncer"), str(config), log=folder / "log", user=user):
        until(lambda: listens(port), 240)
        yield (
            at.set(drivername="postgresql", host="127.0.0.1", port=port)
            .difference_update_query(["host"])
            .render_as_string(hide_password=False)
        )
