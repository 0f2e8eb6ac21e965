"""Machines at Scaleway as a person meets them: the commands of docs/fleet.md as they stand there,
and a cell with a machine of its own. The Scaleway is a fake one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.fleet.scaleway_vm import ScalewayVmProvider
from mecapy_backend.queue import queue
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from notebooks.run_demo import without_mecapy

from .. import weed
from ..conftest import TOKEN, execute, served
from ..gate import Gate
from ..house.tracked import ROOT
from ..magic.conftest import started
from ..stack.running import until
from .fake_scaleway import KEYS, ZONES, FakeScaleway
from .test_local_fleet import PATIENCE_S, POLICY
from .test_scaleway import NOTHING
from .test_slurm_commands import Shell, documented, filled

FILE = """budget = 1

[large]
provider = "scaleway-vm"
cpus = 4
types = ["DEV1-M"]
zones = ["fr-par-1"]
image = "mecapy-worker"
price_per_hour = 0.04
max = 1
boot_s = 200
"""
WORKERS = {"MECAPY_SANDBOX": "best-effort", "MECAPY_PRELOAD": "", "MECAPY_HEARTBEAT_S": "0.5"}


@pytest.mark.usefixtures("db")
def test_a_machine_for_a_cell(
    database_url: str,
    redis_url: str,
    gate: Gate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cell that asks for a machine gets one that is made for it; what it prints is seen while it
    runs; then the machine is gone. Once the day's budget is spent, none is made, and the task says
    why it waits.
    """
    file = tmp_path / "machines.toml"
    file.write_text(FILE)
    settings = Settings(
        database_url=database_url, redis_url=redis_url, blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN), machines=str(file),
    )  # fmt: skip
    fake, live = FakeScaleway(tmp_path), list[str]()
    with fake.serving() as url, served(settings) as gateway:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        of_kernel = {"MECAPY_URL": gateway.url, "MECAPY_TOKEN": TOKEN}
        of_kernel |= {"XDG_STATE_HOME": str(tmp_path)}
        headers = {"Authorization": f"Bearer {TOKEN}"}

        def hook(message: dict[str, Any]) -> None:
            live.append(str(message["content"].get("text", "")))
            if "before" in live[-1] and fake.servers:
                gate.open()

        with (
            started(without_mecapy() | of_kernel, tmp_path) as kernel,
            scaling(settings, gateway.url),
            httpx.Client(base_url=gateway.url, headers=headers, timeout=60) as client,
        ):
            kernel.run("%load_ext mecapy_jupyter")
            cell = f"%%mecapy --machine large\nprint('before')\n{gate.wait}print('after')"
            kernel.client.execute_interactive(
                cell, output_hook=hook, allow_stdin=False, timeout=PATIENCE_S
            )
            assert "after" in "".join(live) and fake.made == 1
            until(lambda: not client.get("/machines").json()["machines"], PATIENCE_S)
            assert fake.left() == NOTHING
            asyncio.run(execute(database_url, "UPDATE machines SET price = 1e6, billing_s = 3600"))
            kernel.run("%%mecapy --machine large --bg --as job\nprint(6 * 7)")
            row = until(lambda: _waits(client), PATIENCE_S)
            assert "the day's budget is spent" in row["why_there"]
            assert fake.made == 1


def _waits(client: httpx.Client) -> dict[str, Any] | None:
    queued = client.get("/tasks?state=queued").json()["tasks"]
    row = client.get(f"/tasks/{queued[0]['task_id']}").json() if queued else None
    return row if row and "budget" in row["why_there"] else None


@contextmanager
def scaling(settings: Settings, gateway_url: str) -> Iterator[None]:
    """In a thread, because the kernel's client blocks."""
    over, file = threading.Event(), classes.read(settings.machines)

    async def looks() -> None:
        db, redis = database.connect(settings.database_url), queue.connect(settings.redis_url)
        provider = ScalewayVmProvider(ZONES[:1], gateway_url, WORKERS, look_s=0.1)
        known, credentials = {"scaleway-vm": provider}, MachineCredentials(db, redis)
        scaler = Scaler(db, file.classes, known, file.budget, POLICY, credentials)
        try:
            while not over.is_set():
                await scaler.look()
                await asyncio.sleep(0.2)
            await scaler.end()
        finally:
            await redis.aclose(close_connection_pool=True)
            await db.dispose()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(asyncio.run, looks())
        try:
            yield
        finally:
            over.set()
            ended.result(PATIENCE_S)


@pytest.mark.long
def test_ten_commands(database_url: str, redis_url: str, s3_url: str, tmp_path: Path) -> None:
    """From an empty account to the first task on a machine that was made for it; with the last
    machine all is gone.
    """
    home, programs = tmp_path / "home", tmp_path / "programs"
    for folder in (home, programs):
        folder.mkdir(mode=0o711)
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o111)
    told = tmp_path / "told"
    (programs / "docker").write_text(f'#!/bin/sh\necho "$1" >>{told}\n')
    (programs / "docker").chmod(0o755)
    servers = tmp_path / "servers"
    servers.mkdir()
    fake = FakeScaleway(servers)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    with fake.serving() as url:
        shell = Shell(
            {name: one for name, one in os.environ.items() if not name.startswith("MECAPY_")}
            | WORKERS
            | {"HOME": str(home), "PATH": path, "SCW_API_URL": url}
        )
        values = KEYS | weed.KEYS | {
            "MECAPY_DATABASE_URL": database_url,
            "MECAPY_REDIS_URL": redis_url,
            "MECAPY_BLOB_URL": f"s3://blobs/{tmp_path.name}",
            "MECAPY_S3_ENDPOINT_URL": s3_url,
            "MECAPY_TOKEN": TOKEN,
        }  # fmt: skip
        try:
            _typed(shell, values, fake, home)
        finally:
            shell.close()
        assert told.read_text().split() == ["login", "version", "build", "push"]


def _typed(shell: Shell, values: dict[str, str], fake: FakeScaleway, home: Path) -> None:
    settings = Settings(
        database_url=values["MECAPY_DATABASE_URL"],
        redis_url=values["MECAPY_REDIS_URL"],
        blob_url=values["MECAPY_BLOB_URL"],
        s3_endpoint_url=values["MECAPY_S3_ENDPOINT_URL"],
        cache_dir=str(home / "cache"),
        token=SecretStr(TOKEN),
    )
    commands = documented("At Scaleway")
    first = next(number for number, one in enumerate(commands) if "MECAPY_URL" in one)
    shell.says(f"cd {ROOT}")
    said = [shell.says(filled(one, values)) for one in commands[:first]]
    assert "always 0 machines, and up to 10 while tasks wait" in said[-1]
    with served(settings.model_copy(update={"machines": str(home / "machines.toml")})) as gateway:
        values["MECAPY_URL"] = gateway.url
        said = [shell.says(filled(one, values)) for one in commands[first:]]
        assert said[-1].splitlines()[-1:] == ["42"], said[-1]
        assert fake.made == 1
        assert "no machine is left" in shell.says("mecapy fleet stop")
        assert fake.left() == NOTHING
