"""The S3 store against a real S3 server (SeaweedFS)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.blob_types import BlobStore, WrongDigest

from .. import weed
from ..conftest import served
from .speak import client

DATA = os.urandom(2_500_000)
DIGEST = blake3(DATA).hexdigest()


@pytest.fixture
def store(s3_url: str, tmp_path: Path) -> BlobStore:
    return open_store(
        f"s3://blobs/{tmp_path.name}",
        endpoint_url=s3_url,
        cache_dir=str(tmp_path / "cache"),
        cache_bytes=3_000_000,
    )


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


async def test_store(store: BlobStore, tmp_path: Path) -> None:
    """Write, read, open, adopt and delete do on S3 what they do in a directory."""
    with pytest.raises(WrongDigest):
        await store.write("ann", DIGEST, pieces(DATA[1:]))
    assert not await store.has("ann", DIGEST)
    assert await store.write("ann", DIGEST, pieces(DATA)) == len(DATA)
    assert await store.size("ann", DIGEST) == len(DATA) and not await store.has("bob", DIGEST)
    assert b"".join([block async for block in store.read("ann", DIGEST)]) == DATA
    (tmp_path / "made").write_bytes(b"x" + DATA)
    digest, size = await store.adopt("ann", tmp_path / "made")
    assert size == len(DATA) + 1
    for name, data in (
        (DIGEST, DATA),
        (digest, b"x" + DATA),
        (DIGEST, DATA),
    ):  # the cache holds one of them only
        with os.fdopen(await store.open("ann", name), "rb") as file:
            assert file.read() == data
    assert (
        len(
            [
                path
                for path in (tmp_path / "cache").rglob("*")
                if path.is_file() and path.name != ".boot"
            ]
        )
        == 1
    )
    await store.delete("ann", DIGEST)
    with pytest.raises(FileNotFoundError):
        await store.open("ann", DIGEST)


async def test_open_checks_the_bytes(store: BlobStore) -> None:
    """Wrong bytes that came by a presigned URL are not opened."""
    url = await store.upload_url("ann", DIGEST, len(DATA))
    assert url and (await asyncio.to_thread(httpx.put, url, content=DATA[::-1])).status_code == 200
    with pytest.raises(WrongDigest):
        await store.open("ann", DIGEST)


def test_gateway_with_presigned_urls(s3_settings: Settings, s3_url: str) -> None:
    """A client uploads to a presigned URL without a token, submits, and downloads by a redirect."""
    need = {"digests": [{"digest": DIGEST, "size": len(DATA)}]}
    body = {"code": "1", "payload": {"buffers": [DIGEST]}}
    with served(s3_settings) as gateway, client(gateway, follow_redirects=True) as http:
        [told] = http.post("/blobs/missing", json=need).json()["missing"]
        assert http.post("/tasks", json=body).status_code == 409
        assert (
            told["url"].startswith(s3_url)
            and httpx.put(told["url"], content=DATA, timeout=120).status_code == 200
        )
        made = http.post("/tasks", json=body)
        assert made.status_code == 201, made.text
        assert http.post("/blobs/missing", json=need).json() == {"missing": []}
        assert http.get(f"/blobs/{DIGEST}").content == DATA
        assert http.delete(made.headers["Location"]).status_code == 204
        assert http.get(f"/blobs/{DIGEST}").status_code == 404


async def test_a_store_that_stalls(
    db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes requests and answers none: who waits for it holds no connection to PostgreSQL and
    none of the event loop's threads.
    """
    for name, value in weed.KEYS.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as deaf:
        store = open_store(
            "s3://blobs",
            endpoint_url=f"http://127.0.0.1:{deaf.getsockname()[1]}",
            cache_dir=str(tmp_path),
        )
        asks = [
            asyncio.create_task(blob_rows.confirm_upload(db, store, "ann", f"{number:064x}", 1))
            for number in range(40)
        ]
        deaf.setblocking(False)
        asked, _ = await asyncio.get_running_loop().sock_accept(deaf)
        async with asyncio.timeout(50):  # the store's own limit is a minute
            while db.pool.checkedout():  # noqa: ASYNC110  (a pool tells nobody)
                await asyncio.sleep(0.02)
            assert await asyncio.to_thread(int) == 0
        assert not any(ask.done() for ask in asks)
        asked.close()
    await asyncio.gather(*asks, return_exceptions=True)
