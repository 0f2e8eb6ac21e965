"""Machines at Scaleway: its driver against a fake of the API that recordings of the real one hold
to its shape.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.cloud_config import cloud_config
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaleway_vm import ScalewayVmProvider
from mecapy_jupyter.shared.errors import ConfigError

from .fake_scaleway import KEYS, ZONES, FakeScaleway
from .fake_scaleway_http import Fault

SMALL = MachineClass(
    "pool", provider="scaleway-vm", max=3, boot_s=120, hours=2, types=("DEV1-M", "DEV1-S"),
    zones=ZONES, image="mecapy-worker",
)  # fmt: skip
TAG = Tag("aaa", "bbb")
NOTHING = {"servers": 0, "volumes": 0, "ips": 0}
SERVERS = r"POST /instance/v1/zones/\S+/servers$"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeScaleway]:
    made = FakeScaleway(tmp_path, boots=False)
    with made.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def provider(fake: FakeScaleway) -> ScalewayVmProvider:
    return ScalewayVmProvider(ZONES, "https://gateway", {}, answer_s=60.0, look_s=0.02)


def recordings() -> list[tuple[str, list[Any]]]:
    found = importlib.util.find_spec("scaleway.instance.v1")
    assert found and found.origin
    folder = Path(found.origin).parent / "tests" / "cassettes"
    return [
        (path.name, yaml.safe_load(path.read_text())["interactions"])
        for path in sorted(folder.glob("*.yaml"))
    ]


@pytest.mark.parametrize("name, recorded", recordings(), ids=lambda one: str(one)[:40])
def test_the_fake_answers_as_the_recordings(
    fake: FakeScaleway, name: str, recorded: list[Any]
) -> None:
    """What the SDK's authors recorded, asked of the fake: the same status, the same fields."""
    ids, compared = dict[str, str](), 0
    for one in recorded:
        asked, answered = one["request"], one["response"]
        parts = urlsplit(asked["uri"])
        path = parts.path.replace("v1alpha1", "v1") + (f"?{parts.query}" if parts.query else "")
        for server in re.findall(r"/servers/([0-9a-f-]{36})", path):
            if server not in ids:  # of another recording
                ids[server] = create(fake)["id"]
        if path.endswith("-volume"):
            for volume in fake.volumes.values():
                volume["references"] = []
            continue
        if re.search(r"/(ips|volumes)(/|$)", parts.path) and asked["method"] == "POST":
            continue  # the driver makes none
        for theirs, ours in ids.items():
            path = path.replace(theirs, ours)
        kind, _, number = path.rpartition("/")
        if kind.endswith("/ips"):
            fake.ips[number] = {"id": number}
        if kind.endswith("/volumes") and number not in fake.volumes:  # it was made by hand
            create(fake)
            fake.volumes[number] = fake.volumes[next(reversed(fake.volumes))] | {"references": []}
        status, found = fake.answer(asked["method"], path, (asked["body"] or "").encode())
        assert status == answered["status"]["code"], (name, asked["uri"], found)
        text = answered["body"]["string"]
        if text.startswith("{"):
            wanted = json.loads(text)
            assert shape(found) >= shape(wanted), asked["uri"]
            if server := wanted.get("server"):
                ids[server["id"]] = found["server"]["id"]
                for key, volume in found["server"]["volumes"].items():
                    if key in server["volumes"]:
                        ids[server["volumes"][key]["id"]] = volume["id"]
        compared += 1
    assert compared or name.startswith("test_attach")


def create(fake: FakeScaleway) -> Any:
    body = json.dumps({"commercial_type": "DEV1-S", "name": "x"}).encode()
    return fake.answer("POST", f"/instance/v1/zones/{ZONES[0]}/servers", body)[1]["server"]


def shape(answer: Any) -> set[str]:
    """Its fields, and those of the object in it."""
    fields = set(answer)
    for name, value in answer.items():
        if name in ("server", "ip", "volume"):
            fields |= {f"{name}.{key}" for key in value}
    return fields


def test_start_list_stop(fake: FakeScaleway, provider: ScalewayVmProvider) -> None:
    """A machine is found by its stack's tag and by no other's; stop leaves no server, volume or
    address, and is harmless when it is repeated.
    """
    handle = provider.start(TAG, SMALL, "t" * 64)
    fake.ips["1"] = {"id": "1", "zone": ZONES[0], "tags": [str(TAG), "mecapy-stack=aaa"],
                     "address": None, "organization": "", "project": "", "type": "routed_ipv4",
                     "state": "detached", "prefix": None, "reverse": None, "server": None,
                     "ipam_id": ""}  # fmt: skip
    create(fake)  # of somebody else
    assert provider.list("aaa") == {"bbb": handle} and provider.list("other") == {}
    provider.stop(handle, TAG)
    provider.stop(handle, TAG)
    assert fake.left() == {"servers": 1, "volumes": 1, "ips": 0}
    assert provider.list("aaa") == {}


def test_a_volume_that_survived(fake: FakeScaleway, provider: ScalewayVmProvider) -> None:
    """A machine that the provider took away leaves its volume; the sweep finds and deletes it."""
    handle = provider.start(TAG, SMALL, "t" * 64)
    fake.take_away(handle.partition("/")[2])
    assert set(provider.list("aaa")) == {"bbb"}
    provider.stop("", TAG)
    assert fake.left() == NOTHING


