"""Serverless Jobs at Scaleway, against a fake of the API that a table of recorded answers holds to
its shape.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.fleet.scaleway_job import ScalewayJobProvider
from mecapy_backend.store import machines
from mecapy_jupyter.shared.errors import ConfigError

from ..conftest import RunningGateway
from .fake_scaleway import KEYS
from .fake_scaleway_http import Fault
from .fake_scaleway_jobs import READ, RUN, FakeScalewayJobs
from .test_local_fleet import PATIENCE_S, POLICY, settings_of

REGIONS = ("fr-par", "nl-ams")
LONG = MachineClass(
    "long", cpus=4, memory_bytes=8 << 30, provider="scaleway-job", max=2, boot_s=120, hours=3,
    zones=REGIONS, image="mecapy-worker",
)  # fmt: skip
TAG = Tag("aaa", "bbb")
JOBS = "/serverless-jobs/v1alpha2/regions/fr-par"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeScalewayJobs]:
    made = FakeScalewayJobs(tmp_path, boots=False)
    with made.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def provider(fake: FakeScalewayJobs) -> ScalewayJobProvider:
    return ScalewayJobProvider(REGIONS, "https://gateway", {}, answer_s=60.0, look_s=0.02)


def nothing(fake: FakeScalewayJobs) -> bool:
    return not any(fake.left().values())


def test_the_fake_answers_as_was_read(fake: FakeScalewayJobs) -> None:
    """The same status and the same fields."""
    number = ""
    for asked, status, fields in READ:
        method, _, path = asked.format(id=number).partition(" ")
        body = json.dumps({"name": "x", "environment_variables": {}, "args": []}).encode()
        got, answer = fake.answer(method, f"{JOBS}/{path}", body)
        assert (got, set(fields) - set(answer)) == (status, set()), asked
        number = number or answer["id"]
        if "job_runs" in answer:
            assert set(answer["job_runs"][0]) == set(RUN)


def test_start_list_stop(fake: FakeScalewayJobs, provider: ScalewayJobProvider) -> None:
    """A job of one machine has its size, no second try and a last hour; stop ends the run and
    deletes what was made, and is harmless when it is repeated.
    """
    handle = provider.start(TAG, LONG, "t" * 64)
    fake.answer("POST", f"{JOBS}/job-definitions", b'{"name": "of somebody else"}')
    assert provider.list("aaa") == {"bbb": handle} and provider.list("other") == {}
    made = fake.definitions[handle.partition("/")[2]]
    assert (made["cpu_limit"], made["memory_limit"]) == (4000, 8 * 1024 + 1024)
    assert (made["retry_policy"], made["job_timeout"]) == ({"max_retries": 0}, "12600s")
    assert made["args"] == ["worker", "--hours", "3", "--machine", str(TAG)]
    provider.stop(handle, TAG)
    provider.stop(handle, TAG)
    assert fake.left()["definitions"] == 1 and fake.left()["runs"] == 0


def test_another_region(fake: FakeScalewayJobs, provider: ScalewayJobProvider) -> None:
    """A quota in one region: the next one is asked; half a job does not stay."""
    quota = {"type": "quotas_exceeded", "message": "Quota exceeded"}
    fake.faults = [Fault("fr-par/job-definitions/.*/start", 403, quota)]
    assert provider.start(TAG, LONG, "t" * 64).startswith("nl-ams/")
    assert len(fake.definitions) == 1
    fake.faults = [Fault("job-definitions$", 403, quota)]
    with pytest.raises(ProviderRefused, match="a job in nl-ams: the account's quota is used up"):
        provider.start(Tag("aaa", "ccc"), LONG, "t" * 64)


@pytest.mark.parametrize("step", ["POST .*job-definitions$", "start$"])
def test_no_answer_after_it_was_done(
    fake: FakeScalewayJobs, provider: ScalewayJobProvider, step: str
) -> None:
    """What a lost answer made is found by its name, and deleted."""
    fake.faults = [Fault(step, 0, after=True, times=1)]
    with pytest.raises(ProviderRefused, match="no answer"):
        provider.start(TAG, LONG, "t" * 64)
    assert set(provider.list("aaa")) == {"bbb"}
    provider.stop("", TAG)
    assert nothing(fake)


def test_too_large() -> None:
    """What no job can have is said when the file is read."""
    text = {"provider": "scaleway-job", "max": 1, "zones": ["fr-par"], "image": "x", "cpus": 4}
    with pytest.raises(ConfigError, match="scaleway-job needs memory as well"):
        classes.of_tables({"long": text}, "file")
    with pytest.raises(ConfigError, match="at most 6 CPUs, and 15 GiB for its tasks"):
        classes.of_tables({"long": text | {"memory": "17GB"}}, "file")


async def test_a_real_worker(
    gateway: RunningGateway, db: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that waits gets a job whose worker runs it; then nothing is left."""
    pool = replace(LONG, name="pool", max=1, boot_s=200, zones=REGIONS[:1], memory_bytes=1 << 30)
    fake = FakeScalewayJobs(tmp_path)
    known = settings_of(gateway, tmp_path)
    plain = {name: known[name] for name in ("MECAPY_SANDBOX", "MECAPY_PRELOAD")}
    headers = {"Authorization": f"Bearer {gateway.token}"}
    with fake.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        provider = ScalewayJobProvider(REGIONS[:1], gateway.url, plain, look_s=0.1)
        credentials = MachineCredentials(db, queue)
        scaler = Scaler(
            db, [pool], {"scaleway-job": provider}, policy=POLICY, credentials=credentials
        )
        async with (
            asyncio.timeout(PATIENCE_S),
            httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client,
        ):
            task = (await client.post("/tasks", json={"code": "6 * 7"})).json()["task_id"]

            async def done() -> bool:
                await scaler.look()
                await asyncio.sleep(0.2)
                row = (await client.get(f"/tasks/{task}")).json()
                return row["status"] == "completed" and not await machines.alive(db)

            while not await done():
                pass
            assert (await client.get(f"/tasks/{task}/result")).json()["result"] == 42
        assert nothing(fake) and fake.made == 1
