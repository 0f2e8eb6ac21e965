"""What is misconfigured is named with its cause, in one line: at start, in /readyz?verbose, by the
doctor and in the log; a request meanwhile gets 503 with what to do, never 500.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs.bucket import Bucket
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_worker.pool import machine_memory

from .. import weed
from ..conftest import TOKEN, served
from ..http_server import QuietHandler, listening
from ..ports import free_port
from ..stack.running import environment, until
from ..stack.test_doctor import Doctor, said_by_environment
from .conftest import listens, program, running
from .deployment import HAPROXY

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def last_line(*command: str, env: dict[str, str]) -> str:
    """The last line of a command that ends at once with an error and without a traceback."""
    done = subprocess.run(
        mecapy_command(*command), env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"password": "wrong"}, "refuses the user or password of MECAPY_DATABASE_URL"),
        ({"database": "nowhere"}, "no such database as MECAPY_DATABASE_URL names"),
        pytest.param(
            {"host": "nowhere.invalid", "query": {}},
            "the host of MECAPY_DATABASE_URL is not known",
            marks=pytest.mark.long,
        ),
    ],
)
def test_postgres_refuses(
    database_url: str, redis_url: str, tmp_path: Path, change: dict[str, Any], cause: str
) -> None:
    """A wrong password, database or host: /readyz is 503, a request 503, both with the cause."""
    url = sa.make_url(database_url).set(**change).render_as_string(hide_password=False)
    given: Any = {"token": TOKEN, "blob_url": f"file://{tmp_path}/blobs"}
    wrong = Settings(database_url=url, redis_url=redis_url, **given)
    with served(wrong) as gateway:
        Doctor(gateway.url).finds("PostgreSQL", cause)
        Doctor(gateway.url).finds_part("postgres", 503, "away")
        refused = httpx.post(
            f"{gateway.url}/tasks", json={"code": "1"}, headers=AUTHORIZED, timeout=60
        )
        assert refused.status_code == 503 and refused.headers["Retry-After"]
    assert cause in last_line("migrate", env=environment(MECAPY_DATABASE_URL=url))


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_a_folder_that_cannot_be_used(
    database_url: str, redis_url: str, tmp_path: Path, component: str
) -> None:
    """Gateway and worker end with the setting, the folder and the system's reason."""
    (tmp_path / "file").touch()
    given: Any = {"token": TOKEN, "blob_url": f"file://{tmp_path}/file/blobs"}
    env = said_by_environment(Settings(database_url=database_url, redis_url=redis_url, **given))
    said = last_line(component, env=env)
    assert "MECAPY_BLOB_URL" in said and "Not a directory" in said and str(tmp_path) in said


def test_a_setting_that_is_none() -> None:
    """The variable and what it may be, for each that is wrong."""
    env = environment(MECAPY_WORKER_SLOTS="many", MECAPY_SANDBOX="open")
    said = last_line("worker", env=env)
    assert "MECAPY_WORKER_SLOTS: " in said and "MECAPY_SANDBOX: Input should be 'strict'" in said


@pytest.mark.parametrize(
    ("change", "state", "cause"),
    [
        ({"s3_endpoint_url": "http://127.0.0.1:9"}, "away", "MECAPY_S3_ENDPOINT_URL"),
        ({"secret": "wrong"}, "refused", "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY"),
        pytest.param(
            *({"secret": ""}, "refused", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"s3_endpoint_url": "http://nowhere.invalid"},
            *("away", "the host of MECAPY_S3_ENDPOINT_URL is not known"),
            marks=pytest.mark.long,
        ),
    ],
)
def test_object_store_refuses(
    s3_url: str, database_url: str, redis_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], state: str, cause: str,
) -> None:  # fmt: skip
    """An endpoint where nothing answers or whose host is not known, wrong keys and none are told
    apart.
    """
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if secret := change.get("secret"):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    elif "secret" in change:
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    given: Any = {
        "token": TOKEN, "blob_url": f"s3://blobs/{tmp_path.name}", "s3_endpoint_url": s3_url,
        "cache_dir": str(tmp_path / "cache"),
    } | change  # fmt: skip
    with served(Settings(database_url=database_url, redis_url=redis_url, **given)) as gateway:
        doctor = Doctor(gateway.url)
        doctor.finds_part("store", 200, state)
        doctor.finds("object store", cause)


REGION = "set MECAPY_S3_REGION to the region of the bucket"


