"""Serverless Containers at Scaleway, against a fake of the API that a table of recorded answers
holds to its shape.
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

from mecapy_backend.fleet import classes, fleet_command
from mecapy_backend.fleet.classes import MachineClass, MachinesFile
from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.local import worker_settings
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaler import Scaler
from mecapy_backend.fleet.scaleway_container import ScalewayContainerProvider
from mecapy_backend.store import machines
from mecapy_jupyter.shared.errors import ConfigError

from ..conftest import RunningGateway, served
from .fake_scaleway import KEYS
from .fake_scaleway_containers import READ, FakeScalewayContainers
from .fake_scaleway_http import Fault
from .test_local_fleet import PATIENCE_S, POLICY, settings_of

REGIONS = ("fr-par", "nl-ams")
SMALL = MachineClass(
    "small", cpus=2, memory_bytes=4 * 10**9, provider="scaleway-container", max=2, boot_s=60,
    hours=3, zones=REGIONS, image="mecapy-worker",
)  # fmt: skip
TAG = Tag("aaa", "bbb")
AT = "/containers/v1/regions/fr-par"
QUOTA = {"type": "quotas_exceeded", "message": "Quota exceeded"}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeScalewayContainers]:
    made = FakeScalewayContainers(tmp_path, boots=False)
    with made.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def provider(fake: FakeScalewayContainers) -> ScalewayContainerProvider:
    settings = {"MECAPY_SANDBOX": "strict"}
    return ScalewayContainerProvider(
        REGIONS, "https://gateway", settings, answer_s=60.0, look_s=0.02
    )


@pytest.fixture
def knowing(gateway: RunningGateway, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that has read the file: it tells a machine's worker what it is."""
    file = tmp_path / "machines.toml"
    file.write_text(
        '[pool]\nprovider = "scaleway-container"\ncpus = 2\nmemory = "1GiB"\nmax = 1\n'
        'boot_s = 200\nhours = 3\nzones = ["fr-par"]\nimage = "mecapy-worker"\n'
    )
    with served(gateway.settings.model_copy(update={"machines": str(file)})) as running:
        yield running


def test_the_fake_answers_as_was_read(fake: FakeScalewayContainers) -> None:
    """The same status, the same fields and the same states; a name in the query hides nothing."""
    ids: dict[str, str] = {}
    for asked, status, fields, state in READ:
        method, _, path = asked.format(**ids).partition(" ")
        about = {"name": "x", "image": "i", "namespace_id": ids.get("namespaces")}
        got, answer = fake.answer(method, f"{AT}/{path}", json.dumps(about).encode())
        assert (got, set(fields) - set(answer)) == (status, set()), asked
        assert answer.get("status") == state, asked
        if method == "POST":
            ids[path] = answer["id"]
        if "total_count" in answer:
            assert [one["name"] for one in answer[path.partition("?")[0]]] == ["x"], asked


def test_start_list_stop(fake: FakeScalewayContainers, provider: ScalewayContainerProvider) -> None:
    """A container of one machine is of its size, alone and confined, and nobody else reaches it;
    its token is a secret; stop is harmless when it is repeated.
    """
    handle = provider.start(TAG, SMALL, "t" * 64)
    assert provider.list("aaa") == {"bbb": handle} and provider.list("other") == {}
    made = fake.containers[handle.partition("/")[2]]
    assert (made["mvcpu_limit"], made["memory_limit_bytes"]) == (2000, 5_074_000_000)
    assert (made["min_scale"], made["max_scale"], made["sandbox"]) == (1, 1, "v1")
    assert (made["privacy"], made["port"], made["https_connections_only"]) == (
        "private",
        8080,
        True,
    )
    assert (made["command"], made["args"]) == (
        ["mecapy"], ["worker", "--hours", "3", "--machine", str(TAG)],
    )  # fmt: skip
    assert made["environment_variables"] == {
        "MECAPY_SANDBOX": "strict", "MECAPY_URL": "https://gateway",
        "MECAPY_WORKER_HOST": "0.0.0.0",
    }  # fmt: skip
    probe = {"interval": "10s", "timeout": "5s", "http": {"path": "/livez"}}
    assert made["startup_probe"] == probe | {"failure_threshold": 18}
    assert made["liveness_probe"] == probe | {"failure_threshold": 6}
    provider.stop(handle, TAG)
    provider.stop(handle, TAG)
    assert provider.list("aaa") == {} and fake.there() == []


def test_one_namespace(fake: FakeScalewayContainers, provider: ScalewayContainerProvider) -> None:
    """The machines of a stack share one, whatever else is there; another machine's stays."""
    fake.answer("POST", f"{AT}/namespaces", b'{"name": "of-somebody-else"}')
    first = provider.start(TAG, SMALL, "t" * 64)
    other = provider.start(Tag("aaa", "ccc"), SMALL, "t" * 64)
    names = [one["name"] for one in fake.known["namespaces"].values()]
    assert names == ["of-somebody-else", "mecapy-aaa"]
    provider.stop(first, TAG)
    assert provider.list("aaa") == {"ccc": other}


