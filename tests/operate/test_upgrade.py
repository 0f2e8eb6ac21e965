"""Load through a real balancer while the parts behind it are replaced one after the other; the
release before serves while this one migrates and replaces it.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from mecapy_backend import migrations
from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres

from ..conftest import TOKEN
from ..house.tracked import ROOT
from ..stack.running import until
from .deployment import NAMES, Deployment, Load
from .test_migrate import NEXT, ask, one_more, version

ADD = "op.execute(\"ALTER TABLE tasks ADD COLUMN more text NOT NULL DEFAULT ''\")"


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


def newest(release: Path) -> str:
    versions = release / "backend/mecapy_backend/migrations/versions"
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))


def test_the_tables_serve_the_release_before(previous: Path) -> None:
    """The newest migration notes that the release before can use what it leaves, else the gateways
    of that release stop as soon as it has run.
    """
    (path,) = (ROOT / "backend/mecapy_backend/migrations/versions").glob(f"{newest(ROOT)}_*.py")
    (serves,) = re.findall(r'(?m)^serves = "(\d+)"', path.read_text())
    assert serves <= newest(previous)


UPGRADE = ("migrate", "take_this_release", "replace_gateways", "replace_workers")
ALL = (
    *("restart_redis", "empty_redis", "replace_gateways", "kill_a_worker", "replace_workers"),
    *UPGRADE,
    *("restart_redis", "kill_a_worker"),
)


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(UPGRADE, id="upgrade"),
        pytest.param(ALL, id="all", marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_no_request_fails(
    previous: Path,
    bare_postgres: Postgres,
    open_folder: Path,
    tmp_path: Path,
    stages: tuple[str, ...],
) -> None:
    """Redis, gateways, workers, schema and release are replaced one after the other: no request
    fails, every task is completed. Where no migration is new, one is added.
    """
    url = bare_postgres.url
    given: Any = {"token": TOKEN, "blob_url": f"file://{tmp_path}/blobs"}
    settings = Settings(database_url=url, redis_url="", **given)
    old = {"PYTHONPATH": ":".join(str(previous / part) for part in (".", "backend", "worker"))}
    with Deployment(settings, open_folder, old) as deployment:
        assert asyncio.run(version(url))[0] == newest(previous)
        latest = newest(ROOT)
        new = newest(previous) < latest
        more = None if new else one_more(tmp_path, ADD)

        def migrate() -> None:
            migrations.upgrade(url, versions=more)
            assert all(map(deployment.ready, NAMES)), "the release before serves on"

        def take_this_release() -> None:
            deployment.release = {}

        own = {"migrate": migrate, "take_this_release": take_this_release}
        load = deployment.load
        with load.running():
            until(lambda: load.results > 1, 240)
            for stage in stages:
                act = own.get(stage) or getattr(deployment, stage)
                load.stage = stage
                print(f"{stage}: {timed(act, load)}")
        left = "SELECT count(*) FROM tasks WHERE state <> 'completed'"
        until(lambda: asyncio.run(ask(url, left)) == 0, 240)
    print(f"{len(load.tasks)} tasks, {load.again} requests came again")
    assert load.failed == []
    assert asyncio.run(version(url))[0] == (latest if new else NEXT)
    assert asyncio.run(ask(url, "SELECT count(*) FROM tasks")) == len(load.tasks)


def timed(act: Callable[[], None], load: Load) -> str:
    """How long it took, until a task that was sent afterwards was done, and the longest pauses."""
    load.request_s = load.result_s = 0.0
    began = time.monotonic()
    act()
    done = load.results
    until(lambda: load.results > done + 1, 240)
    return (
        f"{time.monotonic() - began:.1f} s; longest request {load.request_s:.2f} s, "
        f"longest time to a result {load.result_s:.2f} s"
    )
