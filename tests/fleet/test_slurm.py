"""Workers as jobs of a real Slurm: none, two, none; and what Slurm refuses."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.slurm import SlurmProvider
from mecapy_backend.store import machines

from ..conftest import RunningGateway
from ..gate import Gate
from . import slurm_cluster
from .test_local_fleet import scaling, serving, settings_of

pytestmark = pytest.mark.skipif(bool(slurm_cluster.missing()), reason=slurm_cluster.missing())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """Not in pytest's own folder: munge refuses a socket below one that others may write."""
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-slurm-", dir="/run") as folder,
        slurm_cluster.running(Path(folder)) as config,
    ):
        yield config


@pytest.fixture
def slurm(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster))


def asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("slurm")
async def test_none_two_none(gateway: RunningGateway, db: Any, tmp_path: Path, gate: Gate) -> None:
    """Tasks for a class of Slurm's start two jobs, end well, and no job is left; a job that is told
    to stop gives its task back, and another ends it.
    """
    pool = MachineClass("pool", cpus=1, provider="slurm", max=2, boot_s=120)
    headers = {"Authorization": f"Bearer {gateway.token}"}
    provider = SlurmProvider(
        settings_of(gateway, tmp_path / "work") | {"MECAPY_GRACE_S": "0.5"}, tmp_path / "slurm"
    )
    async with (
        scaling(gateway, db, tmp_path / "work", pool, provider=provider) as until,
        httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client,
    ):

        async def two() -> bool:
            return await serving(db) == 2

        async def all_final() -> bool:
            found = (await client.get("/tasks")).json()["tasks"]
            return {task["status"] for task in found} == {"completed"}

        async def none() -> bool:
            return not await machines.alive(db)

        async def given_back() -> bool:
            return row.id not in [one.id for one in await machines.alive(db)]

        for number in range(4):
            body = {"code": f"{gate.wait}{number}", "timeout": 600}
            (await client.post("/tasks", json=body)).raise_for_status()
        await until(two, "two jobs")
        row = (await machines.alive(db))[0]
        await asyncio.to_thread(asked, "scancel", "--signal=TERM", "--batch", row.handle)
        await until(given_back, "the job that was told to stop has ended")
        gate.open()
        await until(all_final, "the tasks")
        await until(none, "no job left")
    assert await asyncio.to_thread(asked, "squeue", "--noheader") == ""


@pytest.mark.long
@pytest.mark.usefixtures("slurm")
async def test_drained_before_its_time_limit(
    gateway: RunningGateway, db: Any, tmp_path: Path
) -> None:
    """Slurm's own signal, a minute before a job's limit of three: its task goes back to the queue
    and on in another job, long before the worker or the scaler would have ended it.
    """
    pool = MachineClass("pool", cpus=1, provider="slurm", max=2, boot_s=120, hours=3 / 60)
    headers = {"Authorization": f"Bearer {gateway.token}"}
    settings = settings_of(gateway, tmp_path / "work") | {"MECAPY_GRACE_S": "0.5"}
    provider = SlurmProvider(settings, tmp_path / "slurm", drain_s=60)
    async with (
        scaling(gateway, db, tmp_path / "work", pool, provider=provider) as until,
        httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client,
    ):
        body = {"code": "import time; time.sleep(3000)", "timeout": 6000}
        task_id = (await client.post("/tasks", json=body)).json()["task_id"]

        async def task() -> Any:
            return (await client.get(f"/tasks/{task_id}")).json()

        async def goes_on() -> bool:
            found = await task()
            return found["status"] == "running" and found["attempts"] == 2

        await until(goes_on, "the second attempt")
        first, second = (await task())["history"]
        assert first["why"] == "worker_left"
        assert first["worker"] != second["worker"]
        began, ended = (datetime.fromisoformat(first[name]) for name in ("started_at", "ended_at"))
        assert (ended - began).total_seconds() < 150
        (await client.post(f"/tasks/{task_id}/cancel")).raise_for_status()


@pytest.mark.usefixtures("slurm")
def test_nothing_secret_in_slurm(tmp_path: Path) -> None:
    """What a worker knows stands in a file of its user's alone, and not in the job."""
    settings = dict(os.environ) | {"MECAPY_DATABASE_URL": "postgresql://u:geheim@nowhere/x"}
    sleeps = ("/bin/sh", "-c", "exec sleep 300")
    provider = SlurmProvider(settings, tmp_path / "slurm", sleeps)
    tag = Tag("aaa", "bbb")
    job = provider.start(tag, MachineClass("pool", provider="slurm", max=1))
    try:
        shown = asked("scontrol", "show", "job", job)
        kept = asked("scontrol", "write", "batch_script", job, "-")
        assert f"JobName={tag}" in shown
        assert "geheim" not in shown and "geheim" not in kept
        secrets = tmp_path / "slurm" / f"{tag}.env"
        assert "geheim" in secrets.read_text()
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        assert provider.list("aaa") == {"bbb": job} and provider.list("other") == {}
    finally:
        provider.stop(job, tag)
    assert provider.list("aaa") == {}
    assert not secrets.exists()


@pytest.mark.usefixtures("slurm")
def test_a_partition_that_does_not_exist(tmp_path: Path) -> None:
    """Slurm's own words, as the reason of a refusal."""
    provider = SlurmProvider(dict(os.environ), tmp_path / "slurm")
    nowhere = MachineClass("pool", provider="slurm", max=1, partition="nowhere")
    with pytest.raises(ProviderRefused, match="invalid partition"):
        provider.start(Tag("aaa", "ccc"), nowhere)


def test_no_slurm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sbatch the refusal says where to run it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderRefused, match="on a login node"):
        SlurmProvider({}, tmp_path / "slurm").list("aaa")