def test_another_region(fake: FakeScalewayContainers, provider: ScalewayContainerProvider) -> None:
    """A quota in one region: the next one is asked. In both: a sentence names them."""
    fake.faults = [Fault("fr-par/containers$", 403, QUOTA)]
    assert provider.start(TAG, SMALL, "t" * 64).startswith("nl-ams/")
    fake.faults = [Fault("POST .*/containers$", 403, QUOTA)]
    with pytest.raises(ProviderRefused) as refused:
        provider.start(Tag("aaa", "ccc"), SMALL, "t" * 64)
    assert all(
        f"a container in {one}: the account's quota" in str(refused.value) for one in REGIONS
    )
    assert len(fake.there()) == 1


def test_a_key_without_the_right(
    fake: FakeScalewayContainers, provider: ScalewayContainerProvider
) -> None:
    """The sentence names the right; no other region is asked."""
    fake.faults = [Fault("", 403, {"type": "permissions_denied", "message": "insufficient"})]
    with pytest.raises(ProviderRefused, match="for containers ContainersFullAccess"):
        provider.start(TAG, SMALL, "t" * 64)
    assert not any("nl-ams" in asked for asked in fake.asked)


def test_a_namespace_that_fails(
    fake: FakeScalewayContainers, provider: ScalewayContainerProvider
) -> None:
    """It says where, and what to do."""
    _, made = fake.answer("POST", f"{AT}/namespaces", b'{"name": "mecapy-aaa"}')
    fake.known["namespaces"][made["id"]]["status"] = "error"
    with pytest.raises(ProviderRefused, match="the namespace mecapy-aaa in fr-par: is error"):
        provider.start(TAG, replace(SMALL, zones=("fr-par",)), "t" * 64)


@pytest.mark.parametrize("step", ["POST .*/namespaces$", "POST .*/containers$"])
def test_a_container_without_an_answer(
    fake: FakeScalewayContainers, provider: ScalewayContainerProvider, step: str
) -> None:
    """What a lost answer made is found: a namespace is used, a container deleted."""
    fake.faults = [Fault(step, 0, after=True, times=1)]
    with pytest.raises(ProviderRefused, match="no answer"):
        provider.start(TAG, SMALL, "t" * 64)
    assert set(provider.list("aaa")) == ({"bbb"} if "containers" in step else set())
    provider.stop("", TAG)
    provider.start(Tag("aaa", "ccc"), SMALL, "t" * 64)
    assert len(fake.known["namespaces"]) == 1 and len(fake.there()) == 1


def test_gone_meanwhile(fake: FakeScalewayContainers, provider: ScalewayContainerProvider) -> None:
    """A container that goes between the list and its deletion is gone."""
    handle = provider.start(TAG, SMALL, "t" * 64)
    fake.faults = [Fault("DELETE", 404, {"type": "not_found", "message": "not found"})]
    provider.stop(handle, TAG)
    fake.faults = [Fault("DELETE", 503)]
    with pytest.raises(ProviderRefused, match="is unavailable"):
        provider.stop(handle, TAG)


def test_the_class_of_a_container() -> None:
    """What no container can have is said when the file is read; its worker keeps PORT."""
    text: dict[str, object] = {
        "provider": "scaleway-container", "max": 1, "zones": ["fr-par"], "image": "x", "cpus": 2,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="scaleway-container needs memory as well"):
        classes.of_tables({"small": text}, "file")
    with pytest.raises(ConfigError, match="a container has at most 6 CPUs, and 10 GiB for its"):
        classes.of_tables({"small": text | {"memory": "11GiB"}}, "file")
    assert "MECAPY_WORKER_PORT" not in worker_settings(SMALL)
    assert worker_settings(replace(SMALL, provider="scaleway-job"))["MECAPY_WORKER_PORT"] == "0"


def test_the_command_knows_it(
    fake: FakeScalewayContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with such a class has its provider."""
    monkeypatch.setenv("MECAPY_URL", "https://gateway")
    (found,) = fleet_command.providers(MachinesFile((SMALL,))).values()
    assert isinstance(found, ScalewayContainerProvider) and found.list("aaa") == {}


@pytest.mark.long
async def test_a_real_worker_in_a_container(
    knowing: RunningGateway, db: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that waits gets a container, whose worker answers the probe at PORT and runs it; then
    none is left.
    """
    (pool,) = classes.read(knowing.settings.machines).classes
    fake = FakeScalewayContainers(tmp_path)
    known = settings_of(knowing, tmp_path)
    plain = {name: known[name] for name in ("MECAPY_SANDBOX", "MECAPY_PRELOAD")}
    headers = {"Authorization": f"Bearer {knowing.token}"}
    with fake.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        provider = ScalewayContainerProvider(pool.zones, knowing.url, plain, look_s=0.1)
        credentials = MachineCredentials(db, queue)
        providers = {"scaleway-container": provider}
        scaler = Scaler(db, [pool], providers, policy=POLICY, credentials=credentials)
        states: set[str] = set()
        async with (
            asyncio.timeout(PATIENCE_S),
            httpx.AsyncClient(base_url=knowing.url, headers=headers, timeout=60) as client,
        ):
            task = (await client.post("/tasks", json={"code": "6 * 7"})).json()["task_id"]

            async def done() -> bool:
                await scaler.look()
                await asyncio.sleep(0.2)
                states.update(one["status"] for one in fake.containers.values())
                row = (await client.get(f"/tasks/{task}")).json()
                return row["status"] == "completed" and not await machines.alive(db)

            while not await done():
                pass
            assert (await client.get(f"/tasks/{task}/result")).json()["result"] == 42
        assert states == {"creating", "ready", "deleting"}
        assert fake.there() == [] and fake.made == 1
