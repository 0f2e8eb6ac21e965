"""`mecapy doctor` and `/readyz` against real faults: each is named, with what to do, and gone when
the fault is.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import urllib3
from pydantic import SecretStr

from mecapy_backend.migrations import upgrade
from mecapy_backend.shared import health
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_backend.store.health_probes import known_schema
from mecapy_jupyter.shared.processes import mecapy_command

from ..conftest import TOKEN, served
from ..ports import free_port
from .running import environment, until

# A process whose clock is wrong, and whose version is another, from its first line on.
SHIFTED = """
import runpy, sys, time
real, ahead_s = time.time, float(sys.argv[1])
time.time = lambda: real() + ahead_s
import mecapy_jupyter.shared.version
mecapy_jupyter.shared.version.__version__ = "9.9.0"
sys.argv = sys.argv[2:]
runpy.run_module("mecapy_jupyter.cli", run_name="__main__", alter_sys=True)
"""


class Doctor:
    """`mecapy doctor` as a user runs it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def says(self) -> tuple[int, str]:
        asked = environment(MECAPY_URL=self.url, MECAPY_TOKEN=TOKEN)
        done = subprocess.run(
            mecapy_command("doctor"),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env=asked,
        )
        return done.returncode, done.stdout

    def finds(self, *words: str) -> None:
        """Returns when it says so: a busy machine may make it miss a part for once."""

        def found() -> bool:
            code, said = self.says()
            faults = [line for line in said.splitlines() if line.startswith("✖")]
            return code == 1 and any(all(word in line for word in words) for line in faults)

        until(found)

    def off_s(self, direction: str) -> int:
        """How wrong it finds a clock."""
        found = re.search(rf"(\d+) s {direction}", self.says()[1])
        assert found, self.says()
        return int(found[1])

    def ready(self) -> int:
        return urllib3.request("GET", f"{self.url}/readyz", retries=False, timeout=120).status

    def finds_part(self, name: str, status: int, word: str) -> None:
        """Returns when /readyz says that of a part."""

        def found() -> bool:
            at = f"{self.url}/readyz?verbose"
            answer = urllib3.request("GET", at, retries=False, timeout=120)
            return (answer.status, answer.json()["parts"][name]) == (status, word)

        until(found)


def settings_of(postgres: Any, valkey: Any, blob_url: str) -> Settings:
    return Settings(
        database_url=postgres.url, redis_url=valkey.url, blob_url=blob_url, token=SecretStr(TOKEN)
    )


def said_by_environment(settings: Settings, **more: str) -> dict[str, str]:
    names = ("database_url", "redis_url", "blob_url")
    ours = {f"MECAPY_{name.upper()}": str(getattr(settings, name)) for name in names}
    return environment(
        MECAPY_TOKEN=TOKEN, MECAPY_SANDBOX="best-effort", MECAPY_HEARTBEAT_S="0.3", **ours, **more
    )


