"""A real worker in strict mode in a network of its own, real servers and a real name server in
another (`outside`). Everything that must not be reached is there, and an unconfined process reaches
it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import driver_url
from mecapy_jupyter.client.http import Gateway

from ...conftest import TOKEN, execute, named, served
from ...faults.proxy import Loop, Proxy
from ..ground import NOBODY, Ground, until, worker
from ..outside import (
    HTTP,
    METADATA,
    NOBODY_THERE,
    OTHER,
    POSTGRES,
    REDIS,
    SERVERS,
    SIX,
    TLS,
    WORKER,
    Outside,
    outside,
)

LISTED = (
    f"data.example.org:{HTTP}", f"secure.example.org:{TLS}", f"*.wild.example.org:{HTTP}",
    f"127.0.0.1:{HTTP}", f"[{SIX}]:{HTTP}", f"inner.example.org:{HTTP}", f"localhost:{HTTP}",
    f"own.example.org:{HTTP}", "meta.example.org:80", f"mapped.example.org:{HTTP}",
    f"store.example.org:{POSTGRES}", f"store.example.org:{REDIS}", f"{SERVERS}:{POSTGRES}",
    f"{SERVERS}:{REDIS}", f"turns.example.org:{HTTP}", f"mixed.example.org:{HTTP}",
    f"silent.example.org:{HTTP}", f"gone.example.org:{HTTP}", f"hole.example.org:{HTTP}",
    "shut.example.org:9",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    with outside(folder) as opened:
        opened.names |= {
            "data.example.org": [[SERVERS]], "secure.example.org": [[SERVERS]],
            "a.b.wild.example.org": [[OTHER]], "wild.example.org": [[OTHER]],
            "inner.example.org": [["127.0.0.1"]], "own.example.org": [[WORKER]],
            "meta.example.org": [[METADATA]], "mapped.example.org": [["::ffff:127.0.0.1"]],
            "store.example.org": [[SERVERS]], "mixed.example.org": [["127.0.0.1", OTHER]],
            "silent.example.org": [], "hole.example.org": [[NOBODY_THERE]],
            "shut.example.org": [[SERVERS]], "evil.example.org": [[SERVERS]],
        }  # fmt: skip
        yield opened


@pytest.fixture(scope="module", params=["root", "unprivileged"])
def here(
    request: pytest.FixtureRequest, world: Outside, postgres: Any, valkey: Any
) -> Iterator[Ground]:
    """That worker; PostgreSQL and Redis lie a cable away from it, as they do in a deployment."""
    uid = 0 if request.param == "root" else NOBODY
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_mecapy"))
    url = named(postgres.url, name)
    with ExitStack() as stack:
        folder = Path("/tmp", f"mecapy-egress-{os.getpid()}-{uid}")
        stack.callback(subprocess.run, ["rm", "-rf", str(folder)], check=True)
        (folder / "blobs").mkdir(parents=True)
        loop = Loop()
        stack.callback(loop.close)
        places = {
            POSTGRES: Path(str(driver_url(url).query["host"]), ".s.PGSQL.5432"),
            REDIS: Path(valkey.socket),
        }
        for port, place in places.items():
            stack.callback(Proxy(loop, place, world.servers.listening(SERVERS, port)).close)
        redis_url = valkey.url.partition("?")[0] + "?db=10"
        settings = Settings(
            database_url=url,
            redis_url=redis_url,
            blob_url=f"file://{folder}/blobs",
            token=SecretStr(TOKEN),
        )  # pyright: ignore[reportCallIssue]
        gateway = stack.enter_context(served(settings))
        environment = {
            "MECAPY_DATABASE_URL": f"postgresql://postgres:{driver_url(url).password}@{SERVERS}:{POSTGRES}/{name}",
            "MECAPY_REDIS_URL": f"redis://{urlsplit(valkey.url).netloc}{SERVERS}:{REDIS}/10",
            "MECAPY_BLOB_URL": f"file://{folder}/blobs",
            "MECAPY_SANDBOX": "strict",
            "MECAPY_WORKER_SLOTS": "2",
            "MECAPY_PRELOAD": "",
            "MECAPY_GRACE_S": "1",
            "MECAPY_LOG_FORMAT": "json",
            "MECAPY_EGRESS": ", ".join(LISTED),
        }
        for path in (folder, folder / "blobs"):
            os.chown(path, uid, uid)
        become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups") if uid else ()
        process = stack.enter_context(
            worker(folder, uid, environment, *world.launcher, *become, by=0)
        )
        client = Gateway(gateway.url, gateway.token)
        stack.callback(client.close)
        until(lambda: process.poll() is not None or client.get("/workers"))
        assert process.poll() is None, (folder / "worker.log").read_text()
        yield Ground(client, psutil.Process(process.pid), (POSTGRES, REDIS), folder, ())


def said(here: Ground, code: str, **more: Any) -> Any:
    """What a task with that code returns."""
    task = here.run(code, **more)
    assert task["status"] == "completed", task["error"]
    return task["result"]


FETCH = (
    "import urllib.request as u\nu.urlopen('http://data.example.org:8080/', "
    "timeout=200).read().decode()"
)