@contextmanager
def s3_that_says(code: str, status: int) -> Iterator[str]:
    """The address of an S3 that refuses everything, as AWS words it. Our real one makes a bucket
    that is not there and takes any region.
    """

    class Refusing(QuietHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_DELETE = do_PUT

    with listening(Refusing) as address:
        yield f"http://{address}"


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("NoSuchBucket", 404, "MECAPY_BLOB_URL names no bucket that exists"),
        pytest.param(
            *("AccessDenied", 403, "the keys may not write to the bucket"), marks=pytest.mark.long
        ),
        ("AuthorizationHeaderMalformed", 400, REGION),
    ],
)
def test_what_s3_says(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], code: str, status: int, cause: str,
) -> None:  # fmt: skip
    """A wrong bucket, keys without rights and a wrong region: the setting is named in the log, in
    /readyz's advice and by the doctor; a request that needs the bytes gets 503.
    """
    for name, value in weed.KEYS.items():
        monkeypatch.setenv(name, value)
    with s3_that_says(code, status) as url:
        given: Any = {
            "token": TOKEN, "blob_url": "s3://nowhere", "s3_endpoint_url": url,
            "cache_dir": str(tmp_path / "cache"),
        }  # fmt: skip
        with served(Settings(database_url=database_url, redis_url=redis_url, **given)) as gateway:
            doctor = Doctor(gateway.url)
            doctor.finds_part("store", 200, "refused")
            doctor.finds("object store", cause)
            digest = blake3(data := b"some bytes").hexdigest()
            put = httpx.put(
                f"{gateway.url}/blobs/{digest}", content=data, headers=AUTHORIZED, timeout=60
            )
            assert put.status_code == 503 and "object store" in put.json()["detail"]
    logged = capfd.readouterr().out.splitlines()
    assert any("health" in line and cause in line for line in logged), logged
    assert any("object store away" in line and cause in line for line in logged), logged


@pytest.mark.parametrize(
    ("endpoint", "setting", "variable", "region"),
    [
        ("https://s3.fr-par.scw.cloud", "", "", "fr-par"),
        ("https://s3.gra.io.cloud.ovh.net", "", "", "gra"),
        ("https://cellar-c2.services.clever-cloud.com", "", "", "us-east-1"),
        ("https://s3.fr-par.scw.cloud", "", "nl-ams", "nl-ams"),
        ("https://s3.fr-par.scw.cloud", "pl-waw", "nl-ams", "pl-waw"),
        ("", "", "", "us-east-1"),
    ],
)
def test_region(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, setting: str, variable: str, region: str
) -> None:
    """MECAPY_S3_REGION, then AWS_REGION, then the endpoint's name; a signed URL has it."""
    for name, value in weed.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", variable)
    url = Bucket("bucket", "", endpoint, setting).download_url("key")
    assert f"%2F{region}%2Fs3%2F" in url


def test_a_balancer_without_a_gateway(tmp_path: Path) -> None:
    """HAProxy's own 503: the doctor says that no gateway behind it is ready."""
    port = free_port()
    (config := tmp_path / "haproxy").write_text(
        HAPROXY.format(port=port, figures=free_port(), a=1, b=2)
    )
    with running(program("haproxy"), "-f", str(config), log=tmp_path / "log"):
        until(lambda: listens(port), 240)
        Doctor(f"http://127.0.0.1:{port}").finds("no gateway behind it is ready", "/readyz?verbose")


def test_what_platforms_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORT and FORWARDED_ALLOW_IPS count where the setting of ours is not there."""
    for name in [name for name in os.environ if name.startswith("MECAPY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORT", "8080")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8,10.1.1.1")
    found = Settings()
    assert (found.worker_port, found.trusted_proxies) == (8080, ("10.0.0.0/8", "10.1.1.1"))
    monkeypatch.setenv("MECAPY_WORKER_PORT", "8081")
    monkeypatch.setenv("MECAPY_TRUSTED_PROXIES", "10.2.2.2")
    found = Settings()
    assert (found.worker_port, found.trusted_proxies) == (8081, ("10.2.2.2",))


def test_memory_follows_the_cgroup(tmp_path: Path) -> None:
    """The smallest limit of a group and those above it counts, in both versions; no task gets more
    than 4 GB, nor more than its share.
    """
    (tmp_path / "proc/self").mkdir(parents=True)
    cgroup, top = tmp_path / "proc/self/cgroup", tmp_path / "sys/fs/cgroup"
    cgroup.write_text("0::/a/b\n")
    (top / "a/b").mkdir(parents=True)
    (top / "a/memory.max").write_text("1000000000\n")
    (top / "a/b/memory.max").write_text("max\n")
    assert machine_memory.of_a_task(1, tmp_path) == 750_000_000
    assert machine_memory.of_a_task(3, tmp_path) == 250_000_000
    cgroup.write_text("5:memory:/c\n")
    (top / "memory/c").mkdir(parents=True)
    (top / "memory/c/memory.limit_in_bytes").write_text("2000000000\n")
    assert machine_memory.of_a_task(1, tmp_path) == 1_500_000_000
    cgroup.write_text("")
    assert machine_memory.of_a_task(1, tmp_path) <= machine_memory.MOST_BYTES