REFUSALS = [
    (401, {"type": "denied_authentication", "message": "auth"}, "does not accept the key", 1),
    (403, {"type": "permissions_denied", "message": "insufficient permissions"},
     "the key may not do this: give it InstancesFullAccess", 1),
    (400, {"type": "invalid_arguments", "message": "commercial_type is not valid"},
     "commercial_type is not valid", 4),
    (409, {"type": "out_of_stock", "message": "x"}, "DEV1-M in fr-par-1: none in stock", 4),
    (403, {"type": "quotas_exceeded", "message": "Quota exceeded",
           "details": [{"resource": "DEV1-M", "quota": 8, "current": 8}]},
     "quota is used up.*DEV1-M 8/8", 4),
    (429, {"message": "too many"}, r"too many requests \(429\)", 2),
]  # fmt: skip


@pytest.mark.parametrize("status, body, said, asked", REFUSALS)
def test_what_is_refused(
    fake: FakeScaleway,
    provider: ScalewayVmProvider,
    status: int,
    body: dict[str, Any],
    said: str,
    asked: int,
) -> None:
    """A sentence that says what to do; every type in every zone is asked where that may help, and
    nothing is left.
    """
    fake.faults = [Fault(SERVERS, status, body)]
    with pytest.raises(ProviderRefused, match=said):
        provider.start(TAG, SMALL, "t" * 64)
    assert sum(bool(re.search(SERVERS, one)) for one in fake.asked) == asked
    assert fake.left() == NOTHING


def test_the_next_candidate(fake: FakeScaleway, provider: ScalewayVmProvider) -> None:
    """No stock of the first type in the first zone: the second is taken."""
    fake.faults = [Fault(SERVERS, 409, {"type": "out_of_stock", "message": ""}, times=1)]
    zone, _, server = provider.start(TAG, SMALL, "t" * 64).partition("/")
    assert (zone, fake.servers[server].body["commercial_type"]) == (ZONES[0], "DEV1-S")


@pytest.mark.parametrize("step", [SERVERS, "user_data", "action$"])
def test_no_answer_after_it_was_done(
    fake: FakeScaleway, provider: ScalewayVmProvider, step: str
) -> None:
    """The machine that a lost answer made is found by its tag, and destroyed; its zone is left for
    a while, and the next machine stands in another.
    """
    fake.faults = [Fault(step, 0, after=True, times=1)]
    with pytest.raises(ProviderRefused, match="no answer"):
        provider.start(TAG, SMALL, "t" * 64)
    assert set(provider.list("aaa")) == {"bbb"}
    provider.stop("", TAG)
    assert fake.left() == NOTHING
    assert provider.start(Tag("aaa", "ccc"), SMALL, "t" * 64).startswith(ZONES[1])


def test_silence(fake: FakeScaleway) -> None:
    """A request that gets no answer in time is given up, with the reason; nothing is made."""
    impatient = ScalewayVmProvider(ZONES[:1], "https://gateway", {}, answer_s=0.3, look_s=0.02)
    fake.faults = [Fault("", 0, seconds=3.0)]
    with pytest.raises(ProviderRefused, match="no answer"):
        impatient.start(TAG, SMALL, "t" * 64)
    assert fake.left() == NOTHING


def test_a_zone_that_is_down(fake: FakeScaleway, provider: ScalewayVmProvider) -> None:
    """Its machines are not given up for it, new ones stand in the other zone."""
    handle = provider.start(TAG, SMALL, "t" * 64)
    fake.faults = [Fault(f"zones/{ZONES[0]}", 503, {"message": "down"})]
    assert provider.list("aaa") == {"bbb": handle}
    assert provider.start(Tag("aaa", "ccc"), SMALL, "t" * 64).startswith(ZONES[1])
    assert set(provider.list("aaa")) == {"bbb", "ccc"}


def test_half_a_machine(fake: FakeScaleway, provider: ScalewayVmProvider) -> None:
    """Refused between its creation and its start: it does not stay."""
    fake.faults = [Fault("user_data", 400, {"type": "invalid_arguments", "message": "too long"})]
    with pytest.raises(ProviderRefused, match="too long"):
        provider.start(TAG, SMALL, "t" * 64)
    assert fake.left() == NOTHING


@pytest.mark.parametrize("name", KEYS)
def test_without_a_key(fake: FakeScaleway, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is missing is named, and a key that is none."""
    monkeypatch.setenv(name, "")
    with pytest.raises(ConfigError, match=f"needs {name}"):
        ScalewayVmProvider(ZONES, "https://gateway", {})
    monkeypatch.setenv(name, "nonsense")
    with pytest.raises(ConfigError, match="SCW_"):
        ScalewayVmProvider(ZONES, "https://gateway", {})


def test_cloud_config_is_valid(tmp_path: Path) -> None:
    """cloud-init's schema accepts it, and the script in it is one."""
    text = cloud_config(TAG, SMALL, "https://gateway/", "t" * 64, {"MECAPY_SANDBOX": "strict"})
    config = yaml.safe_load(text)
    start = next(one for one in config["write_files"] if one["path"].endswith("/start"))
    subprocess.run(["sh", "-n"], input=start["content"], text=True, check=True)
    assert {one["permissions"] for one in config["write_files"]} == {"0600", "0700"}
    if not shutil.which("cloud-init"):
        pytest.skip("needs cloud-init (apt-get install cloud-init)")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    ran = subprocess.run(
        ["cloud-init", "schema", "--config-file", str(file)], capture_output=True, text=True
    )
    assert ran.returncode == 0 and "Valid" in ran.stdout + ran.stderr, ran.stdout + ran.stderr
