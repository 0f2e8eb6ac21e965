"""A backup and the way back: a drill on managed services, and one on an embedded stack."""

from __future__ import annotations

import asyncio
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import wire

from ..backend.speak import Worker
from ..conftest import TOKEN, execute, named, served
from ..stack.running import Stack, until
from .command import everything, mecapy, where

KEPT, LOST = b"an array " * 1000, b"another " * 1000


def name_of(data: bytes) -> str:
    return blake3(data).hexdigest()


@pytest.fixture
def settings(s3_settings: Settings) -> Settings:
    return s3_settings


@pytest.fixture
def elsewhere(settings: Settings, postgres: Any, tmp_path: Path) -> Iterator[Settings]:
    """Another deployment, of which there is only the empty database."""
    name = f"restored_{uuid.uuid4().hex}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name}"))
    there = {"database_url": named(postgres.url, name), "blob_url": f"file://{tmp_path}/restored"}
    yield settings.model_copy(update=there | {"s3_endpoint_url": "", "cache_dir": ""})
    asyncio.run(execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)"))


def at(gateway: Any, token: str = TOKEN) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=gateway.url, headers=headers, timeout=120, follow_redirects=True)


async def lived_in(settings: Settings) -> tuple[str, str, str]:
    """A finished task with a blob, a waiting one with another; their ids, and an API token."""
    with served(settings) as gateway, at(gateway) as http:
        ids = list[str]()
        for data in (KEPT, LOST):
            assert http.put(f"/blobs/{name_of(data)}", content=data).status_code == 204
            task = {"code": "x", "name": "drill", "payload": {"buffers": [name_of(data)]}}
            ids.append(http.post("/tasks", json=task).json()["task_id"])
        token = http.post("/tokens", json={"name": "ci", "scopes": ["read", "tasks"]}).json()
        async with Worker(gateway) as worker:
            await worker.start(ids[0])
            await worker.finish(ids[0], wire.Outcome(wire.COMPLETED, result=42, seconds=1.0))
    return ids[0], ids[1], token["token"]


