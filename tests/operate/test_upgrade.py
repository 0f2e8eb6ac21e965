"""The release before serves behind a real balancer while this one migrates and replaces it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend import migrations
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres

from ..conftest import TOKEN
from ..house.tracked import ROOT
from ..stack.running import until
from ..stack.test_doctor import free_port, process, said_by_environment
from .conftest import listens, program, running
from .test_migrate import NEXT, ask, one_more, version

HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  option http-server-close
  option redispatch
  retries 5
  retry-on conn-failure
frontend figures
  bind 127.0.0.1:{figures}
  stats enable
  stats uri /
frontend all
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  option httpchk GET /readyz
  default-server check inter 200ms fall 2 rise 1
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The release before, as a folder of source."""
    commit = (Path(__file__).parent / "previous_release").read_text().strip()
    packages = ("mecapy_jupyter", "backend/mecapy_backend", "worker/mecapy_worker")
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, *packages], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"no git history with {commit} here: {archive.stderr.decode()[:200]}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous"


@dataclass
class Load:
    """Requests without a pause, each on a connection of its own; what failed, and the longest."""

    url: str
    failed: list[str] = field(default_factory=list[str])
    tasks: list[str] = field(default_factory=list[str])
    longest_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        done = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(done,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join(120)

    def _ask(self, done: threading.Event) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        while not done.wait(0.05):
            began = time.monotonic()
            try:
                with httpx.Client(base_url=self.url, headers=headers, timeout=60) as http:
                    made = http.post("/tasks", json={"code": "6 * 7"})
                    made.raise_for_status()
                    self.tasks.append(made.json()["task_id"])
                    http.get(f"/tasks/{self.tasks[-1]}").raise_for_status()
            except httpx.HTTPError as failed:
                self.failed.append(
                    f"{failed!r} {getattr(getattr(failed, 'response', None), 'text', '')}"
                )
            self.longest_s = max(self.longest_s, time.monotonic() - began)


def newest(release: Path) -> str:
    versions = release / "backend/mecapy_backend/migrations/versions"
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))


def test_no_request_fails(
    previous: Path, bare_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    """Gateways and workers of the release before are replaced one after the other, the schema
    before them: no request fails, every task is completed. Where no migration is new, one is added.
    """
    url = bare_postgres.url
    given: Any = {"token": TOKEN, "blob_url": f"file://{tmp_path}/blobs"}
    settings = Settings(database_url=url, redis_url=redis_url, **given)
    mecapy = (sys.executable, "-P", "-m", "mecapy_jupyter.cli")
    old = {"PYTHONPATH": ":".join(str(previous / part) for part in (".", "backend", "worker"))}
    env = said_by_environment(settings)
    subprocess.run((*mecapy, "migrate"), env=env | old, check=True, cwd="/")
    assert asyncio.run(version(url))[0] == newest(previous)
    new = newest(previous) < newest(ROOT)
    port, figures, ports = free_port(), free_port(), [free_port(), free_port()]
    (config := tmp_path / "haproxy").write_text(
        HAPROXY.format(port=port, figures=figures, a=ports[0], b=ports[1])
    )
    load = Load(f"http://127.0.0.1:{port}")
    log = tmp_path / "log"

    def gateway(at: int, more: dict[str, str]) -> ExitStack:
        opened = ExitStack()
        argv = (*mecapy, "gateway", "--port", str(ports[at]))
        opened.enter_context(process(*argv, env=env | more, log=log))
        until(lambda: ready(ports[at]), 120)
        return opened

    def worker(more: dict[str, str]) -> ExitStack:
        opened = ExitStack()
        opened.enter_context(process(*mecapy, "worker", env=env | more, log=log))
        return opened

    with ExitStack() as all_of_it:
        gateways, first = [gateway(0, old), gateway(1, old)], worker(old)
        for each in (*gateways, first):
            all_of_it.enter_context(each)
        all_of_it.enter_context(running(program("haproxy"), "-f", str(config), log=log))
        until(lambda: listens(port) and ready(port), 60)
        with load.running():
            until(lambda: load.tasks and up("a", figures) and up("b", figures), 60)
            migrations.upgrade(url, versions=None if new else one_more(tmp_path, ADD))
            assert ready(ports[0]) and ready(ports[1]), "the release before serves on"
            for at in (0, 1):
                gateways[at].close()
                all_of_it.enter_context(gateway(at, {}))
                until(lambda at=at: up("ab"[at], figures), 120)
            all_of_it.enter_context(worker({}))
            first.close()
            count = len(load.tasks)
            until(lambda: len(load.tasks) > count + 5, 120)
        left = "SELECT count(*) FROM tasks WHERE state <> 'completed'"
        until(lambda: asyncio.run(ask(url, left)) == 0, 240)
    print(f"{len(load.tasks)} tasks, none failed; the longest pause: {load.longest_s:.2f} s")
    assert load.failed == []
    assert asyncio.run(version(url))[0] == (newest(ROOT) if new else NEXT)
    assert asyncio.run(ask(url, "SELECT count(*) FROM tasks")) == len(load.tasks)


ADD = "op.execute(\"ALTER TABLE tasks ADD COLUMN more text NOT NULL DEFAULT ''\")"


def up(name: str, figures: int) -> bool:
    """Whether the balancer sends requests to this gateway."""
    lines = httpx.get(f"http://127.0.0.1:{figures}/;csv", timeout=60).text.splitlines()
    return any(line.startswith(f"gateways,{name},") and ",UP," in line for line in lines)


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
