"""Straight between notebook and S3: in parts, the gateway only signs; what breaks leaves nothing;
wrong bytes are refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "mecapy_backend.api.app", reason="needs the server parts (pip install 'mecapy-jupyter[local]')"
)


from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_rows, bucket, s3_store
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.blob_types import WrongDigest
from mecapy_jupyter.client import blob_transfer, presigned
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.pickling import known_blobs

from ..conftest import served

LARGE, SMALL = 40_000_003, 300_000


@pytest.fixture
def store(s3_settings: Settings) -> Any:
    return open_store(
        s3_settings.blob_url,
        endpoint_url=s3_settings.s3_endpoint_url,
        cache_dir=s3_settings.cache_dir,
    )


@pytest.fixture
def http(s3_settings: Settings) -> Iterator[Gateway]:
    with served(s3_settings) as running:
        yield Gateway(running.url, running.token)


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The blobs whose bytes went through the gateway, either way."""
    paths: list[str] = []
    put, get = Gateway.put_bytes, Gateway.get_pieces
    monkeypatch.setattr(
        Gateway, "put_bytes", lambda self, path, data: paths.append(path) or put(self, path, data)
    )

    def pieces(self: Gateway, path: str) -> Iterator[bytes]:
        for piece in get(self, path):
            paths.append(path)
            yield piece

    monkeypatch.setattr(Gateway, "get_pieces", pieces)
    return paths


def begun(store: Any) -> list[Any]:
    """Multipart uploads that have begun and not ended."""
    bucket = store._bucket
    pages = bucket._s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="blobs", Prefix=bucket._prefix
    )
    return [one for page in pages for one in page.get("Uploads", ())]


def stored(store: Any) -> list[str]:
    return [key.rpartition("/")[2] for key, _, _ in store._bucket.objects()]


def test_in_parts_there_and_back(http: Gateway, store: Any, through: list[str]) -> None:
    """No byte goes through the gateway; large and small come back equal and writable; what is there
    is not sent again.
    """
    parts = [np.frombuffer(os.urandom(LARGE), "u1"), np.frombuffer(os.urandom(SMALL), "u1")]
    sent = blob_transfer.send(http, parts)
    assert (
        sent.sent_bytes == LARGE + SMALL
        and sorted(stored(store)) == sorted(sent.digests)
        and not begun(store)
    )
    for digest, part in zip(sent.digests, parts, strict=True):
        back = blob_transfer.fetch(http, digest)
        assert memoryview(back) == memoryview(part)
        back[0] ^= 1
    assert through == [] and blob_transfer.send(http, parts).sent_bytes == 0


