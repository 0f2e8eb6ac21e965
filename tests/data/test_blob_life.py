"""How long a blob lives: while a task names it and for a grace time after; never longer, and never
shorter in any race.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "mecapy_backend.api.app", reason="needs the server parts (pip install 'mecapy-jupyter[local]')"
)

from blake3 import blake3
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks
from mecapy_backend.store.blobs import blob_rows, file_store
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_backend.store.people import shares
from mecapy_jupyter.client import blob_transfer
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import TOKEN, served

NOW = 1e-6  # a grace time that is over at once


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def upload(db: Any, store: FileStore, data: bytes) -> str:
    digest = blake3(data).hexdigest()
    await store.write("ann", digest, once(data), blob_rows.row_lock(db, "ann"))
    return digest


def naming(digest: str) -> dict[str, Any]:
    return {"code": "1", "payload": {"pickle": "", "pickle_blob": "", "buffers": [digest]}}


async def test_swept_after_its_grace(db: Any, tmp_path: Path) -> None:
    """Unnamed blobs go once their grace is over and not before; a named one stays until its task is
    forgotten.
    """
    store = FileStore(tmp_path)
    named, free = await upload(db, store, b"named"), await upload(db, store, b"free")
    task = await tasks.submit(db, "ann", naming(named))
    assert await blob_rows.sweep(db, store, 3600) == []
    assert await blob_rows.sweep(db, store, NOW) == [("ann", free)]
    assert await store.has("ann", named) and not await store.has("ann", free)
    await tasks.forget(db, "ann", task.task_id)
    assert await blob_rows.sweep(db, store, NOW) == [("ann", named)]
    assert (await shares.quota_status(db, "ann", Settings(), with_bytes=True)).of_owner[
        "bytes"
    ].used == 0


async def test_a_sweep_races_uploads_and_submits(db: Any, tmp_path: Path) -> None:
    """With sweeps all the time and no grace, a task that was taken finds its bytes, whatever was
    swept on the way.
    """
    store, stop = FileStore(tmp_path), asyncio.Event()

    async def sweeping() -> int:
        count = 0
        while not stop.is_set():
            count += len(await blob_rows.sweep(db, store, NOW))
        return count

    async def submitting(number: int) -> int:
        taken = 0
        for turn in range(25):
            digest = await upload(db, store, b"%d" % (turn % 3))  # the same few blobs for all
            try:
                task = await tasks.submit(db, "ann", naming(digest), max_queued=10_000)
            except tasks.BlobsNotStored:
                continue  # swept before: the client uploads again
            os.close(await store.open("ann", digest))
            taken += 1
            await tasks.forget(db, "ann", task.task_id)
        return taken

    sweepers = [asyncio.create_task(sweeping()) for _ in range(2)]
    taken = await asyncio.gather(*[submitting(number) for number in range(4)])
    stop.set()
    swept = sum(await asyncio.gather(*sweepers))
    assert sum(taken) > 0 and swept > 0


async def test_what_broken_uploads_leave(tmp_path: Path) -> None:
    """Old files that no upload will finish are removed; young ones are not."""
    store = FileStore(tmp_path)
    place = await store.place("ann")
    assert place
    incoming = Path(place.incoming or "")
    old, young = incoming / ("0" * 32), incoming / ("1" * 32)
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 100, time.time() - 100))
    await store.tidy(50)
    assert not old.exists() and young.exists()


async def test_bytes_without_a_row_are_swept(db: Any, tmp_path: Path) -> None:
    """A file whose writer died before its row existed gets one, and goes with it; a file with a
    row, or a young one, stays.
    """
    store = FileStore(tmp_path)
    lost, kept = blake3(b"lost").hexdigest(), await upload(db, store, b"kept")
    await store.write("ann", lost, once(b"lost"))
    await tasks.submit(db, "ann", naming(kept))
    assert await blob_rows.sweep(db, store, 3600) == []
    swept = [one for _ in range(3) for one in await blob_rows.sweep(db, store, NOW)]
    assert swept == [("ann", lost)]
    assert await store.has("ann", kept) and not await store.has("ann", lost)


@pytest.mark.parametrize("url", ["file://{folder}", "s3://bucket"])
def test_after_a_power_cut(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start of the machine removes blobs that were not written out, and asks nothing of
    the old ones; also from S3's cache.
    """
    opened = partial(open_store, url.format(folder=tmp_path), cache_dir=str(tmp_path))
    digests = [blake3(b"%d" % n).hexdigest() for n in range(3)]
    opened()
    whole, torn, old = [tmp_path / "ann" / digest[:2] / digest for digest in digests]
    for path, content in ((whole, b"0"), (torn, b""), (old, b"2")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.utime(old, (1, 1))
    opened()
    assert torn.exists()  # the machine did not end
    monkeypatch.setattr(file_store, "boot_id", lambda: "another")
    opened()
    assert whole.exists() and old.exists() and not torn.exists()


def test_quota(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the quota an upload is refused, by the disk and over HTTP, with what to do, and leaves
    nothing behind.
    """
    settings: Any = Settings(
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN),
        quota_bytes=300_000,
    )
    with served(settings) as running:
        http = Gateway(running.url, running.token)
        blob_transfer.send(http, [os.urandom(200_000)])
        with pytest.raises(errors.Refused, match="delete tasks"):
            blob_transfer.send(http, [os.urandom(200_000)])
        monkeypatch.setattr(blob_transfer, "_folders", lambda gateway: None)
        with pytest.raises(errors.Refused, match="delete tasks"):
            blob_transfer.send(http, [os.urandom(200_000)])
        blob_transfer.send(http, [kept := os.urandom(90_000)])
    with served(settings.model_copy(update={"quota_bytes": 100_000})) as running:
        asked = {"digests": [{"digest": blake3(kept).hexdigest(), "size": len(kept)}]}
        assert Gateway(running.url, running.token).post("/blobs/missing", asked) == {
            "missing": []
        }  # what is there need not fit again
    assert sum(path.stat().st_size for path in (tmp_path / "blobs").glob("*/??/*")) == 290_000