@contextmanager
def process(*argv: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        started = subprocess.Popen(argv, env=env, stdout=out, stderr=out, cwd="/")
    try:
        yield started
    finally:
        started.terminate()
        started.wait(120)


async def _sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the health is never one of a moment ago."""
    monkeypatch.setattr(health, "CACHED_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_what_is_away(tmp_path: Path) -> None:
    """No worker, a schema too old, too new or missing, Redis gone, PostgreSQL gone: each has its
    line; /readyz is 503 where it must. A newer schema that serves this program is none of them.
    """
    with Postgres.start(tmp_path / "p") as postgres, Valkey.start(tmp_path / "v") as valkey:
        upgrade(postgres.url)
        with served(settings_of(postgres, valkey, f"file://{tmp_path}/blobs")) as gateway:
            doctor = Doctor(gateway.url)
            doctor.finds_part("postgres", 200, "ok")
            doctor.finds("no worker is alive", "mecapy worker")
            for version, serves, status, word in (
                ("0000", "0000", 503, "old"),
                ("9999", known_schema(), 200, "ok"),
                ("9999", "9999", 503, "new"),
            ):
                change = f"UPDATE alembic_version SET version_num = '{version}'"
                said = f"COMMENT ON TABLE alembic_version IS 'serves {serves}'"
                asyncio.run(_sql(postgres.url, f"{change}; {said}"))
                doctor.finds_part("schema", status, word)
                assert doctor.ready() == status
            doctor.finds("schema", "new", "serves programs that know 9999", "upgrade")
            known = f"UPDATE alembic_version SET version_num = '{known_schema()}'"
            asyncio.run(_sql(postgres.url, known))
            valkey.stop()
            doctor.finds_part("redis", 200, "away")
            assert doctor.ready() == 200
            doctor.finds("Redis", "away", "MECAPY_REDIS_URL")
            asyncio.run(_sql(postgres.url, "DROP TABLE alembic_version"))
            doctor.finds("schema", "old", "mecapy migrate")
            postgres.stop()
            doctor.finds_part("postgres", 503, "away")
            doctor.finds("PostgreSQL", "away", "MECAPY_DATABASE_URL")
    assert "no answer from the gateway" in doctor.says()[1]


@pytest.mark.usefixtures("at_once")
def test_object_store(postgres: Any, database_url: str, valkey: Any, tmp_path: Path) -> None:
    """A full disk, one mounted read-only, and an S3 that is not there are told apart; what was
    wrong is forgotten when it is right.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("needs a disk to fill: may not mount one here")
    try:
        settings = settings_of(postgres, valkey, f"file://{disk}/blobs").model_copy(
            update={"database_url": database_url}
        )
        with served(settings) as gateway:
            doctor = Doctor(gateway.url)
            doctor.finds_part("store", 200, "ok")
            (disk / "other").write_bytes(bytes(30_000_000))
            doctor.finds_part("store", 200, "full")  # nearly: 34 MB are left
            with pytest.raises(OSError, match="space"):
                (disk / "more").write_bytes(bytes(60_000_000))
            doctor.finds("object store", "full", "make room")
            (disk / "more").unlink()
            (disk / "other").unlink()
            doctor.finds_part("store", 200, "ok")
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            doctor.finds_part("store", 200, "read-only")
            doctor.finds("object store", "read-only", "cannot be written")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    nowhere = settings.model_copy(
        update={
            "blob_url": "s3://bucket/x",
            "s3_endpoint_url": "http://127.0.0.1:9",
            "cache_dir": f"{tmp_path}/c",
        }
    )
    with pytest.MonkeyPatch.context() as patch, served(nowhere) as gateway:
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        Doctor(gateway.url).finds_part("store", 200, "away")


@pytest.mark.long
def test_wrong_clock_and_version(
    postgres: Any, database_url: str, valkey: Any, tmp_path: Path
) -> None:
    """A worker whose clock is an hour ahead and whose version is another is named from far away,
    and so is a gateway's clock; the worker's own port says the same, and it goes on working.
    """
    settings = settings_of(postgres, valkey, f"file://{tmp_path}/blobs").model_copy(
        update={"database_url": database_url}
    )
    port, log = free_port(), tmp_path / "worker.log"
    shifted = (sys.executable, "-P", "-c", SHIFTED)
    env = said_by_environment(settings, MECAPY_WORKER_PORT=str(port))
    with (
        served(settings) as gateway,
        process(*shifted, "3600", "mecapy", "worker", env=env, log=log),
    ):
        doctor = Doctor(gateway.url)
        until(lambda: "ahead of" in doctor.says()[1], 240)
        doctor.finds("clock", " s ahead of PostgreSQL", "this host")
        assert abs(doctor.off_s("ahead of") - 3600) <= 5
        doctor.finds("is MecaPy 9.9.0, its gateway", "install the same")
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", timeout=120)
        assert (answer.status, answer.json()["parts"]["clock"]) == (200, "wrong")
        assert answer.json()["parts"]["children"] == "ok"
    elsewhere = free_port()
    with process(
        *shifted,
        "-3600",
        "mecapy",
        "gateway",
        "--port",
        str(elsewhere),
        env=env,
        log=tmp_path / "gateway.log",
    ):
        doctor = Doctor(f"http://127.0.0.1:{elsewhere}")
        until(lambda: "behind PostgreSQL" in doctor.says()[1], 240)
        assert abs(doctor.off_s("behind") - 3600) <= 5
        doctor.finds("the clock: wrong", "this host")
        doctor.finds("the gateway is MecaPy 9.9.0", "upgrade here")
        doctor.finds_part("clock", 200, "wrong")


def test_nothing_configured(tmp_path: Path) -> None:
    """With neither gateway nor stack, the doctor says how to get one."""
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith("MECAPY_")
    } | home
    done = subprocess.run(
        mecapy_command("doctor"),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=clean,
    )
    assert done.returncode == 1 and "mecapy up" in done.stdout
