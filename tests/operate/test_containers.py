"""The images: what is in them, and that they work as their user on a read-only root."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_worker.sandbox import landlock

from .. import weed
from ..conftest import served
from ..house.tracked import ROOT
from ..ports import free_port
from ..stack.running import until
from .containers import SUITES, Builder, Image, lacking

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
TOKEN = "token-of-the-images"
SERVICES = "/mnt"
PARTS = {
    "backend": ("sqlalchemy", "redis", "asyncpg"),
    "worker": ("sqlalchemy", "redis", "asyncpg", "numpy", "ipykernel"),
}


@pytest.fixture(scope="module", params=SUITES)
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    made = Builder(tmp_path_factory.mktemp("images"))
    made.base(request.param)
    return made


@pytest.fixture(scope="module")
def gateway_image(builder: Builder) -> Image:
    return builder.image("backend")


@pytest.fixture(scope="module")
def worker_image(builder: Builder) -> Image:
    return builder.image("worker")


def installed(image: Image) -> set[str]:
    found = image.root.glob("opt/mecapy/lib/python3*/site-packages/*.dist-info")
    return {path.name.partition("-")[0].lower() for path in found}


@pytest.mark.parametrize("name", PARTS)
def test_what_is_in_it(builder: Builder, request: pytest.FixtureRequest, name: str) -> None:
    """It says what it holds (CycloneDX), in the pinned versions, and runs as an ordinary user."""
    image: Image = request.getfixturevalue({"backend": "gateway_image"}.get(name, "worker_image"))
    assert int(image.user) > 0
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = dict(line.partition(";")[0].strip().split("==") for line in lines if "==" in line)
    parts = json.loads((image.root / "opt/mecapy/sbom.cdx.json").read_text())
    versions = {part["name"].lower(): part["version"] for part in parts["components"]}
    assert parts["bomFormat"] == "CycloneDX"
    for part in PARTS[name]:
        assert versions[part] == pinned[part]
    assert image.run("python", "--version").stdout.split()[1].startswith(builder.python)


def test_the_gateways_is_without_a_notebook(gateway_image: Image) -> None:
    """Nothing of a notebook's or a worker's is in it."""
    assert not installed(gateway_image) & {"debugpy", "jedi", "ipython", "ipykernel", "numpy"}


@pytest.fixture
def settings(s3_settings: Settings) -> Settings:
    return s3_settings.model_copy(update={"token": SecretStr(TOKEN)})


@pytest.fixture
def places(settings: Settings, valkey: Any) -> Iterator[tuple[dict[str, str], dict[Path, str]]]:
    """The settings of a deployment, and the folders of its sockets as seen from inside."""
    from urllib.parse import unquote

    sockets = Path(unquote(settings.database_url.partition("host=")[2])).parent
    other = Path(valkey.socket).parent
    for folder in (sockets, sockets / "pg", other):
        folder.chmod(0o755)
    Path(valkey.socket).chmod(0o777)
    inside = settings.database_url.partition("?")[0] + f"?host={SERVICES}/pg"
    number = settings.redis_url.rpartition("=")[2]
    secret = settings.redis_url.partition("@")[0]
    environment = weed.KEYS | {
        "MECAPY_DATABASE_URL": inside,
        "MECAPY_REDIS_URL": f"{secret}@/srv/{Path(valkey.socket).name}?db={number}",
        "MECAPY_BLOB_URL": settings.blob_url,
        "MECAPY_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "MECAPY_TOKEN": TOKEN,
        "MECAPY_PRELOAD": "",
    }
    yield environment, {sockets: SERVICES, other: "/srv"}


def healthy(image: Image, port: str) -> bool:
    return image.run(*image.health, environment={"PORT": port}).returncode == 0


def test_the_gateway_serves(
    gateway_image: Image, places: tuple[dict[str, str], dict[Path, str]], tmp_path: Path
) -> None:
    """Migrated by its own command, it serves at $PORT and is healthy by its own health command."""
    (environment, binds), image = places, gateway_image
    port = str(free_port())
    migrated = image.run("mecapy", "migrate", environment=environment, binds=binds)
    assert migrated.returncode == 0, migrated.stderr
    assert not healthy(image, port)
    log = tmp_path / "gateway.log"
    with image.running(environment | {"PORT": port}, binds, log):
        until(lambda: healthy(image, port), 240)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120
        ) as http:
            task = http.post("/tasks", json={"code": "6 * 7"}, timeout=120)
            assert task.status_code == 201, task.text + log.read_text()
            assert http.get("/readyz", timeout=120).status_code == 200
    listed = image.run("mecapy", "user", "--help")
    assert listed.returncode == 0 and "erase" in listed.stdout


def test_the_worker_works(
    worker_image: Image,
    settings: Settings,
    places: tuple[dict[str, str], dict[Path, str]],
    tmp_path: Path,
) -> None:
    """Healthy at $PORT by its own health command, it runs a task with numpy, strictly confined, and
    stops when it is told to. Where the kernel has no Landlock it refuses, and runs only when asked
    for less.
    """
    (environment, binds), image = places, worker_image
    environment["PORT"] = port = str(free_port())
    if not landlock.version():
        refused = image.run(*image.command, environment=environment, binds=binds)
        assert refused.returncode == 1 and "MECAPY_SANDBOX=best-effort" in refused.stderr, refused
        environment["MECAPY_SANDBOX"] = "best-effort"
    log = tmp_path / "worker.log"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    code = "import numpy as np\nopen('here', 'w').close()\nfloat(np.ones(6).sum() * 7)"
    with (
        served(settings) as gateway,
        httpx.Client(base_url=gateway.url, headers=headers, timeout=120) as http,
    ):
        with image.running(environment, binds, log) as process:
            until(lambda: process.poll() is not None or healthy(image, port), 300)
            assert process.poll() is None, log.read_text()
            task = http.post("/tasks", json={"code": code}).json()["task_id"]
            final = ("completed", "failed")
            done = until(lambda: _if(http.get(f"/tasks/{task}").json(), final), 300)
            assert done["result"] == 42, (done, log.read_text())
            (worker,) = http.get("/workers").json()
            strict = worker["info"]["confinement"]["level"] == "strict"
            assert strict is bool(landlock.version()), worker
        assert process.returncode == 0, log.read_text()


def _if(task: dict[str, Any], states: tuple[str, ...]) -> dict[str, Any] | None:
    return task if task["status"] in states else None