def test_a_broken_upload_leaves_nothing(
    http: Gateway, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that fails ends the upload: no object, no parts."""
    real, count = presigned._put, iter(range(100))

    def failing(url: str, data: memoryview) -> str:
        if next(count) == 3:
            raise errors.StorageFailed("the third part")
        return real(url, data)

    monkeypatch.setattr(presigned, "_put", failing)
    with pytest.raises(errors.StorageFailed, match="third part"):
        blob_transfer.send(http, [os.urandom(LARGE)])
    assert stored(store) == [] and begun(store) == []


async def test_a_vanished_upload_is_swept(store: Any, http: Gateway, db: Any) -> None:
    """What a client that died had begun is aborted after its time, and not before; the same for
    bytes without a row.
    """
    data = os.urandom(LARGE)
    digest = known_blobs.hashed(data)
    told = http.post(f"/blobs/{digest}/parts", {"size": LARGE})
    presigned._put(told["urls"][0], memoryview(data)[: told["part_bytes"]])
    await store.tidy(3600)
    assert len(begun(store)) == 1
    await store.tidy(-5)
    assert begun(store) == []
    small = known_blobs.hashed(data[:SMALL])
    presigned._put(
        http.post("/blobs/missing", {"digests": [{"digest": small, "size": SMALL}]})["missing"][0][
            "url"
        ],
        memoryview(data)[:SMALL],
    )
    assert await blob_rows.sweep(db, store, 3600) == [] and stored(store) == [small]
    swept = [digest for _ in range(3) for _, digest in await blob_rows.sweep(db, store, -5)]
    assert swept == [small] and stored(store) == []


async def test_wrong_bytes_are_refused(http: Gateway, store: Any) -> None:
    """Too few parts are no blob; bytes that are others than they should be are opened for no child
    and given to no kernel.
    """
    data = os.urandom(LARGE)
    digest = known_blobs.hashed(data)
    told = http.post(f"/blobs/{digest}/parts", {"size": LARGE})
    etags = [presigned._put(told["urls"][0], memoryview(data)[: told["part_bytes"]])]
    with pytest.raises(errors.Refused, match="upload it again"):
        http.post(f"/blobs/{digest}/parts/{told['upload']}", {"size": LARGE, "etags": etags})
    assert stored(store) == []
    told = http.post(f"/blobs/{digest}/parts", {"size": LARGE})
    size, other = told["part_bytes"], memoryview(data[:-1] + bytes([data[-1] ^ 1]))
    etags = [
        presigned._put(url, other[n * size : (n + 1) * size]) for n, url in enumerate(told["urls"])
    ]
    http.post(f"/blobs/{digest}/parts/{told['upload']}", {"size": LARGE, "etags": etags})
    with pytest.raises(WrongDigest):
        await store.open("local", digest)
    with pytest.raises(errors.StorageFailed, match="damaged"):
        blob_transfer.fetch(http, digest)


def test_an_upload_that_takes_longer_than_its_urls(
    http: Gateway, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """URLs of parts are good for minutes; a slow upload asks for fresh ones for what is left, also
    for a part it must send again.
    """
    assert http.post(f"/blobs/{'0' * 64}/parts", {"size": LARGE})["valid_s"] <= 600
    for module in (bucket, s3_store):
        monkeypatch.setattr(module, "PRESIGNED_S", 2)
    monkeypatch.setattr(presigned, "_PARALLEL", 1)
    real, renewed, refused = presigned._put, list[dict[str, Any]](), list[str]()
    post = Gateway.post

    def slow(url: str, data: memoryview) -> str:
        if len(refused) < 1:
            time.sleep(3)  # as long as a line that broke down
        try:
            return real(url, data)
        except errors.StorageFailed as error:
            refused.append(str(error))
            for module in (bucket, s3_store):
                monkeypatch.setattr(module, "PRESIGNED_S", 600)
            raise

    def asked(self: Gateway, path: str, told: Any, **more: Any) -> Any:
        renewed.extend([told] if "upload" in told else [])
        return post(self, path, told, **more)

    monkeypatch.setattr(presigned, "_put", slow)
    monkeypatch.setattr(Gateway, "post", asked)
    data = os.urandom(LARGE)
    (digest,) = blob_transfer.send(http, [data]).digests
    assert [known_blobs.hashed(data)] == [digest] == stored(store)
    assert len(refused) == 1 and "403" in refused[0] and renewed[0]["first"] == 0


def test_a_part_of_another_size_is_refused(http: Gateway) -> None:
    """What the quota was asked for is what is signed: no larger part fits."""
    told = http.post(f"/blobs/{'0' * 64}/parts", {"size": 1000})
    with pytest.raises(errors.StorageFailed, match="403"):
        presigned._put(told["urls"][0], memoryview(bytes(2000)))


def test_a_store_out_of_reach(
    http: Gateway, store: Any, through: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where the store does not answer, the bytes go through the gateway, both ways; it is
    tried once.
    """
    tried: list[str] = []

    def unreachable(method: str, url: str, **_: Any) -> Any:
        tried.append(method)
        raise presigned.urllib3.exceptions.NewConnectionError(
            presigned._pool.connection_from_url(url)._new_conn(), "no route"
        )

    monkeypatch.setattr(presigned._pool, "request", unreachable)
    data = [os.urandom(LARGE), os.urandom(SMALL)]
    sent = blob_transfer.send(http, data)
    assert [bytes(blob_transfer.fetch(http, digest)) for digest in sent.digests] == data
    assert len(through) > 2 and tried == ["PUT"] and begun(store) == []