def test_drill(settings: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    """What was backed up is back on other services: tasks, results, blobs, API tokens. A blob that
    is missing is named with its task, and asked for again.
    """
    done, waits, token = asyncio.run(lived_in(settings))
    folder = tmp_path / "backup"
    made = mecapy("backup", str(folder), **where(settings))
    assert made.code == 0 and "2 new blobs" in made.out, made
    for path in everything(folder):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert path.is_dir() or token.encode() not in path.read_bytes(), path
    (bytes_of_lost,) = folder.glob(f"blobs/*/*/{name_of(LOST)}")
    bytes_of_lost.unlink()

    back = mecapy("restore", str(folder), **where(elsewhere))
    assert back.code == 0, back
    assert waits in back.out and name_of(LOST) in back.out and done not in back.out
    with served(elsewhere) as gateway, at(gateway, token) as http:
        assert http.get(f"/tasks/{done}/result").json()["result"] == 42
        assert http.get(f"/tasks/{waits}").json()["status"] == "queued"
        assert http.get(f"/blobs/{name_of(KEPT)}").content == KEPT
        asked = [{"digest": name_of(data), "size": len(data)} for data in (KEPT, LOST)]
        missing = http.post("/blobs/missing", json={"digests": asked}).json()["missing"]
        assert [one["digest"] for one in missing] == [name_of(LOST)]
        again = http.post("/tasks", json={"code": "1"})
        assert again.status_code == 201
        audit = http.get("/audit", headers={"Authorization": f"Bearer {TOKEN}"}).json()["lines"]
        assert {"submit", "make token"} <= {line["act"] for line in audit}, audit


def test_a_target_that_is_not_empty(
    settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    """Nothing is replaced unless that is asked for: neither a deployment nor an earlier backup. A
    second backup copies what is new.
    """
    done, _, _ = asyncio.run(lived_in(settings))
    folder = str(tmp_path / "backup")
    assert mecapy("backup", folder, **where(settings)).code == 0
    refused = mecapy("backup", folder, **where(settings))
    assert refused.code == 1 and "--replace" in refused.err
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-ada.txt").write_text("Dear Ada")
    refused = mecapy("backup", str(tmp_path / "letters"), "--replace", **where(settings))
    assert refused.code == 1 and "no backup" in refused.err
    with served(settings) as gateway, at(gateway) as http:
        third = http.post("/tasks", json={"code": "3"}).json()["task_id"]
        made = mecapy("backup", folder, "--replace", **where(settings))
        assert made.code == 0 and "0 new blobs" in made.out, made
        later = http.post("/tasks", json={"code": "4"}).json()["task_id"]
    assert len([path for path in everything(Path(folder)) if "database-" in path.name]) == 1

    refused = mecapy("restore", folder, **where(settings))
    assert refused.code == 1 and "holds 4 tasks" in refused.err
    back = mecapy("restore", folder, "--replace", **where(settings))
    assert back.code == 0 and "nothing is missing" in back.out, back
    with served(settings) as gateway, at(gateway) as http:
        found = {task_id: http.get(f"/tasks/{task_id}").status_code for task_id in (done, third)}
        assert set(found.values()) == {200} and http.get(f"/tasks/{later}").status_code == 404


def test_a_target_that_is_served(settings: Settings, tmp_path: Path) -> None:
    """Workers would write into what is being replaced: a restore names them and touches nothing."""
    asyncio.run(lived_in(settings))
    folder = str(tmp_path / "backup")
    assert mecapy("backup", folder, **where(settings)).code == 0
    seen = (
        "INSERT INTO workers (id, info, seen_at) VALUES ('worker-7', '{}', now() + interval '1h')"
    )
    asyncio.run(execute(settings.database_url, seen))
    refused = mecapy("restore", folder, "--replace", **where(settings))
    assert refused.code == 1 and "worker-7" in refused.err, refused


def test_after_point_in_time_recovery(settings: Settings) -> None:
    """The database alone was set back: blobs that are gone by now are named with their tasks, and
    asked for again.
    """
    from mecapy_backend.store.blobs.blob_store import open_store

    _, waits, _ = asyncio.run(lived_in(settings))
    options = {"endpoint_url": settings.s3_endpoint_url, "cache_dir": settings.cache_dir}
    store = open_store(settings.blob_url, **options)
    asyncio.run(store.delete("local", name_of(LOST)))
    found = mecapy("restore", "--reconcile", **where(settings))
    assert found.code == 0 and "1 blobs" in found.out and waits in found.out, found
    with served(settings) as gateway, at(gateway) as http:
        asked = [{"digest": name_of(data), "size": len(data)} for data in (KEPT, LOST)]
        missing = http.post("/blobs/missing", json={"digests": asked}).json()["missing"]
        assert [one["digest"] for one in missing] == [name_of(LOST)]


def test_embedded_stack(tmp_path: Path) -> None:
    """A running stack is backed up; on an empty data directory all of it is back, and runs."""
    folder, copy = str(tmp_path / "backup"), tmp_path / "copy"
    stack = Stack.up(tmp_path / "data")
    try:
        first = stack.gateway().post("/tasks", {"code": "6 * 7"}, key="first")["task_id"]
        until(lambda: stack.final(first))
        made = mecapy("backup", folder, "--data", str(stack.data))
        assert made.code == 0, made
        refused = mecapy("restore", folder, "--data", str(stack.data))
        assert refused.code == 1 and "mecapy down" in refused.err
    finally:
        stack.down()
    refused = mecapy("restore", folder, "--data", str(stack.data))
    assert refused.code == 1 and "--replace" in refused.err
    back = mecapy("restore", folder, "--data", str(copy))
    assert back.code == 0 and "nothing is missing" in back.out, back
    restored = Stack.up(copy)
    try:
        assert restored.gateway().get(f"/tasks/{first}/result")["result"] == 42
        assert restored.runs_a_task("2 + 2") == 4
    finally:
        restored.down()
