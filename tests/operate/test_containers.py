"""The gateway's image: what is in it, and that it serves as its user on a read-only root."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..house.tracked import ROOT
from ..stack.running import until
from ..stack.test_doctor import free_port
from .containers import Builder, Image, lacking

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
TOKEN = "token-of-the-images"
SERVICES = "/mnt"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    builder = Builder(tmp_path_factory.mktemp("images"))
    builder.base()
    return builder.image("backend")


def installed(image: Image) -> set[str]:
    found = image.root.glob("opt/mecapy/lib/python3*/site-packages/*.dist-info")
    return {path.name.partition("-")[0].lower() for path in found}


def test_what_is_in_it(image: Image) -> None:
    """Nothing of a notebook's or a worker's. It says what it holds (CycloneDX), in the pinned
    versions, and runs as an ordinary user.
    """
    assert not installed(image) & {"debugpy", "jedi", "ipython", "ipykernel", "numpy"}
    assert int(image.user) > 0
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = dict(line.partition(";")[0].strip().split("==") for line in lines if "==" in line)
    parts = json.loads((image.root / "opt/mecapy/sbom.cdx.json").read_text())
    versions = {part["name"].lower(): part["version"] for part in parts["components"]}
    assert parts["bomFormat"] == "CycloneDX"
    for name in ("sqlalchemy", "redis", "asyncpg"):
        assert versions[name] == pinned[name]


@pytest.fixture
def places(
    database_url: str, redis_url: str, s3_url: str, tmp_path: Path, postgres: Any, valkey: Any
) -> Iterator[tuple[dict[str, str], dict[Path, str]]]:
    """The settings of a deployment, and the folders of its sockets as seen from inside."""
    from urllib.parse import unquote

    from .. import weed

    sockets = Path(unquote(database_url.partition("host=")[2])).parent
    other = Path(valkey.socket).parent
    for folder in (sockets, sockets / "pg", other):
        folder.chmod(0o755)
    Path(valkey.socket).chmod(0o777)
    inside = database_url.partition("?")[0] + f"?host={SERVICES}/pg"
    number = redis_url.rpartition("=")[2]
    secret = redis_url.partition("@")[0]
    settings = weed.KEYS | {
        "MECAPY_DATABASE_URL": inside,
        "MECAPY_REDIS_URL": f"{secret}@/srv/{Path(valkey.socket).name}?db={number}",
        "MECAPY_BLOB_URL": f"s3://blobs/{tmp_path.name}",
        "MECAPY_S3_ENDPOINT_URL": s3_url,
        "MECAPY_TOKEN": TOKEN,
        "MECAPY_PRELOAD": "",
    }
    yield settings, {sockets: SERVICES, other: "/srv"}


def healthy(image: Image, port: str) -> bool:
    return image.run(*image.health, environment={"PORT": port}).returncode == 0


def test_the_gateway_serves(
    image: Image, places: tuple[dict[str, str], dict[Path, str]], tmp_path: Path
) -> None:
    """Migrated by its own command, it serves at $PORT and is healthy by its own health command."""
    settings, binds = places
    port = str(free_port())
    migrated = image.run("mecapy", "migrate", environment=settings, binds=binds)
    assert migrated.returncode == 0, migrated.stderr
    assert not healthy(image, port)
    log = tmp_path / "gateway.log"
    with image.running(settings | {"PORT": port}, binds, log):
        until(lambda: healthy(image, port), 240)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            task = http.post("/tasks", json={"code": "6 * 7"}, timeout=120)
            assert task.status_code == 201, task.text + log.read_text()
            assert http.get("/readyz", timeout=120).status_code == 200
    listed = image.run("mecapy", "user", "--help")
    assert listed.returncode == 0 and "erase" in listed.stdout
