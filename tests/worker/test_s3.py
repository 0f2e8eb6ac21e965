"""A worker whose blobs are on S3: inputs through its bounded cache, results straight into the
store, wrong bytes never in a child.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from mecapy_backend.queue import queue as queues
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from mecapy_backend.store.blobs import blob_rows, blob_store
from mecapy_jupyter import wire
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import known_blobs, payload
from mecapy_worker.pool.pool import Pool

from .conftest import OWNER, Desk, working

SIZE = 40_000_000


@pytest.fixture
def settings(settings: Settings, s3_url: str, tmp_path: Path) -> Settings:
    there = {
        "blob_url": f"s3://blobs/{tmp_path.name}",
        "s3_endpoint_url": s3_url,
        "cache_dir": str(tmp_path / "cache"),
    }
    return settings.model_copy(
        update=there
        | {
            "cache_bytes": 2 * SIZE + 1_000_000,
            "max_result_bytes": 4 * SIZE,
            "store_patience_s": 2.0,
        }
    )


@pytest_asyncio.fixture(loop_scope="session")
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    db, queue = (
        database.connect(settings.database_url, connect_s=60),
        queues.connect(settings.redis_url),
    )
    yield Desk(settings, db, queue, blob_store.open_store(
        settings.blob_url, endpoint_url=settings.s3_endpoint_url, cache_dir=settings.cache_dir,
        cache_bytes=settings.cache_bytes
    ))  # fmt: skip
    await queue.aclose(close_connection_pool=True)
    await db.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def worker(desk: Desk, pool: Pool, tmp_path: Path) -> AsyncIterator[Any]:
    async with working(desk, pool, tmp_path) as consumer:
        yield consumer


@pytest.fixture
def transfers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the worker asked of S3 for arrays: `upload` or `download`, each time."""
    done: list[str] = []
    bucket: Any = desk.blobs._bucket
    upload, download = bucket.upload, bucket.download

    def uploaded(path: Path, key: str) -> None:
        if path.stat().st_size >= SIZE:  # the health check asks, too
            done.append("upload")
        upload(path, key)

    def downloaded(key: str, path: Path) -> None:
        download(key, path)
        if path.stat().st_size >= SIZE:
            done.append("download")

    monkeypatch.setattr(bucket, "upload", uploaded)
    monkeypatch.setattr(bucket, "download", downloaded)
    return done


async def _uploaded(desk: Desk, data: bytes, name: str = "") -> str:
    """As a client's presigned upload: the store gets it as it is, past our cache and checks."""
    digest = name or known_blobs.hashed(data)
    url = await desk.blobs.upload_url(OWNER, digest, len(data))
    import httpx

    async with httpx.AsyncClient(timeout=120) as http:
        assert (await http.put(url, content=data)).status_code == 200
    assert await blob_rows.confirm_upload(desk.db, desk.blobs, OWNER, digest, len(data))
    return digest


def _packed(**values: Any) -> payload.Packed:
    return payload.pack([values], {}, prelude=lambda own: prelude.make(own, values, (), ()))


def _cached(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache" / OWNER).glob("??/*")}


async def test_inputs_and_results(
    desk: Desk, worker: Any, transfers: list[str], tmp_path: Path
) -> None:
    """An input is fetched once for two tasks, results are uploaded once, and a result is there for
    the next task.
    """
    sent = _packed(a=np.arange(SIZE / 8))
    inputs = wire.Payload(
        sent.stream, "", tuple([await _uploaded(desk, bytes(part)) for part in sent.buffers])
    )
    # One after the other: the cache has room for two blobs, and the result made last is in it.
    one, two = [await desk.run(f"a += {n}; float(a[-1])", payload=inputs) for n in (1, 2)]
    assert (one.result, two.result) == (SIZE / 8, SIZE / 8 + 1) and sorted(transfers) == [
        "download",
        "upload",
        "upload",
    ]
    assert one.payload and two.payload and one.payload.digests != two.payload.digests
    body = b"".join([block async for block in desk.blobs.read(OWNER, one.payload.digests[0])])
    assert np.array_equal(np.frombuffer(body), np.arange(SIZE / 8) + 1)
    again = wire.Payload(sent.stream, "", two.payload.digests)
    assert (await desk.run("float(a[0])", payload=again)).result == 2.0 and len(transfers) == 3


@pytest.mark.long
async def test_the_cache_is_bounded(
    desk: Desk, worker: Any, transfers: list[str], tmp_path: Path
) -> None:
    """With room for two blobs, the one used longest ago is dropped, and fetched again when it is
    wanted.
    """
    payloads = list[wire.Payload]()
    for n in range(3):
        sent = _packed(a=np.full(SIZE // 8, float(n)))
        payloads.append(
            wire.Payload(sent.stream, "", (await _uploaded(desk, bytes(sent.buffers[0])),))
        )
    for n in (0, 1, 0, 2):
        assert (await desk.run("float(a[7])", payload=payloads[n])).result == n
    assert (
        _cached(tmp_path) == {payloads[n].digests[0] for n in (0, 2)}
        and transfers == ["download"] * 3
    )
    assert (await desk.run("float(a[7])", payload=payloads[1])).result == 1 and len(transfers) == 4


async def test_wrong_bytes_reach_no_child(desk: Desk, worker: Any, tmp_path: Path) -> None:
    """The task fails and says so, the blob is forgotten, and the right bytes sent after that are
    taken.
    """
    sent = _packed(a=np.arange(SIZE / 8))
    right = bytes(sent.buffers[0])
    digest = known_blobs.hashed(right)
    await _uploaded(desk, right[:-1] + b"x", digest)
    inputs = wire.Payload(sent.stream, "", (digest,))
    error = await desk.failed("a[0]", payload=inputs)
    assert (
        error.kind == "storage"
        and "digest" in error.message
        and "run the cell again" in error.message
    )
    assert not await desk.blobs.has(OWNER, digest) and await blob_rows.touch_existing(
        desk.db, OWNER, [digest]
    ) == set() == _cached(tmp_path)
    await _uploaded(desk, right, digest)
    assert (await desk.run("float(a[9])", payload=inputs)).result == 9.0


async def test_a_store_that_is_away(
    desk: Desk, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that the store does not take fails the task with a sentence;
    the worker serves on.
    """
    from boto3.exceptions import S3UploadFailedError

    def away(*_: Any) -> None:
        raise S3UploadFailedError("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(desk.blobs._bucket._s3, "upload_file", away)  # pyright: ignore
        sent = _packed(n=20_000)
        error = await desk.failed(
            "import numpy; a = numpy.ones(n)", payload=wire.Payload(sent.stream, "", ())
        )
    assert error.kind == "storage" and "could not be stored" in error.message
    assert (await desk.run("3")).result == 3
