"""Blobs over HTTP, and the file store below."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.blob_types import BadName, NotAFile, WrongDigest
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_jupyter.shared.errors import ConfigError

from .speak import client

DATA = os.urandom(3_000_001)
DIGEST = blake3(DATA).hexdigest()


async def pieces(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".boot"]


def test_up_and_down(gateway: Any) -> None:
    """What is missing is told once, uploaded, then not missing, and comes back the same."""
    need = {"digests": [{"digest": DIGEST, "size": len(DATA)}]}
    with client(gateway) as http:
        [told] = http.post("/blobs/missing", json=need).json()["missing"]
        assert http.put(told["url"], content=DATA).status_code == 204
        assert http.post("/blobs/missing", json=need).json() == {"missing": []}
        answer = http.get(f"/blobs/{DIGEST}")
        assert answer.content == DATA and answer.headers["Content-Length"] == str(len(DATA))
        assert http.put(told["url"], content=DATA).status_code == 204


def test_wrong_bytes_are_refused(gateway: Any, tmp_path: Path) -> None:
    """Bytes that are not what the digest says leave nothing behind."""
    with client(gateway) as http:
        answer = http.put(f"/blobs/{DIGEST}", content=DATA[:-1])
        assert answer.status_code == 422 and "digest" in answer.json()["detail"]
        assert http.get(f"/blobs/{DIGEST}").status_code == 404
    assert files(tmp_path / "blobs") == []


@pytest.mark.parametrize("digest", ["x", "..%2f..%2fx", "A" * 64, "%00", "0" * 65])
def test_bad_digests(gateway: Any, digest: str) -> None:
    """A digest that is none never reaches a path."""
    with client(gateway) as http:
        assert http.put(f"/blobs/{digest}", content=b"x").status_code in (404, 422)
        assert http.get(f"/blobs/{digest}").status_code == 404


def test_named_blobs(gateway: Any, tmp_path: Path) -> None:
    """A task may name only stored blobs; its blobs go with the last task that names them."""
    body = {"code": "1", "payload": {"pickle": "", "buffers": [DIGEST]}}
    with client(gateway) as http:
        refused = http.post("/tasks", json=body)
        assert refused.status_code == 409 and refused.json()["missing"] == [DIGEST]
        http.put(f"/blobs/{DIGEST}", content=DATA)
        first, second = (http.post("/tasks", json=body).json()["task_id"] for _ in range(2))
        http.delete(f"/tasks/{first}")
        assert http.get(f"/blobs/{DIGEST}").content == DATA
        http.delete(f"/tasks/{second}")
        assert http.get(f"/blobs/{DIGEST}").status_code == 404
        assert files(tmp_path / "blobs") == []
        assert http.post("/tasks", json=body).status_code == 409


async def test_adopt(tmp_path: Path) -> None:
    """A finished file is taken over; one that others could still change (a second link) is copied;
    a link is refused.
    """
    store = FileStore(tmp_path / "store")
    for name in ("alone", "linked"):
        (tmp_path / name).write_bytes(name.encode() + DATA)
    os.link(tmp_path / "linked", tmp_path / "other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for name in ("alone", "linked"):
        digest, size = await store.adopt("ann", tmp_path / name)
        assert size == len(DATA) + len(name) and digest == blake3(name.encode() + DATA).hexdigest()
        with os.fdopen(await store.open("ann", digest), "rb") as file:
            assert file.read() == name.encode() + DATA
    (tmp_path / "other").write_bytes(b"changed")
    assert b"".join([block async for block in store.read("ann", digest)]) == b"linked" + DATA
    with pytest.raises(NotAFile, match="link is no regular file"):
        await store.adopt("ann", tmp_path / "link")


async def test_names_and_broken_streams(tmp_path: Path) -> None:
    """Owners and digests are checked before any path; a stream that breaks leaves nothing; owners
    are apart.
    """
    store = FileStore(tmp_path)
    for owner, digest in (
        ("..", DIGEST),
        ("a/b", DIGEST),
        ("", DIGEST),
        ("ann", "../x"),
        ("ann", DIGEST + "\n"),
    ):
        with pytest.raises(BadName):
            await store.has(owner, digest)

    async def broken() -> AsyncIterator[bytes]:
        yield DATA
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.write("ann", DIGEST, broken())
    with pytest.raises(WrongDigest):
        await store.write("ann", DIGEST, pieces(DATA[1:]))
    assert files(tmp_path) == []
    assert await store.write("ann", DIGEST, pieces(DATA)) == len(DATA)
    assert await store.has("ann", DIGEST) and not await store.has("bob", DIGEST)
    await store.delete("ann", DIGEST)
    with pytest.raises(FileNotFoundError):
        await store.open("ann", DIGEST)


@pytest.mark.parametrize("url", ["", "/tmp", "file://host/dir", "file:", "s3://", "http://x"])
def test_bad_store_urls(url: str) -> None:
    """A blob URL that is none is refused with the two forms there are."""
    with pytest.raises(ConfigError, match="MECAPY_BLOB_URL"):
        open_store(url)
